package memnet

import (
	"net/netip"
	"slices"
	"time"
)

// An expectation lets one remote address in to a port, once, as the ALG asked.
type expectation struct {
	tcp     bool
	remote  netip.Addr
	local   netip.AddrPort
	port    uint16
	expires time.Time
}

// A mapKey is what decides which mapping a packet from inside uses: the remote
// is cut down to what the Mapping behaviour looks at.
type mapKey struct {
	tcp           bool
	local, remote netip.AddrPort
}

type portKey struct {
	tcp  bool
	port uint16
}

type inputKey struct {
	port   uint16
	remote netip.AddrPort
}

// A mapping binds an inside address and port to an outside port; it lives as
// long as one of its sessions.
type mapping struct {
	key      mapKey
	local    netip.AddrPort
	outside  uint16
	sessions map[netip.AddrPort]*session
}

// A session is a mapping's traffic with one remote.
type session struct {
	expires       time.Time
	established   bool
	finIn, finOut bool
}

// key is the key of the mapping for local towards remote.
func (g *Gateway) key(tcp bool, local, remote netip.AddrPort) mapKey {
	k := mapKey{tcp: tcp, local: local}
	switch g.cfg.Mapping {
	case AddressDependent:
		k.remote = netip.AddrPortFrom(remote.Addr(), 0)
	case AddressAndPortDependent:
		k.remote = remote
	}
	return k
}

// lookup returns the live mapping of k, or nil.
func (g *Gateway) lookup(k mapKey) *mapping {
	m := g.mappings[k]
	if m == nil || g.alive(m) {
		return m
	}
	return nil
}

// alive says that m has a session left; else m is forgotten.
func (g *Gateway) alive(m *mapping) bool {
	now := time.Now()
	for r, s := range m.sessions {
		if !now.Before(s.expires) {
			delete(m.sessions, r)
		}
	}
	if len(m.sessions) > 0 {
		return true
	}
	if g.mappings[m.key] == m {
		delete(g.mappings, m.key)
	}
	k := portKey{m.key.tcp, m.outside}
	g.ports[k] = slices.DeleteFunc(g.ports[k], func(o *mapping) bool { return o == m })
	if len(g.ports[k]) == 0 {
		delete(g.ports, k)
	}
	return false
}

// find returns the mapping of an outside port that lets remote in, or nil.
func (g *Gateway) find(tcp bool, port uint16, remote netip.AddrPort) *mapping {
	for _, m := range slices.Clone(g.ports[portKey{tcp, port}]) {
		if g.alive(m) && g.admits(m, remote) {
			return m
		}
	}
	return nil
}

// admits is the filtering behaviour.
func (g *Gateway) admits(m *mapping, remote netip.AddrPort) bool {
	switch g.cfg.Filtering {
	case AddressDependent:
		for r := range m.sessions {
			if r.Addr() == remote.Addr() {
				return true
			}
		}
		return false
	case AddressAndPortDependent:
		return m.session(remote) != nil
	}
	return m.key.remote == netip.AddrPort{} || !g.cfg.Overload || m.session(remote) != nil
}

// forwarded returns a mapping for a packet to a forwarded port, or nil.
func (g *Gateway) forwarded(tcp bool, p packet) *mapping {
	for _, f := range g.forwards {
		if f.TCP != tcp || p.dst.Port() < f.From || p.dst.Port() > f.To {
			continue
		}
		local := netip.AddrPortFrom(f.host, p.dst.Port())
		k := g.key(tcp, local, p.src)
		if m := g.lookup(k); m != nil && m.outside == p.dst.Port() {
			return m
		}
		return g.add(k, local, p.dst.Port())
	}
	return nil
}

// expect notes what the ALG has read in a message.
func (g *Gateway) expect(tcp bool, remote netip.Addr, local netip.AddrPort, port uint16, life time.Duration) {
	g.expected = slices.DeleteFunc(g.expected, func(e expectation) bool {
		return e.tcp == tcp && e.remote == remote && e.port == port || time.Now().After(e.expires)
	})
	g.expected = append(g.expected, expectation{tcp, remote, local, port, time.Now().Add(life)})
}

