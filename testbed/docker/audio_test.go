//go:build docker

package docker

import (
	"fmt"
	"net/netip"
	"strings"
)

// talk is how many packets of 20 ms each end of a call sends before what was
// heard is counted.
const talk = 100

// leadIn is the time that is not counted, in seconds: NATs and media servers
// learn in it.
const leadIn = 0.5

// A Direction is what became of one end's sound.
type Direction struct {
	What        string
	Sent, Heard int // packets; heard are those that arrived unchanged
}

func (d Direction) String() string { return fmt.Sprintf("%s %d/%d", d.What, d.Heard, d.Sent) }

// ok demands 95 %.
func (d Direction) ok() bool { return d.Sent > 0 && 100*d.Heard >= 95*d.Sent }

// network is the capture that sees what a phone sends and hears.
func (p *Phone) network() *Capture {
	if strings.HasPrefix(p.IP, lanNet) {
		return p.w.LAN
	}
	return p.w.WAN
}

func (c *Call) packets(p *Phone) []Packet {
	if p.network() == c.w.LAN {
		return c.w.LAN.since(c.lan)
	}
	return c.w.WAN.since(c.wan)
}

// isRTP says whether a payload is audio: version 2, and no RTCP.
func isRTP(b []byte) bool { return len(b) > 12 && b[0]>>6 == 2 && b[1]&0x7f < 64 }

// spoken are the RTP packets that left a phone; heard those that came to it.
func (c *Call) spoken(p *Phone) (out []Packet) {
	ip := netip.MustParseAddr(p.IP)
	for _, pkt := range c.packets(p) {
		if pkt.Src.Addr() == ip && isRTP(pkt.Payload) {
			out = append(out, pkt)
		}
	}
	return out
}

func (c *Call) heard(p *Phone) map[string]bool {
	ip, out := netip.MustParseAddr(p.IP), map[string]bool{}
	for _, pkt := range c.packets(p) {
		if pkt.Dst.Addr() == ip && isRTP(pkt.Payload) {
			out[sound(pkt.Payload)] = true
		}
	}
	return out
}

// sound is what the way must not change: number, time stamp and payload, but
// not the SSRC, which a media server may give anew.
func sound(rtp []byte) string { return string(rtp[2:8]) + string(rtp[12:]) }

// sound counts what of one phone's voice the other heard. A packet that was sent
// just now has yet to arrive: the last 200 ms do not count.
func (c *Call) sound(from, to *Phone) Direction {
	all, heard := c.spoken(from), c.heard(to)
	d := Direction{What: from.User + ">" + to.User}
	for _, pkt := range all {
		if pkt.At < all[0].At+leadIn || pkt.At > all[len(all)-1].At-0.2 {
			continue
		}
		d.Sent++
		if heard[sound(pkt.Payload)] {
			d.Heard++
		}
	}
	return d
}

// talked waits until both ends have spoken for long enough, an echo excepted,
// and returns what each heard of the other.
func (c *Call) talked() []Direction {
	c.w.t.Helper()
	ends := []*Phone{c.From}
	if c.To.in != nil {
		ends = append(ends, c.To)
	}
	c.w.eventually(c.From.User+" and "+c.To.User+" talk", patience, func() error {
		for _, p := range ends {
			if n := len(c.spoken(p)); n < talk {
				return fmt.Errorf("%s has sent %d packets", p.User, n)
			}
		}
		return nil
	})
	if c.To.in == nil { // sipp sends back what it hears
		return []Direction{c.sound(c.From, c.To), c.echo()}
	}
	return []Direction{c.sound(c.From, c.To), c.sound(c.To, c.From)}
}

// echo counts what of the caller's voice came back to itself.
func (c *Call) echo() Direction {
	d := c.sound(c.From, c.From)
	d.What = c.To.User + ">" + c.From.User
	return d
}

// assertHeard demands that both hear each other.
func (c *Call) assertHeard() []Direction {
	c.w.t.Helper()
	both := c.talked()
	for _, d := range both {
		if !d.ok() {
			c.w.t.Errorf("of %d packets of %s %d arrived, want 95 %%", d.Sent, d.What, d.Heard)
		}
	}
	return both
}
