package app_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// odd are challenges of every kind: several of one realm in the provider's order
// of preference, a second realm, another scheme, odd spacing, case and folding.
var odd = []string{
	`Digest  realm="{realm}" ,nonce="{nonce}",  algorithm=SHA-512-256,qop="auth"`,
	`digest REALM="{realm}",nonce = "{nonce}", algorithm=MD5 ,qop="auth"`,
	`Digest realm="other, realm", nonce="a,b\"c", algorithm=MD5-sess, opaque="";stale=FALSE`,
	`Bearer authz_server="https://192.168.1.10/token", scope="sip"`,
	`NTLM`,
}

// D-1, D-2, promise 3: challenges reach the phone in the same bytes, lines and
// order, and what the phone answers reaches the provider so.
func TestChallengesAreUntouched(t *testing.T) {
	for _, proto := range transports {
		for _, lan := range []string{peer.UDP, peer.TCP} {
			t.Run(proto+" from "+lan, func(t *testing.T) {
				live(t, plan{proto: proto, prov: func(c *peer.ProviderConfig) { c.Auth.Lines = odd }}, func(w *world) {
					alice := w.raw(w.phoneA, lan)
					answers := []string{
						`Digest username="alice",realm="` + domain + `",nonce="n",uri="sip:` + domain + `",response="0123456789abcdef0123456789abcdef"`,
						`Digest username=alice ,  realm = "other, realm";x=192.168.1.10`,
						`Bearer  eyJ.eyJ.sig`,
					}
					for _, method := range []string{"REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE"} {
						alice.Set("callid", "odd"+method)
						name, back := "WWW-Authenticate", "Authorization"
						target := "sip:" + domain
						if method != "REGISTER" {
							name, back, target = "Proxy-Authenticate", "Proxy-Authorization", "sip:echo@"+domain
						}
						more := ""
						for _, a := range answers {
							more += "\n" + back + ": " + a
						}
						got, err := alice.Exchange(w.within(5*time.Second), strings.Replace(dialog(method, "alice", target, strings.TrimPrefix(more, "\n")), "To: <"+target+">", "To: <sip:alice@"+domain+">", 1))
						w.must(err)
						sent := w.last(w.prov.Sent(method))
						if len(got.Values(name)) != len(odd) {
							t.Errorf("%d challenges in\n%s", len(got.Values(name)), got.Raw)
						}
						w.passed(sent, got, "CSeq")
						if there := w.last(w.prov.Received(method)).Values(back); !slices.Equal(there, answers) {
							t.Errorf("%s: answers\n%q\nwant\n%q", method, there, answers)
						}
					}
				})
			})
		}
	}
}

// D-4, D-6, R-9: what provider and phone agree on verifies through us, whatever
// the algorithm; nonces go stale and are renewed.
func TestDigests(t *testing.T) {
	for name, auth := range map[string]peer.Auth{
		"MD5":                 {},
		"MD5-sess":            {Algorithms: []string{"MD5-sess"}},
		"SHA-256":             {Algorithms: []string{"SHA-256"}},
		"SHA-512-256, MD5":    {Algorithms: []string{"SHA-512-256", "SHA-256", "MD5"}},
		"no qop":              {QOP: "none"},
		"auth-int, auth":      {QOP: "auth,auth-int"},
		"opaque":              {Opaque: "a=b,c\\d"},
		"one use":             {NonceUses: 1},
		"short life":          {NonceLife: time.Second},
		"a realm of its own":  {Realm: "asterisk"},
		"realm with a LAN IP": {Realm: "192.168.1.10"},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, plan{proto: peer.TCP, prov: func(c *peer.ProviderConfig) { c.Auth = auth }}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				for range 3 {
					w.registered(alice, "alice")
					w.sleep(90 * time.Second)
				}
				if n := len(w.prov.Bindings("alice")); n != 1 {
					t.Errorf("%d bindings", n)
				}
				near, far := w.answered(alice, "ring")
				w.heard(near, far)
				w.must(near.Hold(w.within(5 * time.Second)))
				w.over(near, far)
			})
		})
	}
}

// D-5, D-4: where a digest covers the body, it stays as it is and verifies.
func TestAuthInt(t *testing.T) {
	live(t, plan{proto: peer.TCP, prov: func(c *peer.ProviderConfig) { c.Auth.QOP = "auth-int" }}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		w.registered(alice, "alice")
		near, far := w.answered(alice, "ring")
		if far.Invite().Body() != near.Invite().Body() || far.Invite().Body() == "" {
			t.Errorf("the offer was\n%s\nand became\n%s", near.Invite().Body(), far.Invite().Body())
		}
		w.over(near, far)
		if n := w.count.Snapshot()["exempt_leaks_total"]; n == 0 {
			t.Error("the exempt leak is not counted")
		}
	})
}

// D-6: the ACK of a challenged INVITE repeats its credentials.
func TestAckKeepsCredentials(t *testing.T) {
	live(t, plan{proto: peer.UDP, prov: open}, func(w *world) {
		alice := w.raw(w.phoneA, peer.UDP)
		w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"INVITE": true} })
		credentials := `Digest username="alice", realm="r", nonce="n", response="x"`
		_, err := alice.Send(dialog("INVITE", "alice", "sip:ring@"+domain, "Proxy-Authorization: "+credentials))
		w.must(err)
		invite, err := w.prov.WaitRequest(w.within(time.Second), "INVITE", 1)
		w.must(err)
		w.respond(invite, "486 Busy Here", nil, "")
		ack, err := w.prov.WaitRequest(w.within(time.Second), "ACK", 1)
		w.must(err)
		if got := ack.Values("proxy-authorization"); !slices.Equal(got, []string{credentials}) {
			t.Errorf("%q", got)
		}
	})
}
