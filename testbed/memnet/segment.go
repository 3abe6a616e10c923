package memnet

import (
	"net/netip"
	"slices"
	"time"
)

// A Segment is one layer-2 network: a LAN, a carrier's access network, or the
// internet. Its methods are safe for concurrent use.
type Segment struct {
	net      *Network
	name     string
	prefixes []netip.Prefix
	nodes    map[netip.Addr]node
	gateway  *Gateway
	inward   []*Gateway // gateways whose outside this is, for routed IPv6

	loss, reorder float64
	delay, jitter time.Duration
	late          time.Duration
	links         map[link]*linkState
	taps          []func(Packet)
	filter        func(Packet) bool
}

// A link is one direction between two addresses of a segment.
type link struct {
	tcp      bool
	src, dst netip.Addr
}

type linkState struct {
	count uint64    // packets so far
	last  time.Time // when the last TCP segment arrives: TCP keeps its order
}

// A Packet is a UDP datagram or a TCP segment as it was seen on a segment.
type Packet struct {
	Time     time.Time
	Segment  string
	TCP      bool
	Src, Dst netip.AddrPort
	Flags    string // TCP: "S", "SA", "A" (with data), "F", "R"
	Seq      uint64 // TCP: number of the segment within its direction; a repeat has the same
	Payload  []byte // not to be changed
	Lost     bool   // by Loss, or refused by Filter
}

// Loss drops this fraction of the packets sent on the segment.
func (s *Segment) Loss(fraction float64) {
	s.net.lock()
	defer s.net.unlock()
	s.loss = fraction
}

// Delay holds each packet back for d.
func (s *Segment) Delay(d time.Duration) {
	s.net.lock()
	defer s.net.unlock()
	s.delay = d
}

// Jitter holds each packet back for up to d more. UDP datagrams may then
// overtake each other.
func (s *Segment) Jitter(d time.Duration) {
	s.net.lock()
	defer s.net.unlock()
	s.jitter = d
}

// Reorder holds this fraction of the UDP datagrams back for late more.
func (s *Segment) Reorder(fraction float64, late time.Duration) {
	s.net.lock()
	defer s.net.unlock()
	s.reorder, s.late = fraction, late
}

// Tap calls f for every UDP datagram and for every TCP segment that carries
// data, SYN, FIN or RST, as it is sent on the segment. f runs with the network
// locked: it may record, and must not use the network.
func (s *Segment) Tap(f func(Packet)) {
	s.net.lock()
	defer s.net.unlock()
	s.taps = append(s.taps, f)
}

// Filter drops the packets for which pass is false; nil passes all. It sees
// what a tap sees, under the same rule.
func (s *Segment) Filter(pass func(Packet) bool) {
	s.net.lock()
	defer s.net.unlock()
	s.filter = pass
}

// contains says that a belongs on this segment.
func (s *Segment) contains(a netip.Addr) bool {
	return slices.ContainsFunc(s.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// next returns the node that takes a packet for dst, or nil.
func (s *Segment) next(from node, dst netip.Addr) node {
	if to, ok := s.nodes[dst]; ok {
		return to
	}
	if s.contains(dst) {
		return nil
	}
	for _, g := range s.inward {
		if dst.Is6() && g.cfg.Inside.contains(dst) && node(g) != from {
			return g
		}
	}
	if s.gateway != nil && node(s.gateway) != from {
		return s.gateway
	}
	return nil
}

// send puts p on the wire.
func (s *Segment) send(from node, p packet) {
	n := s.net
	now := time.Now()
	k := link{p.tcp != nil, p.src.Addr(), p.dst.Addr()}
	l := s.links[k]
	if l == nil {
		l = &linkState{}
		s.links[k] = l
	}
	l.count++
	lost := s.loss > 0 && n.chance("loss", s, k, l.count) < s.loss
	if p.visible() && (len(s.taps) > 0 || s.filter != nil) {
		seen := p.seen(now, s.name)
		if s.filter != nil && !s.filter(seen) {
			lost = true
		}
		seen.Lost = lost
		for _, f := range s.taps {
			f(seen)
		}
	}
	to := s.next(from, p.dst.Addr())
	p.ttl--
	if lost || to == nil || p.ttl <= 0 {
		return
	}
	d := delivery{to, s, p}
	if wait := s.wait(now, k, l, p.tcp != nil); wait > 0 {
		n.at(now.Add(wait), func() { n.queue = append(n.queue, d) })
		return
	}
	n.queue = append(n.queue, d)
}

// wait returns how long a packet is under way.
func (s *Segment) wait(now time.Time, k link, l *linkState, tcp bool) time.Duration {
	d := s.delay
	if s.jitter > 0 {
		d += time.Duration(s.net.chance("jitter", s, k, l.count) * float64(s.jitter))
	}
	if !tcp {
		if s.reorder > 0 && s.net.chance("reorder", s, k, l.count) < s.reorder {
			d += s.late
		}
		return d
	}
	at := now.Add(d)
	if at.Before(l.last) {
		at = l.last
	}
	l.last = at
	return at.Sub(now)
}

// chance returns a number in [0,1) that depends on nothing but its arguments
// and the seed.
func (n *Network) chance(what string, s *Segment, k link, count uint64) float64 {
	h := hash(n.seed, what)
	h = hash(h, s.name)
	h = hash(h, k.src.String())
	h = hash(h, k.dst.String())
	if k.tcp {
		h++
	}
	return float64(mix(h^mix(count))>>11) / (1 << 53)
}

// hash is FNV-1a of s, started from h.
func hash(h uint64, s string) uint64 {
	h ^= 14695981039346656037
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
