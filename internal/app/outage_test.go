package app_test

import (
	"strings"
	"testing"
	"time"

	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

// A call goes on while the flow breaks and comes back: audio is not touched, and
// what either side says afterwards arrives.
func TestCallOutlivesItsFlow(t *testing.T) {
	both(t, plan{}, func(w *world, near, far *peer.Call) {
		w.heard(near, far)
		w.sleep(15 * time.Second) // a server that throws us out at once is left in peace for a while
		w.prov.Kill()
		w.heard(near, far)
		w.must(near.Hold(w.within(10 * time.Second)))
		w.must(near.Resume(w.within(10 * time.Second)))
		w.sleep(15 * time.Second)
		w.prov.Kill()
		w.sleep(5 * time.Second)
		w.must(far.Hold(w.within(10 * time.Second)))
		w.must(far.Resume(w.within(10 * time.Second)))
		w.heard(near, far)
		w.over(far, near)
	})
}

// A BYE that is on its way when the flow breaks goes again on the next one.
func TestByeWhileTheFlowBreaks(t *testing.T) {
	both(t, plan{}, func(w *world, near, far *peer.Call) {
		w.wan.Delay(50 * time.Millisecond)
		hungUp := make(chan error, 1)
		go func() { hungUp <- near.Hangup(w.within(10 * time.Second)) }()
		w.sleep(10 * time.Millisecond)
		w.prov.Kill()
		w.must(<-hungUp)
		w.must(far.Ended(w.within(10 * time.Second)))
	})
}

// A call whose BYE never comes, for its provider is gone, is given up after five
// minutes without media; one on hold is not.
func TestCallGivenUp(t *testing.T) {
	for _, hold := range []bool{false, true} {
		t.Run(map[bool]string{true: "on hold", false: "silent"}[hold], func(t *testing.T) {
			live(t, plan{proto: peer.TCP}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.Refresh = true })
				w.registered(alice, "alice")
				far, near := w.called(alice, "alice")
				w.heard(far, near)
				if hold {
					w.must(near.Hold(w.within(time.Second)))
				}
				w.sleep(10 * time.Minute)
				if up := w.pending()["calls"] == 1; up != hold {
					t.Errorf("%v", w.pending())
				}
				if given := strings.Contains(w.log.String(), "call given up"); given == hold {
					t.Errorf("in the log: %v", given)
				}
				w.over(near, far)
				w.sleep(40 * time.Second)
				w.settled()
			})
		})
	}
}

// A flow that is down answers calls at once, or nearly, with 503 and no
// Retry-After; a REGISTER of an unknown phone with at most 30 s (P-19).
func TestFlowDown(t *testing.T) {
	for _, proto := range []string{peer.TCP, peer.TLS} {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice, bob := w.phone(w.phoneA, "alice", peer.UDP), w.phone(w.phoneB, "bob", peer.UDP)
				w.registered(alice, "alice")
				w.prov.Stop(true)
				w.sleep(time.Second)
				call, err := alice.Call(w.ctx, "ring")
				w.must(err)
				if err := call.Answered(w.within(5 * time.Second)); peer.Status(err) != 503 {
					t.Errorf("INVITE: %v, want 503", err)
				}
				if m := withStatus(alice.Responses("INVITE"), 503); len(m) != 1 || m[0].Get("retry-after") != "" {
					t.Errorf("%d 503", len(m))
				}
				r, err := bob.Register(w.within(5 * time.Second))
				if peer.Status(err) != 503 || r.Response.Get("retry-after") != "30" {
					t.Errorf("REGISTER of an unknown phone: %v", err)
				}
				r, err = alice.Register(w.within(5 * time.Second))
				w.must(err)
				if r.Expires > 30*time.Second {
					t.Errorf("a known phone got %v", r.Expires)
				}
				w.must(w.prov.Restart(false))
				w.sleep(2 * time.Minute)
				w.registered(bob, "bob")
				w.registered(alice, "alice")
				far, near := w.called(alice, "alice")
				w.over(far, near)
				w.sleep(40 * time.Second)
				w.settled()
			})
		})
	}
}

// An INVITE that rings while its flow breaks: the phone's answer goes over the
// next one.
func TestAnswerAfterTheFlowBroke(t *testing.T) {
	for _, proto := range []string{peer.TCP, peer.TLS} {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				for _, answer := range []bool{true, false} {
					far, err := w.prov.Call(w.ctx, "alice")
					w.must(err)
					near, err := alice.Expect(w.within(time.Second))
					w.must(err)
					w.must(near.Ring())
					w.sleep(100 * time.Millisecond)
					w.wan.Filter(func(p memnet.Packet) bool { return !p.TCP }) // it cannot come back yet
					w.prov.Kill()
					w.host.Conns()[len(w.host.Conns())-1].Reset()
					w.sleep(100 * time.Millisecond)
					if answer {
						w.must(near.Answer())
					} else {
						w.must(near.Reject(486))
					}
					w.sleep(200 * time.Millisecond)
					w.wan.Filter(nil)
					w.sleep(time.Minute)
					want := map[bool]int{true: 200, false: 486}[answer]
					_, err = w.prov.Wait(w.within(time.Second), func(m *peer.Message) bool {
						return !m.Sent && m.Status() == want && m.CallID() == far.CallID() && m.Method() == "INVITE"
					})
					w.must(err)
					if answer {
						_ = near.Hangup(w.within(5 * time.Second))
					}
				}
				w.sleep(7 * time.Minute)
				w.settled()
				w.registered(alice, "alice")
				far, near := w.called(alice, "alice")
				w.over(far, near)
			})
		})
	}
}
