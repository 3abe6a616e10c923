package memnet

import (
	"fmt"
	"net/netip"
	"time"
)

// A Behaviour is how a NAT treats different remotes (RFC 4787 §4.1, §5).
type Behaviour uint8

// The behaviours, from the kindest to the strictest.
const (
	EndpointIndependent Behaviour = iota
	AddressDependent
	AddressAndPortDependent
)

// A Midstream policy is what a NAT does with a TCP segment from inside that is
// no SYN and belongs to no mapping: after a loss of state, all of them.
type Midstream uint8

// The policies.
const (
	Adopt  Midstream = iota // make a new mapping, as Linux with tcp_loose=1
	Ignore                  // drop it, as Linux with tcp_loose=0
	Reset                   // answer with a RST, as many home routers
)

// NAT describes a gateway between two segments. The zero values of the
// optional fields give endpoint-independent mapping and filtering on random
// ports.
type NAT struct {
	Inside, Outside         *Segment
	InsideAddr, OutsideAddr string

	Mapping, Filtering Behaviour
	PreservePort       bool // the outside port is the inside one where that is free
	Overload           bool // an outside port serves several mappings to different remotes, as on Linux
	Hairpin            bool // inside hosts reach each other by their outside addresses
	RefreshInbound     bool // UDP from outside keeps a mapping alive too (RFC 4787 REQ-6)

	UDPTimeout time.Duration // 0: 120 s
	TCPTimeout time.Duration // of an idle established connection; 0: 2 h 4 min (RFC 5382 REQ-5)

	Midstream   Midstream
	RefuseTCP   bool // unknown TCP from outside gets a RST; else silence
	InputAccept bool // unknown UDP from outside takes up a conntrack entry for 30 s, so that the same port towards that remote is no longer free

	Forwards []Forward // static port forwards
	ALG      bool      // the Linux SIP helper on port 5060
}

// A Forward passes a range of outside ports to an inside host, and keeps these
// ports for it on the way out.
type Forward struct {
	TCP      bool
	From, To uint16 // inclusive
	Host     string
}

const (
	defaultUDPTimeout = 120 * time.Second
	defaultTCPTimeout = 2*time.Hour + 4*time.Minute
	tcpTransitory     = 4 * time.Minute  // SYN seen, or FIN both ways (RFC 5382 REQ-5)
	tcpAfterReset     = 10 * time.Second // as Linux
	inputTimeout      = 30 * time.Second
	natPorts          = 1024
)

// A Gateway is a running NAT.
type Gateway struct {
	net      *Network
	cfg      NAT
	inside   netip.Addr
	outside  netip.Addr
	mappings map[mapKey]*mapping
	ports    map[portKey][]*mapping
	inputs   map[inputKey]time.Time
	forwards []forward
	expected []expectation
	blocked  bool
	salt     uint64 // other ports after Rebind
	rebound  bool
}

type forward struct {
	Forward
	host netip.Addr
}

// NAT adds a gateway. The first one of a segment is the way out for its hosts.
// Packets of the other address family are routed through it, not translated.
func (n *Network) NAT(cfg NAT) *Gateway {
	n.lock()
	defer n.unlock()
	if cfg.UDPTimeout == 0 {
		cfg.UDPTimeout = defaultUDPTimeout
	}
	if cfg.TCPTimeout == 0 {
		cfg.TCPTimeout = defaultTCPTimeout
	}
	g := &Gateway{
		net: n, cfg: cfg,
		inside:  netip.MustParseAddr(cfg.InsideAddr),
		outside: netip.MustParseAddr(cfg.OutsideAddr),
		inputs:  make(map[inputKey]time.Time),
	}
	for _, f := range cfg.Forwards {
		g.forwards = append(g.forwards, forward{f, netip.MustParseAddr(f.Host)})
	}
	g.flush()
	g.attach(cfg.Inside, g.inside)
	g.attach(cfg.Outside, g.outside)
	if cfg.Inside.gateway == nil {
		cfg.Inside.gateway = g
	}
	cfg.Outside.inward = append(cfg.Outside.inward, g)
	return g
}

func (g *Gateway) attach(s *Segment, a netip.Addr) {
	if _, ok := s.nodes[a]; ok {
		panic(fmt.Sprintf("memnet: %v is taken on %s", a, s.name))
	}
	s.nodes[a] = g
}

