package media

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"pinhole/internal/metrics"
)

// A Side is one of the two ends of a call.
type Side uint8

// LAN is the phone's side, WAN the provider's.
const (
	LAN Side = iota
	WAN
)

func (s Side) String() string { return [...]string{"lan", "wan"}[s] }

// Addrs is where a stream end is reached: two UDP addresses.
type Addrs struct{ RTP, RTCP netip.AddrPort }

// A Session relays the streams of one call between its two sides. Streams are
// numbered from 0, as the m= lines are. Ports stay the same until Close. Its
// methods are safe for concurrent use.
type Session struct {
	relay    *Relay
	lan, wan netip.Addr
	opened   time.Duration
	wake     chan struct{}   // tells keep of a change
	life     context.Context // ended by Close
	end      context.CancelFunc
	wg       sync.WaitGroup
	close    sync.Once

	growing sync.Mutex // held while sockets are opened and probed
	probing sync.Mutex // held while they are probed again

	mu       sync.Mutex // guards following
	closed   bool
	legs     [2][]*leg
	pairs    []*pair
	probed   time.Duration // when each mapping was last known to live
	reported bool          // idleness was logged
}

// Open opens a session of this many streams, with local addresses to bind on
// either side; they may be equal. On the WAN side it takes probed pairs of the
// pool, or asks STUN, for at most 300 ms; unanswered, it does without. The
// error is ErrNoPorts, ErrClosed, or says why a socket cannot be opened.
func (r *Relay) Open(ctx context.Context, streams int, lan, wan netip.Addr) (*Session, error) {
	s := &Session{
		relay: r, lan: lan.Unmap(), wan: wan.Unmap(), opened: r.now(),
		wake: make(chan struct{}, 1),
	}
	s.life, s.end = context.WithCancel(context.Background())
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.sessions[s] = struct{}{}
	}
	r.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if err := s.Grow(ctx, streams); err != nil {
		s.Close()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed // by the end of Run
	}
	s.wg.Go(s.keep)
	return s, nil
}

// Grow makes the session have at least this many streams: a re-INVITE adds
// m-lines. Those it has stay as they are, also on an error.
func (s *Session) Grow(ctx context.Context, streams int) error {
	s.growing.Lock()
	defer s.growing.Unlock()
	s.mu.Lock()
	missing := streams - len(s.legs[LAN])
	s.mu.Unlock()
	if missing <= 0 {
		return nil
	}
	pairs, err := s.openPairs(ctx, missing)
	if err == nil {
		err = s.addLegs(pairs)
	}
	if err != nil {
		for _, p := range pairs {
			s.relay.closePair(p)
		}
		if errors.Is(err, ErrNoPorts) {
			s.relay.cfg.Metrics.Add(metrics.MediaPortsExceeded)
		}
		return fmt.Errorf("opening media ports: %w", err)
	}
	return nil
}

// openPairs returns n pairs for each side, LAN and WAN in turn; on an error
// those that are to be closed.
func (s *Session) openPairs(ctx context.Context, n int) (pairs []*pair, err error) {
	var fresh []*pair // still to be probed
	for range n {
		p, err := s.relay.openPair(ctx, s.lan)
		if err != nil {
			return pairs, err
		}
		pairs = append(pairs, p)
		if p = s.relay.takePooled(s.wan); p == nil {
			if p, err = s.relay.openPair(ctx, s.wan); err != nil {
				return pairs, err
			}
			fresh = append(fresh, p)
		}
		pairs = append(pairs, p)
	}
	if s.relay.cfg.STUN == nil {
		return pairs, nil
	}
	var wg sync.WaitGroup
	for _, p := range fresh {
		wg.Go(func() {
			if err := s.relay.probe(ctx, p); err != nil {
				s.relay.cfg.Log.Warn("media: STUN gives no address, the public one with the local port is advertised", "local", p.rtp.local, "err", err)
			}
		})
	}
	wg.Wait()
	return pairs, nil
}

