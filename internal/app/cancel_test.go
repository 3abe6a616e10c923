package app_test

import (
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// P-14: the phone's CANCEL is answered at once; ours goes upstream with the
// INVITE's own branch and nothing of the LAN.
func TestPhoneCancels(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				call, err := alice.Call(w.ctx, "ring")
				w.must(err)
				outside, err := w.prov.Expect(w.within(5 * time.Second))
				w.must(err)
				w.must(call.Rings(w.within(5 * time.Second)))
				w.must(call.Cancel(w.within(5 * time.Second)))
				w.must(outside.Ended(w.within(5 * time.Second)))
				if err := call.Answered(w.within(5 * time.Second)); peer.Status(err) != 487 {
					t.Errorf("the INVITE: %v, want 487", err)
				}
				cancel, invite := outside.EndedBy(), outside.Invite()
				if w.branchOf(cancel) != w.branchOf(invite) || cancel.URI() != invite.URI() || cancel.Get("to") != invite.Get("to") {
					t.Errorf("INVITE\n%s\nCANCEL\n%s", invite.Raw, cancel.Raw)
				}
				if n, _ := cancel.CSeq(); cancel.Get("contact") != "" || cancel.Get("proxy-authorization") != "" || n == 0 {
					t.Errorf("CANCEL\n%s", cancel.Raw)
				}
				w.sleep(40 * time.Second)
				if acks := w.prov.Received("ACK"); len(acks) != 2 { // 407, 487
					t.Errorf("%d ACKs", len(acks))
				}
				w.settled()
				w.clean()
			})
		})
	}
}

// P-14: no CANCEL goes upstream before a provisional response came.
func TestPhoneCancelsBeforeTheProviderSaysAnything(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"INVITE": true, "CANCEL": true} })
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				call, err := alice.Call(w.ctx, "ring")
				w.must(err)
				w.must(call.Cancel(w.within(time.Second)))
				w.sleep(3 * time.Second)
				if n := len(w.prov.Received("CANCEL")); n != 0 {
					t.Fatalf("%d CANCELs before any response", n)
				}
				invite := w.last(w.prov.Received("INVITE"))
				w.respond(invite, "100 Trying", nil, "")
				cancel, err := w.prov.WaitRequest(w.within(time.Second), "CANCEL", 1)
				w.must(err)
				if w.branchOf(cancel) != w.branchOf(invite) {
					t.Errorf("INVITE\n%s\nCANCEL\n%s", invite.Raw, cancel.Raw)
				}
				w.respond(cancel, "200 OK", nil, "")
				w.respond(invite, "487 Request Terminated", nil, "")
				if err := call.Answered(w.within(time.Second)); peer.Status(err) != 487 {
					t.Errorf("%v, want 487", err)
				}
				w.sleep(40 * time.Second)
				w.settled()
			})
		})
	}
}

// P-15: a CANCEL that crosses the 200 changes nothing: the call is up, and the
// phone hangs up as it must.
func TestCancelCrossesAnswer(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				call, err := alice.Call(w.ctx, "ring")
				w.must(err)
				outside, err := w.prov.Expect(w.within(5 * time.Second))
				w.must(err)
				w.must(call.Rings(w.within(5 * time.Second)))
				w.wan.Delay(50 * time.Millisecond)
				w.must(outside.Answer())
				w.must(call.Cancel(w.within(5 * time.Second)))
				w.must(call.Answered(w.within(5 * time.Second)))
				w.must(outside.Confirmed(w.within(5 * time.Second)))
				w.heard(call, outside)
				w.must(call.Hangup(w.within(5 * time.Second)))
				w.must(outside.Ended(w.within(5 * time.Second)))
				w.sleep(40 * time.Second)
				w.settled()
				w.clean()
			})
		})
	}
}

// A caller outside hangs up before the phone answers: before it rings and after.
func TestCallerCancels(t *testing.T) {
	for _, proto := range transports {
		for _, lan := range []string{peer.UDP, peer.TCP} {
			t.Run(proto+" to "+lan, func(t *testing.T) {
				live(t, plan{proto: proto}, func(w *world) {
					alice := w.phone(w.phoneA, "alice", lan)
					w.registered(alice, "alice")
					for _, rings := range []bool{false, true} {
						outside, err := w.prov.Call(w.ctx, "alice")
						w.must(err)
						inside, err := alice.Expect(w.within(5 * time.Second))
						w.must(err)
						if rings {
							w.must(inside.Ring())
							w.must(outside.Rings(w.within(5 * time.Second)))
						}
						w.must(outside.Cancel(w.within(5 * time.Second)))
						w.must(inside.Ended(w.within(5 * time.Second)))
						if by := inside.EndedBy(); by == nil || by.Method() != "CANCEL" || w.branchOf(by) != w.branchOf(inside.Invite()) {
							t.Errorf("ended by %v", by)
						}
						if err := outside.Answered(w.within(5 * time.Second)); peer.Status(err) != 487 {
							t.Errorf("%v, want 487", err)
						}
					}
					w.sleep(40 * time.Second)
					w.settled()
					w.clean()
				})
			})
		}
	}
}

// The same with two phones ringing: both are cancelled, the caller hears of it
// once.
func TestCallerCancelsTwoPhones(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		one, two := w.phone(w.phoneA, "alice", peer.UDP), w.phone(w.phoneB, "alice", peer.TCP)
		w.registered(one, "alice")
		w.registered(two, "alice")
		outside, err := w.prov.Call(w.ctx, "alice", peer.ToURI("sip:alice@"+wanRouter))
		w.must(err)
		var ends []*peer.Call
		for _, p := range []*peer.Phone{one, two} {
			c, err := p.Expect(w.within(5 * time.Second))
			w.must(err)
			w.must(c.Ring())
			ends = append(ends, c)
		}
		w.must(outside.Rings(w.within(5 * time.Second)))
		w.must(outside.Cancel(w.within(5 * time.Second)))
		for _, c := range ends {
			w.must(c.Ended(w.within(5 * time.Second)))
		}
		if err := outside.Answered(w.within(5 * time.Second)); peer.Status(err) != 487 {
			t.Errorf("%v, want 487", err)
		}
		w.sleep(40 * time.Second)
		w.settled()
	})
}

// P-15: a CANCEL that names nothing gets 481 on the LAN and is never challenged.
func TestStrayCancel(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		p := w.raw(w.phoneA, peer.UDP)
		m, err := p.Exchange(w.within(5*time.Second), "CANCEL sip:ring@"+domain+` SIP/2.0
Via: SIP/2.0/UDP {addr};branch={branch}
From: <sip:alice@`+domain+`>;tag={tag}
To: <sip:ring@`+domain+`>
Call-ID: {callid}
CSeq: 7 CANCEL
Max-Forwards: 70
Content-Length: 0

`)
		w.must(err)
		if m.Status() != 481 || len(w.prov.Received("CANCEL")) != 0 {
			t.Errorf("%s, and %d passed on", m.Start(), len(w.prov.Received("CANCEL")))
		}
	})
}
