package media

import (
	"net/netip"
	"time"
)

// Latching: which source a socket listens to (RFC 7362 §4, §5).
const (
	lockAfter    = 5               // consecutive good packets before an address is learned
	maxGap       = 3000            // sequence numbers these may skip (MAX_DROPOUT, RFC 3550 §A.1)
	relatchAfter = 5 * time.Second // silence of the locked source before its IP may use another port
	strangeAfter = 2 * time.Second // silence of the signalled address before somebody else is heard
)

// A policy is what one offer or answer says of a remote stream end. It is
// immutable; a new offer/answer makes a new one, which arms the latch again.
type policy struct {
	rtp, rtcp netip.AddrPort // signalled; zero: none, nothing is sent
	trust     netip.Addr     // the IP its SIP comes from; zero: none
	payloads  payloads
	opaque    bool // no RTP header (UDPTL): only addresses can be compared
	hold      bool // silence is no sign of a wrong address
	bridged   bool // rtp is a socket of another of our sessions: nobody else speaks for it
	at        time.Duration
}

// A rank orders the sources that may be learned; a higher one takes over.
type rank uint8

const (
	foreign   rank = iota
	stranger       // anybody, heard for want of a better: receive-only
	trusted        // the IP of the SIP messages
	sameIP         // the signalled IP, another port
	signalled      // the signalled address
)

func (r rank) String() string {
	return [...]string{"foreign", "stranger", "sip source", "signalled ip", "signalled"}[r]
}

func (p *policy) rank(from netip.AddrPort) rank {
	switch {
	case !p.rtp.IsValid():
	case from == p.rtp:
		return signalled
	case p.bridged:
		return foreign
	case from.Addr() == p.rtp.Addr():
		return sameIP
	}
	if from.Addr() == p.trust {
		return trusted
	}
	return foreign
}

// A verdict is what happens to a packet.
type verdict uint8

const (
	drop   verdict = iota
	accept         // relay it
	learn          // relay it; its source is locked from now on
)

// A latch decides which packets of an RTP socket are relayed, and learns where
// they come from. It is a value of the socket's reader; the zero value is
// ready. Times are since any common start.
type latch struct {
	policy *policy
	src    netip.AddrPort // the locked source; zero: none
	rank   rank           // of src
	old    bool           // src was locked under an earlier policy: heard until a new one is found (RFC 3264 §8.3.1)
	ssrc   uint32         // of the last RTP packet from src
	last   time.Duration  // when src was heard last
	known  candidate      // a source of some rank, on its way to be locked
	other  candidate      // the same of a foreign one
}

// judge decides on one packet.
func (l *latch) judge(p *policy, b []byte, from netip.AddrPort, now time.Duration) verdict {
	if p == nil {
		return drop
	}
	if p != l.policy {
		l.policy, l.old = p, l.src.IsValid()
		l.known, l.other = candidate{}, candidate{}
	}
	h, rtp := readRTP(b)
	if from == l.src {
		l.last = now
		if rtp {
			l.ssrc = h.ssrc
		}
		if !l.old {
			return accept
		}
	}
	r := p.rank(from)
	if !rtp && !p.opaque {
		return l.judgeOther(r, from)
	}
	if r == signalled {
		return l.lock(from, r, h, now)
	}
	good := p.opaque || p.payloads.has(h.payload)
	known := r > foreign && (l.unsettled() || r > l.rank)
	switch {
	case good && (known || l.mayMove(h, from, now)):
		if l.known.count(from, h, p.opaque) {
			if r == foreign {
				r = l.rank
			}
			return l.lock(from, r, h, now)
		}
	case good && r == foreign && l.mayHear(now):
		if l.other.count(from, h, false) {
			return l.lock(from, stranger, h, now)
		}
	}
	if from == l.src || good && r == sameIP && l.unsettled() {
		return accept // one host may speak before its port is learned
	}
	return drop
}

// unsettled reports whether no source is locked under this policy.
func (l *latch) unsettled() bool { return l.old || !l.src.IsValid() }

// judgeOther decides on STUN, DTLS and RTCP on the RTP port: relayed from IPs
// that are known, never learned from; a ClientHello of a stranger would
// occupy the phone's DTLS.
func (l *latch) judgeOther(r rank, from netip.AddrPort) verdict {
	if from == l.src || r >= sameIP || l.rank > stranger && from.Addr() == l.src.Addr() && !l.policy.bridged {
		return accept
	}
	return drop
}

// mayMove reports whether the locked source may have got another port from a
// NAT: it went silent, and its IP speaks on as the same synchronisation source.
func (l *latch) mayMove(h header, from netip.AddrPort, now time.Duration) bool {
	return !l.unsettled() && from.Addr() == l.src.Addr() && !l.policy.bridged &&
		now-l.last >= relatchAfter && (l.policy.opaque || h.ssrc == l.ssrc)
}

// mayHear reports whether the signalled address has left us without media for
// so long that one other source may be heard. On hold, silence is right; and
// without an RTP header nothing tells the right stranger.
func (l *latch) mayHear(now time.Duration) bool {
	p := l.policy
	return l.unsettled() && !p.hold && !p.opaque && !p.bridged &&
		now-max(p.at, l.last) >= strangeAfter
}

func (l *latch) lock(from netip.AddrPort, r rank, h header, now time.Duration) verdict {
	l.src, l.rank, l.old, l.ssrc, l.last = from, r, false, h.ssrc, now
	l.known, l.other = candidate{}, candidate{}
	return learn
}

// A candidate is a source that has sent n good packets in a row.
type candidate struct {
	from netip.AddrPort
	ssrc uint32
	seq  uint16
	n    int
}

// count reports whether the packet is the last one needed.
func (c *candidate) count(from netip.AddrPort, h header, opaque bool) bool {
	gap := h.seq - c.seq
	inRow := opaque || h.ssrc == c.ssrc && gap > 0 && gap < maxGap
	if c.n == 0 || from != c.from || !inRow {
		c.n = 0
	}
	c.from, c.ssrc, c.seq = from, h.ssrc, h.seq
	c.n++
	return c.n >= lockAfter
}
