package auth

import (
	"strings"
	"testing"
)

const aor, upstream = "sip:alice@example.com", "main"

// TestTexts holds every line as an admin reads it.
func TestTexts(t *testing.T) {
	digest := func(realm, algorithm string) Challenge {
		return Challenge{Scheme: "Digest", Realm: realm, Nonce: "SECRET", Algorithm: algorithm}
	}
	answer := []Credentials{{Scheme: "Digest", Username: "4711", Realm: "example.com", Nonce: "SECRET", Response: "SECRET"}}
	asked := []Challenge{digest("example.com", "SHA-256"), digest("example.com", "")}
	stale := []Challenge{{Scheme: "Digest", Realm: "example.com", Nonce: "SECRET", Stale: true}}
	rows := []struct {
		code   string
		method string
		with   []Credentials
		answer Answer
		times  int // until it is told
		cause  string
		remedy string
	}{
		{
			AuthLoop, "REGISTER", answer,
			Answer{Status: 401, Challenges: asked},
			3,
			`main refuses the password of sip:alice@example.com: the phone answered for user "4711" and realm "example.com" and was asked again (401), more than once`,
			`correct the authentication user and the SIP password in the phone (the password of the customer portal is often another one); a provider may block this site if the phone keeps trying`,
		},
		{
			RealmDiffers, "INVITE", answer,
			Answer{Status: 407, Challenges: []Challenge{digest("Asterisk \"x\"", "MD5")}},
			2,
			`main asks sip:alice@example.com for the password of realm "Asterisk \"x\"" (407), but the phone answers for realm "example.com"`,
			`clear the realm setting of the account in the phone, or set it to "Asterisk \"x\""`,
		},
		{
			StaleLoop, "REGISTER", answer,
			Answer{Status: 401, Challenges: stale},
			4,
			`main calls every answer of sip:alice@example.com stale (401, realm "example.com"): the phone repeats an old nonce, or the provider's servers do not share theirs`,
			`restart the phone; if it stays, set server of the upstream to one host of the provider`,
		},
		{
			ChallengeIgnored, "REGISTER", nil,
			Answer{Status: 401, Challenges: asked},
			3,
			`main asks sip:alice@example.com for a password (401, realm "example.com", SHA-256 MD5), but the phone does not answer`,
			`enter the authentication user and the SIP password in the phone`,
		},
		{
			ChallengeIgnored, "INVITE", nil,
			Answer{Status: 407, Challenges: []Challenge{digest("r", "SHA-256"), {Scheme: "Bearer"}}},
			3,
			`main asks sip:alice@example.com for a password (407, realm "r", SHA-256 Bearer), but the phone does not answer`,
			`enter the authentication user and the SIP password in the phone; if they are there, the phone does not know what is asked for: update its firmware, or ask the provider for MD5`,
		},
		{
			ProxyAsks, "REGISTER", nil,
			Answer{Status: 407, Challenges: []Challenge{digest("firewall", "")}},
			1,
			`something on the path to main, not the registrar, asks sip:alice@example.com for a password of its own (407, realm "firewall")`,
			`check that server of the upstream is the provider's and no proxy stands between; if that realm is the provider's, the phone needs the user and password for it`,
		},
		{
			WrongPassword, "REGISTER", answer,
			Answer{Status: 403, Reason: "Account suspended"},
			1,
			`main refuses to register sip:alice@example.com after the phone answered for user "4711" and realm "example.com" (403 "Account suspended"): wrong user or password, or the account is blocked`,
			`correct the authentication user and the SIP password in the phone; if they are right, ask the provider whether the account is blocked`,
		},
		{
			Forbidden, "REGISTER", nil,
			Answer{Status: 403},
			1,
			`main refuses to register sip:alice@example.com without asking for a password (403)`,
			`ask the provider: the account is blocked or bound to another address, or this site's public address is banned after wrong passwords`,
		},
		{
			CallForbidden, "INVITE", answer,
			Answer{Status: 403, Reason: "Forbidden"},
			1,
			`main forbids a call of sip:alice@example.com (403 "Forbidden")`,
			`check the number dialled, the credit and the barred destinations of the account, and that the phone shows a number as its caller ID that belongs to the account`,
		},
		{
			UnknownUser, "REGISTER", nil,
			Answer{Status: 404, Reason: "Not Found"},
			1,
			`main does not know sip:alice@example.com (404 "Not Found")`,
			`correct the user name (not the display name or the authentication user) and the domain in the phone`,
		},
		{
			NoRegistrar, "REGISTER", nil,
			Answer{Status: 405, Reason: "Method Not Allowed"},
			1,
			`the address of main is no registrar: it does not take the REGISTER of sip:alice@example.com (405 "Method Not Allowed")`,
			`set server of the upstream to the provider's registrar (not a trunk, media or web address), or leave it empty so that the domain is looked up`,
		},
		{
			IntervalTooBrief, "REGISTER", nil,
			Answer{Status: 423, MinExpires: 600},
			1,
			`main finds the registration interval of sip:alice@example.com too brief (423): it wants at least 600 s`,
			`nothing: registrations are raised to 600 s from now on; set the phone to as much if it does not try again by itself`,
		},
		{
			IntervalTooBrief, "REGISTER", nil,
			Answer{Status: 423},
			1,
			`main finds the registration interval of sip:alice@example.com too brief (423) but does not say what it wants`,
			`set the registration interval of the phone to 3600 s`,
		},
		{
			SRTPDemanded, "INVITE", nil,
			Answer{Status: 488, Reason: "Not Acceptable Here", PlainRTP: true},
			1,
			`main refuses the media of a call of sip:alice@example.com (488 "Not Acceptable Here"), which was plain RTP over TLS: provider demands SRTP`,
			`transport = tcp, or srtp = terminate`,
		},
		{
			MediaRefused, "INVITE", nil,
			Answer{Status: 488},
			1,
			`the far side of main refuses the media of a call of sip:alice@example.com (488): it shares no codec with the phone`,
			`enable G.711 (PCMA and PCMU) in the phone, and switch off SRTP there if the provider does not offer it`,
		},
	}
	for _, r := range rows {
		t.Run(r.code, func(t *testing.T) {
			w := NewWatch(aor, upstream)
			var d Diagnosis
			for i := range r.times {
				var ok bool
				if d, ok = w.Received(t0, w.Sent(r.method, r.with), r.answer); ok != (i == r.times-1) {
					t.Fatalf("time %d: %+v, %v", i+1, d, ok)
				}
			}
			if want := (Diagnosis{r.code, r.cause, r.remedy}); d != want {
				t.Errorf("got  %+v\nwant %+v", d, want)
			}
			if Redact(d.Cause) != d.Cause || Redact(d.Remedy) != d.Remedy {
				t.Errorf("the text would be masked: %s", Redact(d.Cause+d.Remedy))
			}
		})
	}
}

