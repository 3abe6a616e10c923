//go:build lab

package lab

import (
	"strings"
	"testing"

	"pinhole/testbed/need"
	"pinhole/testbed/peer"
)

// Where the NAT gives the flow another port than STUN was told, the location
// table holds what the provider sees, and the ALG finds nothing to change.
func TestRemappedPort(t *testing.T) {
	need.Root(t)
	t.Parallel()
	for _, v := range variants() {
		if v.place != OnHost {
			continue
		}
		t.Run(cellName(v.proto, v.alg), func(t *testing.T) {
			t.Parallel()
			c := NewCell(t, RouterOptions{ALG: v.alg, Remap: true})
			provider := c.StartProvider(Certificate{})
			c.StartSTUN()
			bob := c.OutsidePhone(outsidePhone)
			pinhole := c.StartPinhole(provider, PinholeOptions{Place: v.place, Proto: v.proto})
			alice := pinhole.Phone("alice", peer.UDP, phoneLAN, nil)
			c.register(alice)
			row := pinhole.mapped(provider, "alice")
			if at, err := row.Addr(); err != nil || at.Port() < 61000 || at.Port() > 61999 {
				t.Errorf("the location table holds %+v, want a port of the NAT: %v", row, err)
			}
			c.assertHelper(v)
			t.Logf("called: %s, calls out: %s", c.callIn(bob, alice), c.callOut(alice, bob))
			c.assertUntouched(v.place)
			c.assertNoLeaks(provider, "REGISTER", "OPTIONS", "INVITE", "ACK", "BYE")
		})
	}
}

// A phone that names a host in its SDP is heard all the same: the control
// without Pinhole is TestControlHostNameInSDP.
func TestHostNameInSDP(t *testing.T) {
	need.Root(t)
	t.Parallel()
	hostName := func(sdp string) string {
		return strings.ReplaceAll(sdp, "c=IN IP4 "+phoneLAN.String(), "c=IN IP4 phone.example.net")
	}
	for _, proto := range []string{peer.UDP, peer.TCP} {
		for _, alg := range []bool{false, true} {
			t.Run(cellName(proto, alg), func(t *testing.T) {
				t.Parallel()
				v := variant{OnHost, proto, alg}
				c := NewCell(t, RouterOptions{ALG: alg})
				provider := c.StartProvider(Certificate{})
				c.StartSTUN()
				bob := c.OutsidePhone(outsidePhone)
				pinhole := c.StartPinhole(provider, PinholeOptions{Place: v.place, Proto: proto})
				alice := pinhole.Phone("alice", peer.UDP, phoneLAN, hostName)
				c.register(alice)
				c.assertHelper(v)
				t.Logf("calls out: %s, called: %s", c.callOut(alice, bob), c.callIn(bob, alice))
				if err := passes(c.WAN, "INVITE", 2); err != nil { // without and with credentials
					t.Error(err)
				}
				if all, err := c.sdpAt(provider); err != nil || len(all) < 3 {
					t.Errorf("SDP of Pinhole's at the provider: %q, %v", all, err)
				} else {
					for _, line := range all {
						if line != "c=IN IP4 "+routerWAN.String() {
							t.Errorf("the provider got %s", line)
						}
					}
				}
				c.assertUntouched(v.place)
				c.assertNoLeaks(provider, "REGISTER", "OPTIONS", "INVITE", "ACK", "BYE")
			})
		}
	}
}

// sdpAt returns the c= lines that Pinhole sent to the provider.
func (c *Cell) sdpAt(p *Provider) (lines []string, err error) {
	all, err := c.fromWAN(p)
	for _, m := range all {
		for line := range strings.Lines(m.Body) {
			if strings.HasPrefix(line, "c=") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	return lines, err
}
