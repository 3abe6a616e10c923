//go:build lab

package lab

import (
	"testing"
	"time"

	"pinhole/testbed/need"
	"pinhole/testbed/peer"
)

// After kill -9 and a start the phone is called under its old alias, and did
// nothing for it.
func TestRestart(t *testing.T) {
	need.Root(t)
	t.Parallel()
	for _, place := range []Place{OnHost, OnRouter} {
		for _, proto := range []string{peer.UDP, peer.TCP, peer.TLS} {
			t.Run(variant{place: place, proto: proto}.String(), func(t *testing.T) {
				t.Parallel()
				c := NewCell(t, RouterOptions{})
				provider := c.StartProvider(Certificate{})
				c.StartSTUN()
				bob := c.OutsidePhone(outsidePhone)
				pinhole := c.StartPinhole(provider, PinholeOptions{Place: place, Proto: proto})
				alice := pinhole.Phone("alice", peer.UDP, phoneLAN, nil)
				c.register(alice)
				row := pinhole.mapped(provider, "alice")
				registers := len(alice.Sent("REGISTER"))

				pinhole.Kill()
				killed := time.Now()
				pinhole.Start()
				pinhole.says("flow up", 2)
				t.Logf("the flow was up again %v after kill -9", time.Since(killed).Round(time.Millisecond))
				t.Logf("called: %s", c.callIn(bob, alice))

				if now, err := provider.Contact("alice"); err != nil || now != row {
					t.Errorf("the location table holds %+v, want still %+v: %v", now, row, err)
				}
				if n := len(alice.Sent("REGISTER")) - registers; n > 0 {
					t.Errorf("the phone sent %d REGISTERs after the restart", n)
				}
				t.Logf("calls out: %s", c.callOut(alice, bob))
				if _, err := alice.Unregister(c.within(patience)); err != nil {
					t.Error(err)
				}
				if rows, err := provider.Contacts("alice"); err != nil || len(rows) > 0 {
					t.Errorf("after unregistering the location table holds %+v: %v", rows, err)
				}
				c.assertNoLeaks(provider, "REGISTER", "INVITE", "ACK", "BYE")
			})
		}
	}
}