// addLegs makes streams of the pairs and starts their readers.
func (s *Session) addLegs(pairs []*pair) error {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if len(s.pairs) == 0 {
		s.probed = s.relay.now()
	}
	s.pairs = append(s.pairs, pairs...)
	s.relay.cfg.Metrics.AddN(metrics.MediaPortsOpened, uint64(2*len(pairs)))
	for i := 0; i < len(pairs); i += 2 {
		lan, wan := newLeg(s, LAN, pairs[i]), newLeg(s, WAN, pairs[i+1])
		lan.peer, wan.peer = wan, lan
		s.probed = min(s.probed, pairs[i+1].probed)
		for _, l := range []*leg{lan, wan} {
			l.stream = len(s.legs[l.side])
			s.legs[l.side] = append(s.legs[l.side], l)
			s.relay.legs[l] = struct{}{}
			s.wg.Go(l.relayRTP)
			s.wg.Go(l.relayRTCP)
		}
	}
	return nil
}

// leg returns a stream's end, nil where there is none.
func (s *Session) leg(side Side, stream int) *leg {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stream < 0 || stream >= len(s.legs[side]) {
		return nil
	}
	return s.legs[side][stream]
}

// Advertised returns the addresses to write into the SDP sent to this side: on
// the LAN side the local ones; on the WAN side as STUN saw them, else the
// public address with the local ports, else the local ones. Zero for a stream
// the session does not have.
func (s *Session) Advertised(side Side, stream int) Addrs {
	l := s.leg(side, stream)
	if l == nil {
		return Addrs{}
	}
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	return l.advertised()
}

// SetRemote says where the far end of a stream on this side is to be sent to,
// as its SDP has it, and arms latching; it is called for each offer and answer
// and changes nothing when it says the same again. A zero rtp, port 0 or
// 0.0.0.0 sends nothing; a zero rtcp is the port above rtp; rtcp equal to rtp
// is rtcp-mux. No payloads: there is no RTP header (UDPTL), only addresses are
// compared. trust is the IP the side's SIP comes from, zero: none. hold: the
// far end may be silent (RFC 3264 §8.4). An address that is one of our own
// towards this side is bridged inside. A stream the session does not have is
// ignored.
func (s *Session) SetRemote(side Side, stream int, rtp, rtcp netip.AddrPort, payloads []uint8, trust netip.Addr, hold bool) {
	l := s.leg(side, stream)
	if l == nil {
		return
	}
	p := &policy{rtp: usable(rtp), trust: trust.Unmap(), opaque: len(payloads) == 0, hold: hold, at: s.relay.now()}
	for _, pt := range payloads {
		p.payloads.add(pt)
	}
	if p.rtp.IsValid() {
		p.rtcp = usable(rtcp)
		if !rtcp.IsValid() && rtp.Port() < 65535 {
			p.rtcp = netip.AddrPortFrom(p.rtp.Addr(), rtp.Port()+1)
		}
	}
	s.relay.bridge(l, p)
	if old := l.remote.Load(); old != nil && old.policy.rtp != p.rtp {
		s.mu.Lock()
		l.punch.on = false // it opened the way to another place; Punch opens this one
		s.mu.Unlock()
	}
	l.arm(p)
	s.wakeUp()
}

// usable returns an address that can be sent to, zero if there is none in a.
func usable(a netip.AddrPort) netip.AddrPort {
	ip := a.Addr().Unmap()
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || a.Port() == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, a.Port())
}

// Close ends the session: it waits for its goroutines and puts its ports into
// quarantine. It may be called twice.
func (s *Session) Close() {
	s.close.Do(func() {
		s.relay.mu.Lock()
		s.mu.Lock()
		s.closed = true
		pairs := s.pairs
		delete(s.relay.sessions, s)
		for _, legs := range s.legs {
			for _, l := range legs {
				l.bridged = nil
				delete(s.relay.legs, l)
			}
		}
		s.mu.Unlock()
		s.relay.mu.Unlock()
		s.end()
		s.relay.cfg.Metrics.AddN(metrics.MediaPortsClosed, uint64(2*len(pairs)))
		for _, p := range pairs {
			s.relay.closePair(p)
		}
		s.wg.Wait()
	})
}

// name tells the session from others in the log: where its first stream's media
// from the provider arrives. s.mu is held.
func (s *Session) name() netip.AddrPort {
	if len(s.legs[WAN]) == 0 {
		return netip.AddrPort{}
	}
	return s.legs[WAN][0].rtp.local
}

// wakeUp makes keep look at what is due.
func (s *Session) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