// expectedBy returns a mapping for a packet the ALG expected, or nil.
func (g *Gateway) expectedBy(tcp bool, p packet) *mapping {
	for _, e := range g.expected {
		if e.tcp == tcp && e.remote == p.src.Addr() && e.port == p.dst.Port() && time.Now().Before(e.expires) {
			k := g.key(tcp, e.local, p.src)
			if m := g.lookup(k); m != nil {
				return m
			}
			return g.add(k, e.local, e.port)
		}
	}
	return nil
}

// session returns the session with remote, or nil; m may be nil.
func (m *mapping) session(remote netip.AddrPort) *session {
	if m == nil {
		return nil
	}
	return m.sessions[remote]
}

// create makes a mapping for k, or returns nil when all ports are taken.
func (g *Gateway) create(k mapKey, local, remote netip.AddrPort) *mapping {
	for _, f := range g.forwards {
		if f.TCP == k.tcp && f.host == local.Addr() && local.Port() >= f.From && local.Port() <= f.To {
			return g.add(k, local, local.Port())
		}
	}
	if g.cfg.PreservePort && !g.rebound && g.free(k.tcp, local.Port(), remote) {
		return g.add(k, local, local.Port())
	}
	h := hash(g.net.seed+g.salt, local.String())
	h = mix(hash(h, k.remote.String()))
	for i := range uint64(1<<16 - natPorts) {
		port := uint16(natPorts + (h+i)%(1<<16-natPorts))
		if g.free(k.tcp, port, remote) && (port != local.Port() || g.cfg.PreservePort && !g.rebound) {
			return g.add(k, local, port)
		}
	}
	return nil
}

// free says that an outside port can be used towards remote.
func (g *Gateway) free(tcp bool, port uint16, remote netip.AddrPort) bool {
	for _, f := range g.forwards {
		if f.TCP == tcp && port >= f.From && port <= f.To {
			return false
		}
	}
	if !tcp && time.Now().Before(g.inputs[inputKey{port, remote}]) {
		return false
	}
	for _, m := range slices.Clone(g.ports[portKey{tcp, port}]) {
		if g.alive(m) && (!g.cfg.Overload || m.session(remote) != nil || g.cfg.Mapping == EndpointIndependent) {
			return false
		}
	}
	return true
}

func (g *Gateway) add(k mapKey, local netip.AddrPort, port uint16) *mapping {
	m := &mapping{key: k, local: local, outside: port, sessions: make(map[netip.AddrPort]*session)}
	g.mappings[k] = m
	p := portKey{k.tcp, port}
	g.ports[p] = append(g.ports[p], m)
	return m
}

func (g *Gateway) udpTimeout(remote netip.AddrPort) time.Duration {
	if g.cfg.ALG && remote.Port() == sipPort {
		return algUDPTimeout
	}
	return g.cfg.UDPTimeout
}

// touch keeps the mapping's session with remote alive, as the packet allows.
func (g *Gateway) touch(m *mapping, p packet, remote netip.AddrPort, outward bool) {
	now := time.Now()
	s := m.sessions[remote]
	fresh := s == nil
	if fresh {
		if !outward && p.tcp == nil && !g.cfg.RefreshInbound && len(m.sessions) > 0 {
			return // let in by the filter; it keeps nothing alive
		}
		s = &session{}
		m.sessions[remote] = s
	}
	if p.tcp == nil {
		if fresh || outward || g.cfg.RefreshInbound {
			s.expires = now.Add(g.udpTimeout(remote))
		}
		return
	}
	h := p.tcp
	s.established = s.established || !h.syn
	s.finOut = s.finOut || outward && h.fin
	s.finIn = s.finIn || !outward && h.fin
	switch {
	case h.rst:
		s.expires = now.Add(tcpAfterReset)
	case h.syn && !h.ack && outward:
		*s = session{expires: now.Add(tcpTransitory)}
	case !s.established || s.finIn && s.finOut:
		s.expires = now.Add(tcpTransitory)
	default:
		s.expires = now.Add(g.cfg.TCPTimeout)
	}
}
