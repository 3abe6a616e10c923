package auth

import (
	"fmt"
	"strconv"
	"strings"
)

// Diagnosis is one log line for an admin: what is wrong, and what to do.
type Diagnosis struct {
	Code   string // one of the constants, for tests, counters and the status page
	Cause  string
	Remedy string // "" when there is nothing to do
}

// The codes of diagnoses.
const (
	AuthLoop         = "auth-loop"         // the answer to a challenge is refused again and again
	RealmDiffers     = "realm-differs"     // the phone answers for another realm
	StaleLoop        = "stale-loop"        // every answer is called stale
	ChallengeIgnored = "challenge-ignored" // the phone does not answer challenges
	ProxyAsks        = "proxy-asks"        // a 407 to REGISTER that is not the registrar's
	WrongPassword    = "wrong-password"    // 403 to a REGISTER with credentials
	Forbidden        = "forbidden"         // 403 to a REGISTER that was not even challenged
	CallForbidden    = "call-forbidden"    // 403 to an INVITE
	UnknownUser      = "unknown-user"      // 404 to a REGISTER
	NoRegistrar      = "no-registrar"      // 405 or 501 to a REGISTER
	IntervalTooBrief = "interval-too-brief"
	SRTPDemanded     = "srtp-demanded" // 488 to RTP/AVP over TLS
	MediaRefused     = "media-refused" // any other 488 or 606
	Recovered        = "recovered"
)

// problem is a set of what was told since the last success. once is for what
// does not come and go with it.
type problem uint16

const (
	none problem = 0
	once problem = 1 << iota
	authLoop
	realmDiffers
	staleLoop
	challengeIgnored
	refused
	noRegistrar
	media
)

// refusedWith explains the refusals that are not challenges.
func (w *Watch) refusedWith(a Attempt, r Answer) (Diagnosis, problem) {
	switch {
	case a.class == register && r.Status == 423 && uint64(r.MinExpires)+1 != w.floor:
		w.floor = uint64(r.MinExpires) + 1
		return w.intervalTooBrief(r), once
	case a.class == register && r.Status == 403:
		return w.forbidden(a, r), refused
	case a.class == register && r.Status == 404:
		return w.unknownUser(r), refused
	case a.class == register && (r.Status == 405 || r.Status == 501):
		return w.noRegistrar(r), noRegistrar
	case a.class == invite && r.Status == 403:
		return w.callForbidden(r), refused
	case a.class == invite && (r.Status == 488 || r.Status == 606):
		return w.mediaRefused(r), media
	}
	return Diagnosis{}, none
}

func (w *Watch) authLoop(a answer, r Answer) Diagnosis {
	return Diagnosis{
		Code: AuthLoop,
		Cause: fmt.Sprintf("%s refuses the password of %s: the phone answered for user %s and realm %s and was asked again (%d), more than once",
			w.upstream, w.aor, show(a.user), show(a.realm), r.Status),
		Remedy: "correct the authentication user and the SIP password in the phone (the password of the customer portal is often another one); a provider may block this site if the phone keeps trying",
	}
}

func (w *Watch) realmDiffers(a answer, r Answer) Diagnosis {
	realm := show(firstRealm(r.Challenges))
	return Diagnosis{
		Code: RealmDiffers,
		Cause: fmt.Sprintf("%s asks %s for the password of realm %s (%d), but the phone answers for realm %s",
			w.upstream, w.aor, realm, r.Status, show(a.realm)),
		Remedy: "clear the realm setting of the account in the phone, or set it to " + realm,
	}
}

func (w *Watch) staleLoop(r Answer) Diagnosis {
	return Diagnosis{
		Code: StaleLoop,
		Cause: fmt.Sprintf("%s calls every answer of %s stale (%d, realm %s): the phone repeats an old nonce, or the provider's servers do not share theirs",
			w.upstream, w.aor, r.Status, show(firstRealm(r.Challenges))),
		Remedy: "restart the phone; if it stays, set server of the upstream to one host of the provider",
	}
}

func (w *Watch) challengeIgnored(r Answer) Diagnosis {
	d := Diagnosis{
		Code: ChallengeIgnored,
		Cause: fmt.Sprintf("%s asks %s for a password (%d, realm %s, %s), but the phone does not answer",
			w.upstream, w.aor, r.Status, show(firstRealm(r.Challenges)), algorithms(r.Challenges)),
		Remedy: "enter the authentication user and the SIP password in the phone",
	}
	if !offersMD5(r.Challenges) {
		d.Remedy += "; if they are there, the phone does not know what is asked for: update its firmware, or ask the provider for MD5"
	}
	return d
}

func (w *Watch) proxyAsks(r Answer) Diagnosis {
	return Diagnosis{
		Code: ProxyAsks,
		Cause: fmt.Sprintf("something on the path to %s, not the registrar, asks %s for a password of its own (407, realm %s)",
			w.upstream, w.aor, show(firstRealm(r.Challenges))),
		Remedy: "check that server of the upstream is the provider's and no proxy stands between; if that realm is the provider's, the phone needs the user and password for it",
	}
}

