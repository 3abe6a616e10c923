package media

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"pinhole/internal/metrics"
)

const (
	// maxPacket is the longest packet relayed; media keeps below the MTU.
	maxPacket = 2048

	// maxReadErrors in a row end a reader: the socket is beyond help.
	maxReadErrors = 1000
)

// A leg is one side of one stream: two sockets, each with its reader, and what
// is known of the far end.
type leg struct {
	session   *Session
	side      Side
	stream    int
	peer      *leg // the other side of the stream
	rtp, rtcp port
	public    netip.Addr // what the address was mapped to when it was probed; guarded by Relay.mu, as mapped is

	remote  atomic.Pointer[remote] // nil: no offer or answer yet
	strange atomic.Uint64          // packets taken from a source heard for want of a better

	bridged *leg // the far end, where it is one of ours; guarded by Relay.mu

	punch punch // guarded by Session.mu
}

// A port is one socket of a leg with its counters.
type port struct {
	socket
	packets, bytes atomic.Uint64 // received and accepted
	foreign        atomic.Uint64 // received and dropped
	unsent         atomic.Uint64 // to be sent, with nowhere to send to, or the socket refused
	seen, sent     atomic.Int64  // when a packet was last accepted, and sent; 0: never
	inlet          atomic.Pointer[inlet]
	metrics        *metrics.Set
}

// A remote is the far end as it is believed to be. It is immutable: who learns
// swaps in another.
type remote struct {
	policy  *policy
	to      netip.AddrPort // where RTP goes now; zero: nowhere
	toRTCP  netip.AddrPort
	src     netip.AddrPort // where RTP comes from; zero: not learned yet
	settled bool           // src was locked since this address is signalled, and is spoken to
}

func newLeg(s *Session, side Side, p *pair) *leg {
	l := &leg{session: s, side: side, public: p.public}
	l.rtp.socket, l.rtcp.socket = p.rtp, p.rtcp
	l.rtp.metrics, l.rtcp.metrics = s.relay.cfg.Metrics, s.relay.cfg.Metrics
	l.punch.ssrc, l.punch.seq = rand.Uint32(), uint16(rand.Uint32())
	return l
}

// arm puts a new policy in force. What was learned stays as long as the
// signalled address does.
func (l *leg) arm(p *policy) {
	for {
		old := l.remote.Load()
		next := &remote{policy: p, to: p.rtp, toRTCP: p.rtcp}
		if old != nil {
			if old.policy.same(p) {
				return
			}
			next.src = old.src
			if old.policy.rtp == p.rtp && old.policy.rtcp == p.rtcp {
				next.to, next.toRTCP, next.settled = old.to, old.toRTCP, old.settled
			}
		}
		if l.remote.CompareAndSwap(old, next) {
			return
		}
	}
}

// same reports whether two policies differ in nothing but their time.
func (p *policy) same(q *policy) bool {
	a := *p
	a.at = q.at
	return a == *q
}

// relayRTP reads the RTP socket until it is closed.
func (l *leg) relayRTP() {
	var t latch
	l.read(&l.rtp, func(b []byte, from netip.AddrPort, now time.Duration) { l.takeRTP(&t, b, from, now) })
}

// relayRTCP reads the RTCP socket until it is closed.
func (l *leg) relayRTCP() {
	var t rtcpLatch
	l.read(&l.rtcp, func(b []byte, from netip.AddrPort, now time.Duration) { l.takeRTCP(&t, b, from, now) })
}

func (l *leg) read(p *port, take func(b []byte, from netip.AddrPort, now time.Duration)) {
	buf := make([]byte, maxPacket)
	for failures := 0; failures < maxReadErrors; {
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			failures++
			continue
		}
		failures = 0
		if n == len(buf) {
			p.foreign.Add(1) // longer than the buffer, or as long: cut
			continue
		}
		if from.Addr().Is4In6() {
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		}
		take(buf[:n], from, l.session.relay.now())
	}
	l.log().Error("media: reading a socket again and again failed, the stream is dead", "local", p.local)
}

