package app_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// Promise 1 for Contacts that get no alias, being broken or not the phone's own
// address, and for the parameters of those that do: the LAN is not in them. The
// phone has its own bytes back.
func TestContactShowsNothingOfTheLAN(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		contacts := []string{
			"<sip:alice@{addr}>;x=\"" + lanPhoneA + "\"", "<http://" + lanPhoneA + "/alice>;q=0.2", "<sip:alice@example.net;gr={addr}>;q=0.3",
		}
		alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.Contacts = contacts })
		r, err := alice.Register(w.ctx)
		w.must(err)
		for _, c := range contacts {
			want := strings.ReplaceAll(c, "{addr}", alice.Flow().Local().String())
			if !slices.ContainsFunc(r.Contacts, func(got string) bool { return strings.HasPrefix(got, want) }) {
				t.Errorf("%q is not in %q", want, r.Contacts)
			}
		}
		raw := w.raw(w.phoneA, peer.UDP)
		for _, contact := range []string{
			"<sip:alice@{host}:50a0>", "<(ip:alice@{host}:5060>", "<sip:alice@{host}:5060", "\"{host}\" <sip:alice@{addr}>;y={host}",
			"<sip:alice@example.net;gr={addr}>", "<tel:123;phone-context={host}>", "{host}",
		} {
			m, err := raw.Exchange(w.within(5*time.Second), "OPTIONS sip:bob@"+domain+` SIP/2.0
Via: SIP/2.0/{proto} {addr};branch={branch};rport
From: <sip:alice@`+domain+`>;tag={tag}
To: <sip:bob@`+domain+`>
Call-ID: {callid}
CSeq: {cseq} OPTIONS
Contact: `+contact+`
Max-Forwards: 70
Content-Length: 0

`)
			w.must(err)
			t.Logf("%s: %s, sent on as %s", contact, m.Start(), w.last(w.prov.Received("OPTIONS")).Get("contact"))
		}
		w.clean()
	})
}