// Flush loses all state; where ports are preserved, new mappings look like the
// old ones.
func (g *Gateway) Flush() {
	g.net.lock()
	defer g.net.unlock()
	g.flush()
}

func (g *Gateway) flush() {
	g.mappings = make(map[mapKey]*mapping)
	g.ports = make(map[portKey][]*mapping)
	clear(g.inputs)
	g.expected = nil
}

// Rebind loses all state, and new mappings get other ports than before, even
// where ports are preserved.
func (g *Gateway) Rebind() {
	g.net.lock()
	defer g.net.unlock()
	g.flush()
	g.rebound = true
	g.salt++
}

// SetOutside gives the gateway another outside address: the old state is lost.
func (g *Gateway) SetOutside(addr string) {
	g.net.lock()
	defer g.net.unlock()
	delete(g.cfg.Outside.nodes, g.outside)
	g.outside = netip.MustParseAddr(addr)
	g.attach(g.cfg.Outside, g.outside)
	g.flush()
}

// Block makes the gateway a black hole, or lets it forward again.
func (g *Gateway) Block(on bool) {
	g.net.lock()
	defer g.net.unlock()
	g.blocked = on
}

// Mapped returns the outside address of the inside address local towards
// remote, where a mapping is alive.
func (g *Gateway) Mapped(tcp bool, local, remote netip.AddrPort) (netip.AddrPort, bool) {
	g.net.lock()
	defer g.net.unlock()
	m := g.lookup(g.key(tcp, local, remote))
	if m == nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(g.outside, m.outside), true
}

// receive takes a packet from either side.
func (g *Gateway) receive(p packet, in *Segment) {
	if g.blocked {
		return
	}
	if p.dst.Addr().Is4() != g.outside.Is4() {
		g.routed(p, in)
		return
	}
	if in == g.cfg.Outside {
		if p.dst.Addr() == g.outside {
			g.inbound(p)
		}
		return
	}
	if p.dst.Addr() != g.inside {
		g.outbound(p)
	}
}

// routed forwards a packet of the other family.
func (g *Gateway) routed(p packet, in *Segment) {
	switch to := p.dst.Addr(); {
	case to == g.inside || to == g.outside:
	case in == g.cfg.Outside:
		g.cfg.Inside.send(g, p)
	default:
		g.cfg.Outside.send(g, p)
	}
}

// outbound translates the source of a packet from inside.
func (g *Gateway) outbound(p packet) {
	tcp := p.tcp != nil
	k := g.key(tcp, p.src, p.dst)
	m := g.lookup(k)
	if s := m.session(p.dst); tcp && s == nil && (!p.tcp.syn || p.tcp.ack) {
		switch {
		case p.tcp.rst || g.cfg.Midstream == Ignore:
			return
		case g.cfg.Midstream == Reset:
			g.cfg.Inside.send(g, p.refusal())
			return
		}
	}
	if m == nil {
		if m = g.create(k, p.src, p.dst); m == nil {
			return // no port left
		}
	}
	g.touch(m, p, p.dst, true)
	out := netip.AddrPortFrom(g.outside, m.outside)
	if g.cfg.ALG && !g.algOutbound(&p, out) {
		return
	}
	p.src = out
	if p.dst.Addr() == g.outside {
		if g.cfg.Hairpin {
			g.inbound(p)
		}
		return
	}
	g.cfg.Outside.send(g, p)
}

// inbound translates the destination of a packet from outside.
func (g *Gateway) inbound(p packet) {
	tcp := p.tcp != nil
	m := g.find(tcp, p.dst.Port(), p.src)
	if m == nil {
		m = g.forwarded(tcp, p)
	}
	if m == nil {
		m = g.expectedBy(tcp, p)
	}
	if m == nil {
		g.unknown(p)
		return
	}
	g.touch(m, p, p.src, false)
	if g.cfg.ALG && !g.algInbound(&p, m.local) {
		return
	}
	p.dst = m.local
	g.cfg.Inside.send(g, p)
}

// unknown takes a packet from outside that belongs to nobody.
func (g *Gateway) unknown(p packet) {
	switch {
	case p.tcp == nil && g.cfg.InputAccept:
		g.inputs[inputKey{p.dst.Port(), p.src}] = time.Now().Add(inputTimeout)
	case p.tcp != nil && g.cfg.RefuseTCP && !p.tcp.rst:
		g.cfg.Outside.send(g, p.refusal())
	}
}
