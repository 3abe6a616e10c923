//go:build lab

package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/need"
	"pinhole/testbed/peer"
)

// The controls: the same phones behind the same router without Pinhole. Each
// must fail, and for the cause that Pinhole is there to cure (design §8).

// Where nothing rewrites the messages, the provider keeps a private Contact
// and cannot reach the phone; TLS hides the messages from the ALG too.
func TestControlInboundCallIsLost(t *testing.T) {
	need.Root(t)
	t.Parallel()
	for _, cell := range []struct {
		proto string
		alg   bool
	}{{peer.UDP, false}, {peer.TCP, false}, {peer.TLS, false}, {peer.TLS, true}} {
		t.Run(cellName(cell.proto, cell.alg), func(t *testing.T) {
			t.Parallel()
			c := NewCell(t, RouterOptions{ALG: cell.alg})
			provider := c.StartProvider(Certificate{})
			bob, alice := c.OutsidePhone(outsidePhone), c.BarePhone(provider, cell.proto, nil)
			c.register(alice)

			row, err := provider.Contact("alice")
			if err != nil {
				t.Fatal(err)
			}
			at, err := row.Addr()
			if err != nil || !lanPrefix.Contains(at.Addr()) || row.Received != "" {
				t.Errorf("the location table holds %+v, want alice's private address: %v", row, err)
			}
			call, err := bob.Call(c.within(patience), "alice")
			if err != nil {
				t.Fatal(err)
			}
			err = call.Answered(c.within(time.Minute))
			if s := peer.Status(err); s != 408 && s != 477 {
				t.Errorf("calling alice: %v, want 408 or 477", err)
			}
			if came := alice.Received("INVITE"); len(came) > 0 {
				t.Errorf("alice got the call:\n%s", came[0].Raw)
			}
		})
	}
}

// The scanner finds the phone's address in each kind of message of a bare
// phone, in the clear on the WAN and, under TLS, at the provider.
func TestControlLeaks(t *testing.T) {
	need.Root(t)
	t.Parallel()
	for _, proto := range []string{peer.UDP, peer.TCP, peer.TLS} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			c := NewCell(t, RouterOptions{})
			provider := c.StartProvider(Certificate{})
			bob, alice := c.OutsidePhone(outsidePhone), c.BarePhone(provider, proto, nil)
			c.register(alice)
			caller, callee := c.connectCall(alice, bob, "bob")
			c.hangUp(caller, callee)

			methods := []string{"REGISTER", "INVITE", "ACK", "BYE"}
			c.eventually("the provider wrote all its messages", patience, func() error {
				_, err := c.Leaks(provider, methods...)
				return err
			})
			leaks, err := c.Leaks(provider, methods...)
			if err != nil {
				t.Fatal(err)
			}
			onWire := 0
			for _, method := range methods {
				found := 0
				for _, l := range leaks {
					if strings.Contains(l.Where, "provider: "+method) {
						found++
					}
				}
				if found == 0 {
					t.Errorf("no leak found in %s, only %v", method, leaks)
				}
			}
			for _, l := range leaks {
				if strings.HasPrefix(l.Where, routerWAN.String()) {
					onWire++
				}
			}
			if clear := proto != peer.TLS; clear != (onWire > 0) {
				t.Errorf("over %s %d leaks were found on the wire: %v", proto, onWire, leaks)
			}
		})
	}
}

// With the kernel's ALG on UDP and TCP the call arrives, because the router has
// rewritten Via and Contact. But the ALG lets in media only from the address of
// the signalling: what comes from another one ends at the router, and its first
// packet takes the port from the phone.
func TestControlALG(t *testing.T) {
	need.Root(t)
	t.Parallel()
	for _, proto := range []string{peer.UDP, peer.TCP} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			c, bob, alice := behindALG(t, proto, outsidePhone)
			out, in := c.connectCall(bob, alice, "alice")
			aliceHears, bobHears := c.announce(out, in)
			t.Log(heard("alice", aliceHears), heard("bob", bobHears))
			if bobHears.Fraction() < 0.95 {
				t.Errorf("%s, want 95 %%", heard("bob", bobHears))
			}
			atWAN, atLAN := c.WAN.from(out.Media().Local()), c.LAN.from(out.Media().Local())
			if aliceHears.Equal > 0 || atLAN > 0 || atWAN == 0 {
				t.Errorf("%s, %d of %d packets passed the router: want none to", heard("alice", aliceHears), atLAN, atWAN)
			}
			c.hangUp(out, in)
		})
	}
}

// That the address of the media is the cause: from the very address of the
// signalling the same phones hear each other, over UDP.
func TestControlALGWithMediaAtTheProvider(t *testing.T) {
	need.Root(t)
	t.Parallel()
	c, bob, alice := behindALG(t, peer.UDP, netip.AddrPortFrom(providerSIP, 5070))
	out, in := c.connectCall(bob, alice, "alice")
	aliceHears, bobHears := c.announce(out, in)
	if aliceHears.Fraction() < 0.95 || bobHears.Fraction() < 0.95 {
		t.Errorf("%s, %s, want 95 %%", heard("alice", aliceHears), heard("bob", bobHears))
	}
	c.hangUp(out, in)
}

