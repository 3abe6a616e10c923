//go:build lab

package lab

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/need"
	"pinhole/testbed/peer"
)

// The control of the 75 s of TestMatrix: with keep-alives off the router
// forgets the flow, and the second call ends at its WAN side.
func TestWithoutKeepAliveTheCallIsLost(t *testing.T) {
	need.Root(t)
	t.Parallel()
	for _, proto := range []string{peer.UDP, peer.TCP, peer.TLS} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			c := NewCell(t, RouterOptions{})
			provider := c.StartProvider(Certificate{})
			c.StartSTUN()
			bob := c.OutsidePhone(outsidePhone)
			pinhole := c.StartPinhole(provider, PinholeOptions{Place: OnHost, Proto: proto, NAT: `keepalive = "off"`})
			alice := pinhole.Phone("alice", peer.UDP, phoneLAN, nil)
			c.register(alice)
			row := pinhole.mapped(provider, "alice")
			c.callIn(bob, alice)
			time.Sleep(idle)

			table, err := c.mappings()
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(table, fmt.Sprintf("dport=%d ", pinhole.port())) {
				t.Errorf("after %v the router still knows the flow:\n%s", idle, table)
			}
			if now, err := provider.Contact("alice"); err != nil || now != row {
				t.Errorf("the location table holds %+v, want still %+v: %v", now, row, err)
			}
			inside, outside := fromProvider(c.LAN), fromProvider(c.WAN)
			call, err := bob.Call(c.within(patience), "alice")
			if err != nil {
				t.Fatal(err)
			}
			err = call.Answered(c.within(time.Minute))
			if s := peer.Status(err); s != 408 && s != 477 {
				t.Errorf("calling alice: %v, want 408 or 477", err)
			}
			if n := len(alice.Received("INVITE")); n != 1 {
				t.Errorf("alice got %d calls, want the first alone", n)
			}
			if fromProvider(c.WAN) == outside {
				t.Error("the second call did not reach the router")
			}
			if fromProvider(c.LAN) != inside {
				t.Error("the second call passed the router")
			}
			c.assertNoLeaks(provider, "REGISTER", "INVITE")
		})
	}
}

// fromProvider counts the bytes of the provider that passed.
func fromProvider(at *Capture) int {
	n := 0
	for _, pkt := range at.Packets() {
		if pkt.Src.Addr() == providerSIP {
			n += len(pkt.Payload)
		}
	}
	return n
}
