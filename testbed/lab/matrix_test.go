//go:build lab

package lab

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"pinhole/testbed/need"
	"pinhole/testbed/peer"
)

// idle is longer than the router remembers anything (35 s, 60 s).
const idle = 75 * time.Second

// A variant is one cell of the matrix.
type variant struct {
	place Place
	proto string
	alg   bool
}

func (v variant) String() string {
	return strings.ReplaceAll(fmt.Sprintf("%s/%s/alg=%t", v.place, v.proto, v.alg), " ", "-")
}

// lanProto is what the cell's phone speaks: with Pinhole on the router TCP, so
// that both are in the matrix.
func (v variant) lanProto() string {
	if v.place == OnRouter {
		return peer.TCP
	}
	return peer.UDP
}

func variants() []variant {
	var all []variant
	for _, place := range []Place{OnHost, OnRouter} {
		for _, proto := range []string{peer.UDP, peer.TCP, peer.TLS} {
			for _, alg := range []bool{false, true} {
				all = append(all, variant{place, proto, alg})
			}
		}
	}
	return all
}

// results are the rows of the table that a test prints at its end.
type results struct {
	mu   sync.Mutex
	rows []string
}

func (r *results) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, fmt.Sprintf(format, args...))
}

// print is called when all subtests are over.
func (r *results) print(t *testing.T, head string) {
	t.Log("\n" + head + "\n" + strings.Join(r.rows, "\n"))
}

// The main job, in each cell: a phone registers, is called and heard, calls out
// through a 407, is called again after the NAT has had time to forget, and
// unregisters.
func TestMatrix(t *testing.T) {
	need.Root(t)
	t.Parallel()
	var table results
	t.Cleanup(func() {
		table.print(t, "Packets after the first 500 ms that arrived equal: phone hears / internet phone hears\n"+
			"cell                      registered at       called     calls out  after 75 s")
	})
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			c := NewCell(t, RouterOptions{ALG: v.alg})
			provider := c.StartProvider(Certificate{})
			c.StartSTUN()
			bob := c.OutsidePhone(outsidePhone)
			pinhole := c.StartPinhole(provider, PinholeOptions{Place: v.place, Proto: v.proto})
			alice := pinhole.Phone("alice", v.lanProto(), phoneLAN, nil)
			c.register(alice)
			row := pinhole.mapped(provider, "alice")
			at, _ := row.Addr()
			c.assertHelper(v)

			called := c.callIn(bob, alice)
			callsOut := c.callOut(alice, bob)
			time.Sleep(idle)
			later := c.callIn(bob, alice)
			table.add("%-25s %-19v %-10s %-10s %-10s", v, at, called, callsOut, later)

			if now, err := provider.Contact("alice"); err != nil || now.URI != row.URI {
				t.Errorf("the location table holds %+v, was %+v: %v", now, row, err)
			}
			if _, err := alice.Unregister(c.within(patience)); err != nil {
				t.Error(err)
			}
			if rows, err := provider.Contacts("alice"); err != nil || len(rows) > 0 {
				t.Errorf("after unregistering the location table holds %+v: %v", rows, err)
			}
			c.assertUntouched(v.place)
			c.assertNoLeaks(provider, "REGISTER", "OPTIONS", "INVITE", "ACK", "BYE")
		})
	}
}

// A hearing is what both ends of a call heard.
type hearing struct{ phone, outside peer.Direction }

func (h hearing) String() string {
	return fmt.Sprintf("%d/%d %d/%d", h.phone.Equal, h.phone.Sent, h.outside.Equal, h.outside.Sent)
}

// assertHeard demands 95 % each way.
func (c *Cell) assertHeard(what string, h hearing) {
	c.t.Helper()
	if h.phone.Fraction() < 0.95 || h.outside.Fraction() < 0.95 {
		c.t.Errorf("%s: %s, %s, want 95 %%", what, heard("the phone", h.phone), heard("the internet phone", h.outside))
	}
}

// callIn has the internet phone call the LAN phone; the caller speaks first, as
// in the control.
func (c *Cell) callIn(from, to *peer.Phone) hearing {
	c.t.Helper()
	out, in := c.connectCall(from, to, "alice")
	var h hearing
	h.phone, h.outside = c.announce(out, in)
	c.assertHeard("called", h)
	c.hangUp(out, in)
	return h
}

// callOut has the LAN phone call the internet phone, through a 407; the callee
// hangs up.
func (c *Cell) callOut(from, to *peer.Phone) hearing {
	c.t.Helper()
	out, in := c.connectCall(from, to, "bob")
	challenged := false
	for _, m := range out.Responses() {
		challenged = challenged || m.Status() == 407
	}
	if !challenged {
		c.t.Error("the call out was not challenged")
	}
	audio, err := out.Audio(c.within(patience), talk, in)
	if err != nil {
		c.t.Fatal(err)
	}
	h := hearing{phone: audio.In, outside: audio.Out}
	c.assertHeard("calling out", h)
	c.hangUp(in, out)
	return h
}

// assertHelper demands that the router's ALG looks at the flow where it can.
func (c *Cell) assertHelper(v variant) {
	c.t.Helper()
	want := v.alg && v.proto != peer.TLS
	if on, err := c.helped(); err != nil || on != want {
		c.t.Errorf("the ALG is attached: %t, want %t: %v", on, want, err)
	}
}

// assertNoLeaks demands that nothing that left the router names an address of
// the LAN, once all these methods have been seen.
func (c *Cell) assertNoLeaks(p *Provider, methods ...string) {
	c.t.Helper()
	var leaks []Leak
	c.eventually("the provider wrote all its messages", patience, func() (err error) {
		leaks, err = c.Leaks(p, methods...)
		return err
	})
	for _, l := range leaks {
		c.t.Errorf("leak %s in %s: %q", l.Form, l.Where, l.Text)
	}
}

// assertUntouched demands that what Pinhole sends from a LAN host reaches the
// provider byte for byte, whatever the router does to it.
func (c *Cell) assertUntouched(at Place) {
	c.t.Helper()
	if at != OnHost {
		return // nothing is between it and the provider
	}
	sent, arrived := 0, 0
	c.eventually("what Pinhole sends leaves the router unchanged", patience, func() error {
		inside, outside := towardsProvider(c.LAN, hostLAN), towardsProvider(c.WAN, routerWAN)
		sent, arrived = len(inside), len(outside)
		if sent != arrived {
			return fmt.Errorf("%d datagrams or streams came, %d left", sent, arrived)
		}
		for i, pkt := range inside {
			if !bytes.Equal(pkt.Payload, outside[i].Payload) {
				return fmt.Errorf("number %d was\n%q, and left as\n%q", i, pkt.Payload, outside[i].Payload)
			}
		}
		return nil
	})
	if sent == 0 {
		c.t.Error("nothing was sent to the provider")
	}
}

// towardsProvider returns what passed from an address to the provider.
func towardsProvider(at *Capture, from netip.Addr) []Packet {
	var out []Packet
	for _, pkt := range at.Packets() {
		if pkt.Src.Addr() == from && pkt.Dst.Addr() == providerSIP {
			out = append(out, pkt)
		}
	}
	return out
}
