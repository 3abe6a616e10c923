package memnet

import (
	"net/netip"
	"time"
)

// hops is how many segments a packet may cross.
const hops = 16

// A packet is a UDP datagram or a TCP segment. Its data is never changed in
// place: several nodes may hold it.
type packet struct {
	src, dst netip.AddrPort
	data     []byte
	tcp      *header // nil: UDP
	ttl      int
}

// A header is what a TCP segment says besides its data. Segments, not bytes,
// are numbered, so that a middlebox may change their length; from and to name
// the connection at either end, as initial sequence numbers do.
type header struct {
	syn, ack, fin, rst bool
	seq, acked         uint64
	window             int
	from, to           uint64
}

// visible says that a tap shows the packet: bare acknowledgements are not.
func (p *packet) visible() bool {
	return p.tcp == nil || len(p.data) > 0 || p.tcp.syn || p.tcp.fin || p.tcp.rst
}

// seen is the packet as a tap shows it.
func (p *packet) seen(now time.Time, segment string) Packet {
	s := Packet{Time: now, Segment: segment, Src: p.src, Dst: p.dst, Payload: p.data}
	h := p.tcp
	if h == nil {
		return s
	}
	s.TCP, s.Seq = true, h.seq
	switch {
	case h.rst:
		s.Flags = "R"
	case h.syn && h.ack:
		s.Flags = "SA"
	case h.syn:
		s.Flags = "S"
	case h.fin:
		s.Flags = "F"
	default:
		s.Flags = "A"
	}
	return s
}

// refusal is the reset that answers a segment nobody wants.
func (p *packet) refusal() packet {
	return packet{
		src: p.dst, dst: p.src, ttl: hops,
		tcp: &header{rst: true, ack: true, from: p.tcp.to, to: p.tcp.from},
	}
}
