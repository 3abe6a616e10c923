package auth

import (
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"pinhole/internal/message"
)

const (
	// One refused answer is normal: a phone that reuses its last nonce is
	// challenged again, by some registrars without stale. The second is not.
	refusalsTold = 2

	// Challenges in a row that the phone did not answer, or answered with a
	// nonce that was not asked for; and answers in a row called stale.
	ignoredTold = 3
	staleTold   = 4

	// Refusals further apart are not one story: phones with a wrong password
	// retry within minutes.
	refusalMemory = time.Hour
)

// seed makes nonces comparable without keeping them.
var seed = maphash.MakeSeed()

// Watch follows how an upstream answers one phone (one AOR of it), and explains
// each change for the worse once. It is a value of bounded size that holds no
// secret; not safe for concurrent use.
type Watch struct {
	aor, upstream string
	host          uint64 // of the AOR
	registrar     uint64 // realm of the last 401 to a REGISTER
	proxy         uint64 // realm of the last 407 that was explained
	floor         uint64 // Min-Expires + 1 of the last 423 that was explained
	series        [3]series
}

// series is the state of one kind of request; each is refused for its own
// reasons.
type series struct {
	asked                   [4]uint64 // nonces of the last challenge: one for each algorithm
	refused, ignored, stale uint8     // in a row
	last                    time.Time // of the last refusal
	told                    problem   // since the last success
}

type class uint8

const (
	register class = iota
	invite
	other
)

// NewWatch returns the Watch of a phone: aor ("sip:alice@example.com") and the
// upstream's name appear in what it says.
func NewWatch(aor, upstream string) Watch {
	w := Watch{aor: strings.Clone(clean(aor)), upstream: clean(upstream)}
	if u, err := message.ParseURI(aor); err == nil {
		w.host = hash(u.Host)
	}
	return w
}

// Attempt is a request that was forwarded, as Received needs it later. The
// owner keeps it with the transaction. It holds no secret.
type Attempt struct {
	class   class
	answers []answer // nil: the request carried no credentials
}

// answer is what a phone gave in answer to a challenge.
type answer struct {
	user, realm string
	nonce       uint64 // hash
}

// Sent tells that a request was forwarded with these credentials, nil for none.
func (w *Watch) Sent(method string, credentials []Credentials) Attempt {
	a := Attempt{class: other}
	switch method {
	case "REGISTER":
		a.class = register
	case "INVITE":
		a.class = invite
	}
	for _, c := range credentials {
		a.answers = append(a.answers, answer{c.Username, c.Realm, hash(c.Nonce)})
	}
	if s := &w.series[a.class]; s.askedFor(a.answers) {
		s.ignored = 0
	}
	return a
}

// Answer is the final response to an Attempt, as far as it matters here.
type Answer struct {
	Status     int
	Reason     string      // the reason phrase
	Challenges []Challenge // of a 401 or 407
	MinExpires uint32      // seconds, of a 423; 0: there was none
	PlainRTP   bool        // the request offered RTP/AVP over a TLS flow
}

// Received takes the final response to an attempt at now, and returns the
// diagnosis where the state changed: a problem not told since the last success
// of the same kind of request, or Recovered.
func (w *Watch) Received(now time.Time, a Attempt, r Answer) (Diagnosis, bool) {
	s := &w.series[a.class]
	var d Diagnosis
	p := none
	switch {
	case r.Status < 200:
		return Diagnosis{}, false
	case r.Status < 300:
		return w.succeeded(a)
	case r.Status == 401 || r.Status == 407:
		d, p = w.challenged(now, a, r)
	default:
		s.refused, s.stale = 0, 0
		d, p = w.refusedWith(a, r)
	}
	if p == none || s.told&p != 0 {
		return Diagnosis{}, false
	}
	if p != once {
		s.told |= p
	}
	return d, true
}

func (w *Watch) succeeded(a Attempt) (Diagnosis, bool) {
	s := &w.series[a.class]
	told := s.told
	*s = series{asked: s.asked} // a nonce stays good for the next request
	if told == none {
		return Diagnosis{}, false
	}
	return w.recovered(a.class), true
}

// challenged sorts a 401 or 407 into the normal ones and the problems.
func (w *Watch) challenged(now time.Time, a Attempt, r Answer) (Diagnosis, problem) {
	s := &w.series[a.class]
	asked := s.askedFor(a.answers)
	s.ask(r.Challenges)
	if a.class == register {
		if w.foreign(r) {
			return w.proxyAsks(r), once
		}
		if r.Status == 401 {
			w.registrar = hash(firstRealm(r.Challenges))
		}
	}
	c, same := sameRealm(a.answers, r.Challenges)
	switch {
	case a.answers != nil && isStale(r.Challenges):
		s.refused = 0
		if s.stale = grow(s.stale); s.stale >= staleTold {
			return w.staleLoop(r), staleLoop
		}
	case a.answers != nil && (asked || !same):
		if now.Sub(s.last) > refusalMemory {
			s.refused = 0
		}
		s.last = now
		switch s.refused = grow(s.refused); {
		case s.refused < refusalsTold:
		case same:
			return w.authLoop(c, r), authLoop
		default:
			return w.realmDiffers(c, r), realmDiffers
		}
	case a.class != other: // phones answer for few other methods, and need not
		if s.ignored = grow(s.ignored); s.ignored >= ignoredTold {
			return w.challengeIgnored(r), challengeIgnored
		}
	}
	return Diagnosis{}, none
}

// foreign reports whether a 407 to a REGISTER is from something that is not the
// registrar as far as we know it, and remembers that it was explained.
func (w *Watch) foreign(r Answer) bool {
	realm := hash(firstRealm(r.Challenges))
	known := w.registrar
	if known == 0 {
		known = w.host
	}
	if r.Status != 407 || realm == known || realm == w.proxy {
		return false
	}
	w.proxy = realm
	return true
}

// ask remembers the nonces of a challenge.
func (s *series) ask(challenges []Challenge) {
	s.asked = [4]uint64{}
	for i := range min(len(challenges), len(s.asked)) {
		s.asked[i] = hash(challenges[i].Nonce)
	}
}

// askedFor reports whether answers are made from the last challenge.
func (s *series) askedFor(answers []answer) bool {
	for _, a := range answers {
		if a.nonce != 0 && slices.Contains(s.asked[:], a.nonce) {
			return true
		}
	}
	return false
}

// sameRealm returns the answer for one of the realms challenged, or the first
// answer and false. A refusal that names no realm (a server's fault) does not
// name another.
func sameRealm(answers []answer, challenges []Challenge) (answer, bool) {
	for _, c := range challenges {
		for _, a := range answers {
			if a.realm == c.Realm {
				return a, true
			}
		}
	}
	if answers == nil {
		return answer{}, false
	}
	return answers[0], len(challenges) == 0
}

func isStale(challenges []Challenge) bool {
	return slices.ContainsFunc(challenges, func(c Challenge) bool { return c.Stale })
}

func firstRealm(challenges []Challenge) string {
	if len(challenges) == 0 {
		return ""
	}
	return challenges[0].Realm
}

// hash is 0 for "" alone.
func hash(s string) uint64 {
	if s == "" {
		return 0
	}
	return max(1, maphash.String(seed, s))
}

// grow counts without running over.
func grow(n uint8) uint8 { return min(n, 254) + 1 }
