package proxy

import (
	"net/netip"

	"pinhole/internal/binding"
	"pinhole/internal/transport"
)

// A PathID numbers a socket or connection for the life of the program; 0 is
// none.
type PathID uint32

// A Side is one of the two sides a path can be on.
type Side uint8

// The phone side, and the upstream side.
const (
	LAN Side = iota
	WAN
)

// A Path is a LAN UDP socket, a LAN connection or an upstream flow, as the core
// sees it.
type Path struct {
	ID       PathID
	Side     Side
	Listener string // LAN: the listener's name
	Upstream string // WAN: the upstream's name
	Gen      uint64 // WAN: the flow's generation
	Proto    transport.Proto
	Local    netip.AddrPort
	Remote   netip.AddrPort // zero on a LAN UDP socket
}

// An endpoint is where a message came from and where its answer goes.
type endpoint struct {
	path *Path
	addr netip.AddrPort
}

// source returns the endpoint as bindings keep it.
func (e endpoint) source() binding.Source {
	return binding.Source{
		Path: uint32(e.path.ID), Listener: e.path.Listener,
		Proto: e.path.Proto.String(), Addr: e.addr,
	}
}

// endpointOf returns where a phone is reached now, false if its connection is
// gone. A UDP phone known from before a restart is reached by the socket of its
// listener.
func (c *Core) endpointOf(s binding.Source) (endpoint, bool) {
	if s.Path == 0 && s.Proto == transport.UDP.String() {
		s.Path = c.listening(s.Listener)
	}
	p := c.paths[PathID(s.Path)]
	if p == nil {
		return endpoint{}, false
	}
	return endpoint{path: p, addr: s.Addr}, true
}

// listening returns the UDP path of a listener, 0 if it has none.
func (c *Core) listening(listener string) uint32 {
	for id, p := range c.paths {
		if p.Side == LAN && p.Listener == listener && p.Proto == transport.UDP {
			return uint32(id)
		}
	}
	return 0
}

// An Output is one thing that the driver does for the core, in order.
type Output struct {
	Kind Kind
	Path PathID
	To   netip.AddrPort // Send on UDP
	Data []byte         // Send

	Upstream string // Fail, Pongs, KeepAlive: the flow
	Gen      uint64
	Err      error // Fail, Close: why

	Seconds int    // KeepAlive
	NAT     bool   // Behind
	Serial  uint64 // Save: Saved(Serial) is due when this state is on disk
	Media   mediaWork
}

// A Kind says what an Output asks for.
type Kind uint8

// The outputs.
const (
	Send        Kind = iota // put Data on a path
	Close                   // close a LAN connection
	KeepOpen                // a LAN connection has registered: no idle limit
	Save                    // write the state; Saved follows where Serial is not 0
	Fail                    // the flow is dead or poisoned: make it anew
	Pongs                   // the provider promised pongs on this flow (RFC 5626 §4.4)
	KeepAlive               // the provider named the keep-alive interval
	Behind                  // the flow is, or is not (NAT), behind a NAT
	MediaOpen               // open or grow a media session, then call Media.done
	MediaClose              // close a media session
	MediaPublic             // Media.WAN is seen as Media.Public: for ports that STUN could not tell
)
