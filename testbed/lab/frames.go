//go:build lab

package lab

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// A Packet is the payload of one UDP datagram or one direction of a TCP
// connection, put together from the frames of a capture.
type Packet struct {
	At       time.Time // of the first byte
	TCP      bool
	Src, Dst netip.AddrPort
	Payload  []byte
}

// Packets returns what passed: each UDP datagram, and for each direction of
// each TCP connection its bytes in order, once, up to the first gap.
func (p *Capture) Packets() []Packet {
	var out []Packet
	fragments := map[fragmentKey]*datagram{}
	streams := streams{open: map[tuple]*stream{}}
	for _, f := range p.snapshot() {
		d, ok := joinFragments(fragments, f)
		if !ok {
			continue
		}
		switch d.protocol {
		case 17:
			if u, ok := d.udp(); ok {
				out = append(out, u)
			}
		case 6:
			streams.add(d)
		}
	}
	for _, s := range streams.all {
		if s.Payload = s.bytes(); len(s.Payload) > 0 {
			out = append(out, s.Packet)
		}
	}
	slices.SortStableFunc(out, func(a, b Packet) int { return a.At.Compare(b.At) })
	return out
}

// from counts the packets of one source.
func (p *Capture) from(src netip.AddrPort) int {
	n := 0
	for _, pkt := range p.Packets() {
		if pkt.Src == src {
			n++
		}
	}
	return n
}

// A datagram is a whole IPv4 payload.
type datagram struct {
	at       time.Time
	src, dst netip.Addr
	protocol byte
	data     []byte
	have     int // bytes of fragments so far
	want     int // -1 until the last fragment is known
}

type fragmentKey struct {
	src, dst netip.Addr
	id       uint16
	protocol byte
}

// joinFragments decodes a frame; a fragment is kept until its datagram is whole.
func joinFragments(partial map[fragmentKey]*datagram, f frame) (*datagram, bool) {
	const ethernet = 14
	b := f.data
	if len(b) < ethernet+20 || binary.BigEndian.Uint16(b[12:]) != 0x0800 {
		return nil, false
	}
	b = b[ethernet:]
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < 20 || total < head || total > len(b) {
		return nil, false
	}
	src, _ := netip.AddrFromSlice(b[12:16])
	dst, _ := netip.AddrFromSlice(b[16:20])
	key := fragmentKey{src, dst, binary.BigEndian.Uint16(b[4:]), b[9]}
	flags := binary.BigEndian.Uint16(b[6:])
	more, offset := flags&0x2000 != 0, int(flags&0x1fff)*8
	b = b[head:total]
	if !more && offset == 0 {
		return &datagram{at: f.at, src: src, dst: dst, protocol: key.protocol, data: b}, true
	}
	d := partial[key]
	if d == nil {
		d = &datagram{at: f.at, src: src, dst: dst, protocol: key.protocol, want: -1}
		partial[key] = d
	}
	if short := offset + len(b) - len(d.data); short > 0 {
		d.data = append(d.data, make([]byte, short)...)
	}
	d.have += copy(d.data[offset:], b)
	if !more {
		d.want = offset + len(b)
	}
	if d.have != d.want {
		return nil, false
	}
	delete(partial, key)
	return d, true
}

func (d *datagram) ports() (src, dst netip.AddrPort) {
	return netip.AddrPortFrom(d.src, binary.BigEndian.Uint16(d.data)),
		netip.AddrPortFrom(d.dst, binary.BigEndian.Uint16(d.data[2:]))
}

func (d *datagram) udp() (Packet, bool) {
	if len(d.data) < 8 {
		return Packet{}, false
	}
	src, dst := d.ports()
	return Packet{At: d.at, Src: src, Dst: dst, Payload: d.data[8:]}, true
}

// A stream is one direction of one TCP connection.
type stream struct {
	Packet
	first    uint32 // sequence number of the first byte
	segments []segment
}

type tuple struct{ src, dst netip.AddrPort }

// streams holds every connection seen; a tuple that is used again by a new
// connection opens a new one.
type streams struct {
	open map[tuple]*stream
	all  []*stream
}

type segment struct {
	offset int
	data   []byte
}

func (t *streams) add(d *datagram) {
	if len(d.data) < 20 {
		return
	}
	src, dst := d.ports()
	head := int(d.data[12]>>4) * 4
	if head < 20 || head > len(d.data) {
		return
	}
	first, data := binary.BigEndian.Uint32(d.data[4:]), d.data[head:]
	seq := first
	syn := d.data[13]&2 != 0
	if syn {
		first++
	}
	s := t.open[tuple{src, dst}]
	if s == nil || syn && s.first != first {
		s = &stream{Packet: Packet{At: d.at, TCP: true, Src: src, Dst: dst}, first: first}
		t.open[tuple{src, dst}] = s
		t.all = append(t.all, s)
	}
	if len(data) > 0 {
		s.segments = append(s.segments, segment{int(int32(seq - s.first)), data})
	}
}

// bytes puts the segments in order; what was sent again counts once.
func (s *stream) bytes() []byte {
	slices.SortStableFunc(s.segments, func(a, b segment) int { return cmp.Compare(a.offset, b.offset) })
	var out []byte
	for _, g := range s.segments {
		if g.offset < 0 || g.offset > len(out) {
			continue // a keep-alive probe, or behind a gap
		}
		if skip := len(out) - g.offset; skip < len(g.data) {
			out = append(out, g.data[skip:]...)
		}
	}
	return out
}