// Over TCP such a call is dropped by the ALG of Linux 6.18, again and again, and
// all that follows on the connection with it. Other kernels may differ: this is
// a record, not a demand.
func TestControlALGWedgesTCP(t *testing.T) {
	need.Root(t)
	t.Parallel()
	c, bob, alice := behindALG(t, peer.TCP, netip.AddrPortFrom(providerSIP, 5070))
	call, err := bob.Call(c.within(patience), "alice")
	if err != nil {
		t.Fatal(err)
	}
	err = call.Answered(c.within(10 * time.Second))
	t.Logf("the caller got: %v; INVITEs at the phone: %d", err, len(alice.Received("INVITE")))
}

// behindALG is a cell with the ALG, bob at an address and alice registered
// without Pinhole; it demands that the ALG did its work.
func behindALG(t *testing.T, proto string, at netip.AddrPort) (c *Cell, bob, alice *peer.Phone) {
	t.Helper()
	c = NewCell(t, RouterOptions{ALG: true})
	provider := c.StartProvider(Certificate{})
	bob, alice = c.OutsidePhone(at), c.BarePhone(provider, proto, nil)
	c.register(alice)
	if on, err := c.helped(); err != nil || !on {
		t.Fatalf("the ALG is not attached: %v", err)
	}
	row, err := provider.Contact("alice")
	if err != nil {
		t.Fatal(err)
	}
	if at, err := row.Addr(); err != nil || at.Addr() != routerWAN {
		t.Errorf("the location table holds %+v, want the router's address: %v", row, err)
	}
	assertAltered(t, provider, alice)
	return c, bob, alice
}

// announce lets the caller speak first, as an announcement does, and the callee
// once the router has seen it; it returns what each of them heard.
func (c *Cell) announce(caller, callee *peer.Call) (calleeHears, callerHears peer.Direction) {
	c.t.Helper()
	caller.Media().Talk(true)
	c.eventually("the caller's first packet at the router", patience, func() error {
		if c.WAN.from(caller.Media().Local()) == 0 {
			return fmt.Errorf("no packet from %v", caller.Media().Local())
		}
		return nil
	})
	audio, err := callee.Audio(c.within(patience), talk, caller)
	if err != nil {
		c.t.Fatal(err)
	}
	return audio.In, audio.Out
}

// assertAltered demands that the provider got another REGISTER than the phone
// sent, in Via and Contact alone.
func assertAltered(t *testing.T, provider *Provider, phone *peer.Phone) {
	t.Helper()
	all, err := provider.Trace()
	if err != nil {
		t.Fatal(err)
	}
	sent := phone.Sent("REGISTER")[0]
	for _, got := range all {
		if got.Sent || got.Method() != "REGISTER" || got.Get("call-id") != sent.CallID() {
			continue
		}
		for _, name := range []string{"via", "contact"} {
			if got.Get(name) == sent.Get(name) || strings.Contains(got.Get(name), phoneLAN.String()) {
				t.Errorf("the ALG left %s: %s", name, got.Get(name))
			}
		}
		return
	}
	t.Errorf("the provider saw no REGISTER of the phone")
}

// A SDP with a host name is dropped by the ALG for ever; without the ALG it
// arrives. On TCP all that follows on the connection is lost with it.
func TestControlHostNameInSDP(t *testing.T) {
	need.Root(t)
	t.Parallel()
	hostName := func(sdp string) string {
		return strings.ReplaceAll(sdp, "c=IN IP4 "+phoneLAN.String(), "c=IN IP4 phone.example.net")
	}
	for _, proto := range []string{peer.UDP, peer.TCP} {
		for _, alg := range []bool{false, true} {
			t.Run(cellName(proto, alg), func(t *testing.T) {
				t.Parallel()
				c := NewCell(t, RouterOptions{ALG: alg})
				provider := c.StartProvider(Certificate{})
				c.OutsidePhone(outsidePhone)
				alice := c.BarePhone(provider, proto, hostName)
				c.register(alice)
				if _, err := alice.Call(c.within(patience), "bob"); err != nil {
					t.Fatal(err)
				}
				if !alg {
					c.eventually("the INVITE arrives", patience, func() error { return passes(c.WAN, "INVITE", 1) })
					return
				}
				if proto == peer.UDP { // sent again after 0.5, 1 and 2 s
					c.eventually("the INVITE is sent four times", 10*patience, func() error { return passes(c.LAN, "INVITE", 4) })
				} else { // the connection is wedged
					if _, err := alice.Request(c.within(2*time.Second), "OPTIONS", "sip:"+domain, nil, ""); err == nil {
						t.Error("OPTIONS after the INVITE was answered: the connection is not wedged")
					}
					c.eventually("the INVITE was sent", patience, func() error { return passes(c.LAN, "INVITE", 1) })
				}
				if passes(c.WAN, "INVITE", 1) == nil {
					t.Error("the INVITE passed the ALG")
				}
			})
		}
	}
}

// passes says why fewer than n requests of a method passed an interface
// towards the provider.
func passes(at *Capture, method string, n int) error {
	var to []Packet
	for _, pkt := range at.Packets() {
		if pkt.Dst.Addr() == providerSIP {
			to = append(to, pkt)
		}
	}
	all, err := messagesOf(to)
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.Status() == 0 && m.Method() == method {
			n--
		}
	}
	if n > 0 {
		return fmt.Errorf("%s: %d too few at %s", method, n, at.iface)
	}
	return nil
}

func cellName(proto string, alg bool) string {
	return fmt.Sprintf("%s/alg=%t", proto, alg)
}