func TestRecovered(t *testing.T) {
	for method, cause := range map[string]string{
		"REGISTER": "main registers sip:alice@example.com again",
		"INVITE":   "main takes calls of sip:alice@example.com again",
		"MESSAGE":  "main takes requests of sip:alice@example.com again",
	} {
		w := NewWatch(aor, upstream)
		answer := []Credentials{{Realm: "a", Nonce: "n"}}
		for range 2 {
			w.Received(t0, w.Sent(method, answer), Answer{Status: 401, Challenges: []Challenge{{Realm: "b", Nonce: "m"}}})
		}
		d, ok := w.Received(t0, w.Sent(method, answer), Answer{Status: 200})
		if want := (Diagnosis{Code: Recovered, Cause: cause}); d != want || !ok {
			t.Errorf("got %+v, %v, want %+v", d, ok, want)
		}
	}
}

// TestHostileNames: what peers chose stays on one line and within bounds.
func TestHostileNames(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	w := NewWatch("sip:a\r\nb@"+long, "main")
	for _, a := range []Answer{
		{Status: 403, Reason: "x\r\ny\x00" + long},
		{Status: 407, Challenges: []Challenge{{Scheme: "S\n" + long, Realm: "r\n\u202e" + long, Algorithm: "\n" + long}}},
	} {
		d, ok := w.Received(t0, w.Sent("REGISTER", nil), a)
		if !ok || len(d.Cause) > 600 || strings.ContainsAny(d.Cause, "\r\n\x00\u202e") {
			t.Errorf("%v: %q", ok, d.Cause)
		}
	}
	many := make([]Challenge, 1000)
	for range ignoredTold - 1 {
		w.Received(t0, w.Sent("INVITE", nil), Answer{Status: 401, Challenges: many})
	}
	if d, ok := w.Received(t0, w.Sent("INVITE", nil), Answer{Status: 401, Challenges: many}); !ok || len(d.Cause) > 600 {
		t.Errorf("%v: %q", ok, d.Cause)
	}
}
