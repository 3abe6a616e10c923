package media

import "net/netip"

// An rtcpLatch decides which packets of an RTCP socket are relayed. RTCP
// follows RTP: it is heard from the IP that RTP comes from, and learns that
// IP's port, but never an IP of its own. The zero value is ready.
type rtcpLatch struct {
	policy *policy
	src    netip.AddrPort // of RTP, when exact was noted
	exact  bool           // the signalled address has spoken: no other port is learned
}

func (t *rtcpLatch) judge(r *remote, b []byte, from netip.AddrPort) verdict {
	p := r.policy
	if t.policy != p || t.src != r.src {
		t.policy, t.src, t.exact = p, r.src, false
	}
	rtcp := isRTCP(b)
	switch {
	case from == p.rtcp:
		t.exact = t.exact || rtcp
		if rtcp && r.settled && from != r.toRTCP {
			return learn
		}
		return accept
	case p.bridged:
		return drop
	case r.src.IsValid() && from.Addr() == r.src.Addr():
		if rtcp && r.settled && !t.exact && p.rtp.IsValid() && from != r.toRTCP {
			return learn
		}
		return accept
	case p.rtp.IsValid() && from.Addr() == p.rtp.Addr():
		return accept
	}
	return drop
}
