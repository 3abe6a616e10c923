package app_test

import (
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// Pinhole on the router itself, with an address on either side: there is no NAT
// to learn of, and nothing of the LAN is shown.
func TestOnTheRouterItself(t *testing.T) {
	for _, proto := range transports {
		for _, stun := range []bool{true, false} {
			t.Run(proto+map[bool]string{true: " with STUN", false: ""}[stun], func(t *testing.T) {
				live(t, plan{proto: proto, edge: true, noSTUN: !stun}, func(w *world) {
					alice := w.phone(w.phoneA, "alice", peer.UDP)
					if b := w.registered(alice, "alice"); !strings.Contains(b.URI, b.Flow.Remote().String()) || b.Flow.Remote().Addr().String() != wanEdge {
						t.Errorf("alias %s, the flow comes from %s", b.URI, b.Flow.Remote())
					}
					far, near := w.called(alice, "alice")
					w.heard(far, near)
					w.must(near.Hold(w.within(5 * time.Second)))
					w.must(near.Resume(w.within(5 * time.Second)))
					w.over(near, far)
					near, far = w.answered(alice, "ring")
					w.heard(near, far)
					w.over(far, near)
					w.sleep(40 * time.Second)
					w.settled()
					w.clean()
				})
			})
		}
	}
}

// No STUN server at all behind a NAT: the provider's answers tell the tuple.
func TestWithoutSTUN(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto, noSTUN: true}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				if b := w.registered(alice, "alice"); !strings.Contains(b.URI, b.Flow.Remote().String()) {
					t.Errorf("alias %s, the flow comes from %s", b.URI, b.Flow.Remote())
				}
				far, near := w.called(alice, "alice")
				w.heard(far, near)
				w.over(near, far)
				near, far = w.answered(alice, "ring")
				w.heard(near, far)
				w.over(far, near)
				w.clean()
			})
		})
	}
}