func (w *Watch) forbidden(a Attempt, r Answer) Diagnosis {
	if a.answers == nil {
		return Diagnosis{
			Code: Forbidden,
			Cause: fmt.Sprintf("%s refuses to register %s without asking for a password (403%s)",
				w.upstream, w.aor, reason(r)),
			Remedy: "ask the provider: the account is blocked or bound to another address, or this site's public address is banned after wrong passwords",
		}
	}
	first := a.answers[0]
	return Diagnosis{
		Code: WrongPassword,
		Cause: fmt.Sprintf("%s refuses to register %s after the phone answered for user %s and realm %s (403%s): wrong user or password, or the account is blocked",
			w.upstream, w.aor, show(first.user), show(first.realm), reason(r)),
		Remedy: "correct the authentication user and the SIP password in the phone; if they are right, ask the provider whether the account is blocked",
	}
}

func (w *Watch) callForbidden(r Answer) Diagnosis {
	return Diagnosis{
		Code:   CallForbidden,
		Cause:  fmt.Sprintf("%s forbids a call of %s (403%s)", w.upstream, w.aor, reason(r)),
		Remedy: "check the number dialled, the credit and the barred destinations of the account, and that the phone shows a number as its caller ID that belongs to the account",
	}
}

func (w *Watch) unknownUser(r Answer) Diagnosis {
	return Diagnosis{
		Code:   UnknownUser,
		Cause:  fmt.Sprintf("%s does not know %s (404%s)", w.upstream, w.aor, reason(r)),
		Remedy: "correct the user name (not the display name or the authentication user) and the domain in the phone",
	}
}

func (w *Watch) noRegistrar(r Answer) Diagnosis {
	return Diagnosis{
		Code:   NoRegistrar,
		Cause:  fmt.Sprintf("the address of %s is no registrar: it does not take the REGISTER of %s (%d%s)", w.upstream, w.aor, r.Status, reason(r)),
		Remedy: "set server of the upstream to the provider's registrar (not a trunk, media or web address), or leave it empty so that the domain is looked up",
	}
}

func (w *Watch) intervalTooBrief(r Answer) Diagnosis {
	d := Diagnosis{Code: IntervalTooBrief}
	if r.MinExpires == 0 {
		d.Cause = fmt.Sprintf("%s finds the registration interval of %s too brief (423) but does not say what it wants", w.upstream, w.aor)
		d.Remedy = "set the registration interval of the phone to 3600 s"
		return d
	}
	d.Cause = fmt.Sprintf("%s finds the registration interval of %s too brief (423): it wants at least %d s", w.upstream, w.aor, r.MinExpires)
	d.Remedy = fmt.Sprintf("nothing: registrations are raised to %d s from now on; set the phone to as much if it does not try again by itself", r.MinExpires)
	return d
}

func (w *Watch) mediaRefused(r Answer) Diagnosis {
	if r.PlainRTP {
		return Diagnosis{
			Code: SRTPDemanded,
			Cause: fmt.Sprintf("%s refuses the media of a call of %s (%d%s), which was plain RTP over TLS: provider demands SRTP",
				w.upstream, w.aor, r.Status, reason(r)),
			Remedy: "transport = tcp, or srtp = terminate",
		}
	}
	return Diagnosis{
		Code:   MediaRefused,
		Cause:  fmt.Sprintf("the far side of %s refuses the media of a call of %s (%d%s): it shares no codec with the phone", w.upstream, w.aor, r.Status, reason(r)),
		Remedy: "enable G.711 (PCMA and PCMU) in the phone, and switch off SRTP there if the provider does not offer it",
	}
}

func (w *Watch) recovered(c class) Diagnosis {
	what := [...]string{register: "registers", invite: "takes calls of", other: "takes requests of"}[c]
	return Diagnosis{Code: Recovered, Cause: fmt.Sprintf("%s %s %s again", w.upstream, what, w.aor)}
}

// reason is the provider's own word, which often says more than the status.
func reason(r Answer) string {
	if r.Reason == "" {
		return ""
	}
	return " " + show(r.Reason)
}

func algorithms(challenges []Challenge) string {
	var names []string
	for _, c := range challenges[:min(len(challenges), 4)] {
		switch {
		case !c.Digest():
			names = append(names, clean(c.Scheme))
		case c.Algorithm == "":
			names = append(names, "MD5")
		default:
			names = append(names, clean(c.Algorithm))
		}
	}
	return strings.Join(names, " ")
}

func offersMD5(challenges []Challenge) bool {
	for _, c := range challenges {
		if c.Digest() && (c.Algorithm == "" || strings.EqualFold(c.Algorithm, "MD5")) {
			return true
		}
	}
	return false
}

// show quotes text of a peer, at a length that fits in a log line.
func show(s string) string { return strconv.Quote(clip(s)) }

// clean is clip without control characters, for names that stand unquoted.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return -1
	}, clip(s))
}

func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
