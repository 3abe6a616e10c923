package media

import "net/netip"

// advertised is where the far end of the leg is told to send; Relay.mu is held.
func (l *leg) advertised() Addrs {
	a := Addrs{RTP: l.rtp.local, RTCP: l.rtcp.local}
	if l.side == LAN {
		return a
	}
	public := l.session.relay.public[l.rtp.local.Addr()]
	return Addrs{RTP: seenAs(&l.rtp.socket, l.public, public), RTCP: seenAs(&l.rtcp.socket, l.public, public)}
}

// seenAs is the address the world sees of a socket, which was probed while the
// public address was then. Many NATs keep a port when their address changes.
func seenAs(s *socket, then, public netip.Addr) netip.AddrPort {
	switch {
	case !s.mapped.IsValid() && !public.IsValid():
		return s.local
	case !s.mapped.IsValid():
		return netip.AddrPortFrom(public, s.local.Port())
	case then.IsValid() && public.IsValid() && then != public && s.mapped.Addr() != public:
		return netip.AddrPortFrom(public, s.mapped.Port())
	}
	return s.mapped
}

// bridge looks whether the policy's address is that of another stream of ours
// on the same side: a call between two of our phones that came back through the
// provider. Its media then stays inside: we send to that stream's own socket.
func (r *Relay) bridge(l *leg, p *policy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.bridged = nil
	if !p.rtp.IsValid() {
		return
	}
	for t := range r.legs {
		if t.side != l.side || p.rtp != t.rtp.local && p.rtp != t.advertised().RTP {
			continue
		}
		if loops(l, t) {
			p.rtp, p.rtcp = netip.AddrPort{}, netip.AddrPort{}
			l.log().Warn("media: a call's media comes back to itself, nothing is sent", "to", t.rtp.local)
			return
		}
		l.bridged = t
		p.rtp, p.rtcp, p.trust, p.bridged = t.rtp.local, t.rtcp.local, netip.Addr{}, true
		return
	}
}

// loops reports whether what l sends to t would come back to l: one packet
// would then go round for ever.
func loops(l, t *leg) bool {
	for ; t != nil; t = t.peer.bridged {
		if t == l || t.peer == l {
			return true
		}
	}
	return false
}