// takeRTP relays one packet of the RTP socket, if its source may speak.
func (l *leg) takeRTP(t *latch, b []byte, from netip.AddrPort, now time.Duration) {
	r := l.remote.Load()
	if r == nil {
		l.rtp.refuse(b, from)
		return
	}
	switch t.judge(r.policy, b, from, now) {
	case drop:
		l.rtp.refuse(b, from)
		return
	case learn:
		l.learned(r.policy, from, t.rank)
	}
	if t.rank == stranger && from == t.src {
		l.strange.Add(1)
	}
	l.rtp.count(len(b), now)
	if to := l.peer.remote.Load(); to != nil {
		l.peer.rtp.send(b, to.to, now)
	} else {
		l.peer.rtp.unsent.Add(1)
	}
}

// takeRTCP does the same for the RTCP socket.
func (l *leg) takeRTCP(t *rtcpLatch, b []byte, from netip.AddrPort, now time.Duration) {
	r := l.remote.Load()
	if r == nil {
		l.rtcp.refuse(b, from)
		return
	}
	switch t.judge(r, b, from) {
	case drop:
		l.rtcp.refuse(b, from)
		return
	case learn:
		l.update(r.policy, func(r *remote) { r.toRTCP = from })
	}
	l.rtcp.count(len(b), now)
	if to := l.peer.remote.Load(); to != nil {
		l.peer.rtcp.send(b, to.toRTCP, now)
	} else {
		l.peer.rtcp.unsent.Add(1)
	}
}

// learned makes the locked source the place we send to, unless it is only
// heard.
func (l *leg) learned(p *policy, from netip.AddrPort, k rank) {
	moved := false
	l.update(p, func(r *remote) {
		r.src, r.settled = from, k > stranger
		if moved = r.settled && p.rtp.IsValid() && from != r.to; !moved {
			return
		}
		old := r.to
		r.to = from
		switch {
		case p.rtcp == p.rtp:
			r.toRTCP = from
		case from == p.rtp:
			r.toRTCP = p.rtcp
		case from.Addr() != old.Addr() && from.Port() < 65535:
			r.toRTCP = netip.AddrPortFrom(from.Addr(), from.Port()+1) // a guess until RTCP comes
		}
	})
	switch {
	case k == stranger:
		l.session.relay.cfg.Metrics.Add(metrics.MediaSecondSources)
		l.log().Warn("media: the signalled address is silent; another source is heard, nothing is sent to it",
			"signalled", p.rtp, "source", from)
	case moved:
		l.log().Info("media: source learned", "signalled", p.rtp, "source", from, "by", k)
	}
}

// update changes what is believed of the far end. Once SetRemote has put
// another policy in force, its word stands: what is true will be learned again.
func (l *leg) update(p *policy, change func(*remote)) {
	for {
		old := l.remote.Load()
		if old.policy != p {
			return
		}
		next := *old
		change(&next)
		if l.remote.CompareAndSwap(old, &next) {
			return
		}
	}
}

func (p *port) count(n int, now time.Duration) {
	p.packets.Add(1)
	p.bytes.Add(uint64(n))
	p.seen.Store(int64(now))
}

// send sends a packet to the far end.
func (p *port) send(b []byte, to netip.AddrPort, now time.Duration) {
	if !to.IsValid() {
		p.unsent.Add(1)
		return
	}
	if _, err := p.conn.WriteToUDPAddrPort(b, to); err != nil {
		p.unsent.Add(1)
		return
	}
	p.sent.Store(int64(now))
}

// log returns the logger with what names the stream.
func (l *leg) log() *slog.Logger {
	return l.session.relay.cfg.Log.With("side", l.side, "stream", l.stream, "local", l.rtp.local)
}
