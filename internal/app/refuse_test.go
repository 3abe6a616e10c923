package app_test

import (
	"fmt"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// P-12: the refusal of a phone reaches the caller; each side has its ACK hop by
// hop, and no ports stay behind.
func TestPhoneRefuses(t *testing.T) {
	for _, proto := range transports {
		for _, lan := range []string{peer.UDP, peer.TCP} {
			for _, status := range []int{486, 603, 404, 480, 500} {
				t.Run(fmt.Sprintf("%s to %s %d", proto, lan, status), func(t *testing.T) {
					live(t, plan{proto: proto}, func(w *world) {
						alice := w.phone(w.phoneA, "alice", lan)
						w.registered(alice, "alice")
						outside, err := w.prov.Call(w.ctx, "alice")
						w.must(err)
						inside, err := alice.Expect(w.within(5 * time.Second))
						w.must(err)
						w.must(inside.Ring())
						w.must(inside.Reject(status))
						if err := outside.Answered(w.within(5 * time.Second)); peer.Status(err) != status {
							t.Errorf("%v, want %d", err, status)
						}
						w.sleep(40 * time.Second)
						acks := alice.Received("ACK")
						if len(acks) != 1 || w.branchOf(acks[0]) != w.branchOf(inside.Invite()) {
							t.Errorf("%d ACKs at the phone", len(acks))
						}
						w.settled()
						w.clean()
					})
				})
			}
		}
	}
}

// P-12: the same the other way, through a 407; the phone's own ACKs end here.
func TestProviderRefuses(t *testing.T) {
	for _, proto := range transports {
		for _, lan := range []string{peer.UDP, peer.TCP} {
			t.Run(proto+" from "+lan, func(t *testing.T) {
				live(t, plan{proto: proto}, func(w *world) {
					alice := w.phone(w.phoneA, "alice", lan)
					w.registered(alice, "alice")
					call, err := alice.Call(w.ctx, "busy")
					w.must(err)
					if err := call.Answered(w.within(5 * time.Second)); peer.Status(err) != 486 {
						t.Errorf("%v, want 486", err)
					}
					w.sleep(40 * time.Second)
					invites, acks := w.prov.Received("INVITE"), w.prov.Received("ACK")
					if len(invites) != 2 || len(acks) != 2 {
						t.Fatalf("%d INVITEs, %d ACKs", len(invites), len(acks))
					}
					for i := range invites {
						a, b := invites[i], acks[i]
						if w.branchOf(a) != w.branchOf(b) || a.URI() != b.URI() || a.CallID() != b.CallID() || a.Get("from") != b.Get("from") {
							t.Errorf("INVITE\n%s\nACK\n%s", a.Raw, b.Raw)
						}
						if answer := withStatus(w.prov.Sent("INVITE"), []int{407, 486}[i])[0]; b.Get("to") != answer.Get("to") {
							t.Errorf("To of the ACK %q, of the answer %q", b.Get("to"), answer.Get("to"))
						}
					}
					w.settled()
					w.clean()
				})
			})
		}
	}
}

// P§3.7: a provider's 503 is never shown to a phone, which would black-list us.
func TestProviderUnavailable(t *testing.T) {
	for _, lan := range []string{peer.UDP, peer.TCP} {
		t.Run(lan, func(t *testing.T) {
			live(t, plan{proto: peer.TCP}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", lan)
				w.registered(alice, "alice")
				w.prov.Set(func(q *peer.Quirks) { q.Refuse = map[string]int{"INVITE": 503, "MESSAGE": 503, "REGISTER": 503} })
				call, err := alice.Call(w.ctx, "ring")
				w.must(err)
				if err := call.Answered(w.within(5 * time.Second)); peer.Status(err) != 500 {
					t.Errorf("INVITE: %v, want 500", err)
				}
				if _, err := alice.Request(w.within(5*time.Second), "MESSAGE", "bob", nil, ""); peer.Status(err) != 500 {
					t.Errorf("MESSAGE: %v, want 500", err)
				}
				if _, err := alice.Register(w.within(5 * time.Second)); peer.Status(err) != 500 {
					t.Errorf("REGISTER: %v, want 500", err)
				}
				w.sleep(40 * time.Second)
				w.settled()
			})
		})
	}
}

// P-33: a redirect passes, and shows nothing of the LAN; where it names another
// phone of the house, that one rings when the caller follows it.
func TestPhoneRedirects(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice, bob := w.raw(w.phoneA, peer.UDP), w.phone(w.phoneB, "bob", peer.UDP)
				w.rawRegister(alice, "alice", "secret")
				w.registered(bob, "bob")
				outside, err := w.prov.Call(w.ctx, "alice")
				w.must(err)
				invite, err := alice.Wait(w.within(5*time.Second), request("INVITE"))
				w.must(err)
				contacts := []string{
					"Contact: <sip:bob@" + bob.Flow().Local().String() + ">;q=0.7", "Contact: <tel:+49301234567>;q=0.1",
					"Contact: <sip:carol@elsewhere.example.net>;q=0.5",
				}
				w.must(alice.Respond(invite, 302, contacts, ""))
				if err := outside.Answered(w.within(5 * time.Second)); peer.Status(err) != 302 {
					t.Fatalf("%v, want 302", err)
				}
				answers := outside.Responses()
				got := answers[len(answers)-1].Elems("contact")
				if len(got) != 3 || got[1] != "<tel:+49301234567>;q=0.1" || got[2] != "<sip:carol@elsewhere.example.net>;q=0.5" {
					t.Errorf("Contacts %q", got)
				}
				w.clean()
				next, err := w.prov.Call(w.ctx, "alice", peer.ToURI(uriOf(got[0])))
				w.must(err)
				inside, err := bob.Expect(w.within(5 * time.Second))
				w.must(err)
				w.must(inside.Answer())
				w.must(next.Answered(w.within(5 * time.Second)))
			})
		})
	}
}
