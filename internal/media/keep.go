package media

import "time"

const (
	punchCount  = 3                     // packets sent at once
	punchGap    = 20 * time.Millisecond // between them
	punchRepeat = 5 * time.Second       // from then on, until media comes
	keepAlive   = 15 * time.Second      // of silence towards the provider (RFC 6263 §5)
	idleAfter   = 300 * time.Second
)

// A punch is how a leg opens its path through NATs towards the far end. It is
// guarded by Session.mu.
type punch struct {
	on   bool
	left int           // of the first packets
	next time.Duration // when the next is due
	base uint64        // packets received when it began
	ssrc uint32
	seq  uint16
}

// Punch sends to the far end of a stream on the WAN side, RTP and RTCP, so that
// NATs on the way let its media in; before the answer leaves, for a router
// may else give our port to the provider's first packet. It sends one packet
// at once, two more 20 ms apart, then one each 5 s until media comes or
// SetRemote names another place. Without an address to send to, or where the
// far end is bridged inside, nothing is sent.
func (s *Session) Punch(stream int) {
	l := s.leg(WAN, stream)
	if l == nil {
		return
	}
	now := s.relay.now()
	s.mu.Lock()
	if r := l.remote.Load(); !s.closed && r != nil && r.to.IsValid() {
		l.punch.on, l.punch.left, l.punch.next = true, punchCount, now
		l.punch.base = l.rtp.packets.Load()
		l.tend(now)
	}
	s.mu.Unlock()
	s.wakeUp()
}

// keep sends what is due on the WAN side until the session is closed.
func (s *Session) keep() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.life.Done():
			return
		}
		now := s.relay.now()
		timer.Reset(max(s.tend(now)-now, time.Millisecond))
	}
}

// tend does what is due and returns when it must be called next.
func (s *Session) tend(now time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := now + keepAlive
	waiting := false
	for _, l := range s.legs[WAN] {
		next = min(next, l.tend(now))
		waiting = waiting || l.silent()
	}
	if waiting && s.relay.cfg.STUN != nil && !s.closed {
		if now-s.probed >= poolRefresh {
			s.probed = now
			s.wg.Go(s.keepMappings)
		}
		next = min(next, s.probed+poolRefresh)
	}
	idleAt, can := s.idleAt()
	switch {
	case !can || idleAt > now:
		s.reported = false
	case !s.reported:
		s.reported = true
		s.relay.cfg.Log.Warn("media: no packet from either side and no hold", "session", s.name(), "for", now-idleAt+idleAfter)
	}
	return next
}

// tend punches and keeps the mappings of one leg alive.
func (l *leg) tend(now time.Duration) time.Duration {
	next := now + keepAlive
	r := l.remote.Load()
	if r == nil || !r.to.IsValid() || r.policy.bridged {
		return next
	}
	p := &l.punch
	if p.on && l.rtp.packets.Load() > p.base {
		p.on = false
	}
	if p.on && now >= p.next {
		l.sendPunch(r, now, true)
		l.sendPunch(r, now, false)
		p.left = max(p.left-1, 0)
		p.next = now + punchGap
		if p.left == 0 {
			p.next = now + punchRepeat
		}
	}
	if p.on {
		next = min(next, p.next)
	}
	for _, rtp := range []bool{true, false} {
		c := l.port(rtp)
		due := max(time.Duration(c.sent.Load()), r.policy.at) + keepAlive
		if now >= due {
			l.sendPunch(r, now, rtp)
			due = now + keepAlive
		}
		next = min(next, due)
	}
	return next
}

func (l *leg) port(rtp bool) *port {
	if rtp {
		return &l.rtp
	}
	return &l.rtcp
}

// sendPunch sends one packet that nobody plays. UDPTL has no such packet: an
// empty datagram does (RFC 6263 §4.1), and there is no RTCP.
func (l *leg) sendPunch(r *remote, now time.Duration, rtp bool) {
	p := &l.punch
	switch {
	case rtp && r.policy.opaque:
		l.rtp.send(nil, r.to, now)
	case rtp:
		p.seq++
		l.rtp.send(punchRTP(r.policy.payloads.spare(), p.seq, p.ssrc), r.to, now)
	case r.policy.opaque || r.policy.rtcp == r.policy.rtp || !r.toRTCP.IsValid():
	default:
		l.rtcp.send(punchRTCP(p.ssrc), r.toRTCP, now)
	}
}

// Idle reports whether no packet came from either side for 300 s though no
// side is on hold and no stream is T.38: the call is over and nobody said so.
func (s *Session) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, can := s.idleAt()
	return can && s.relay.now() >= at
}

// idleAt returns when the session becomes, or became, idle, and whether it can;
// s.mu is held.
func (s *Session) idleAt() (time.Duration, bool) {
	last := s.opened
	for _, legs := range s.legs {
		for _, l := range legs {
			last = max(last, time.Duration(l.rtp.seen.Load()), time.Duration(l.rtcp.seen.Load()))
			r := l.remote.Load()
			if r == nil {
				continue
			}
			if r.policy.hold || r.policy.opaque && r.policy.rtp.IsValid() {
				return 0, false
			}
			last = max(last, r.policy.at)
		}
	}
	return last + idleAfter, true
}
