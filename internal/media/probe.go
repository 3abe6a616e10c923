package media

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"pinhole/internal/transport"
)

// probeBudget bounds what set-up of a call waits for STUN.
const probeBudget = 300 * time.Millisecond

// probe asks STUN for both mapped addresses of a pair that nobody reads, within
// the budget.
func (r *Relay) probe(ctx context.Context, p *pair) error {
	p.public = r.publicOf(p.rtp.local.Addr())
	var err error
	p.rtp.mapped, p.rtcp.mapped, err = r.probeBoth(ctx, p.rtp.conn, p.rtcp.conn)
	p.probed = r.now()
	return err
}

// probeBoth probes two sockets at a time; one that gets no answer has the zero
// address, and there is an error.
func (r *Relay) probeBoth(ctx context.Context, rtp, rtcp transport.PacketConn) (a, b netip.AddrPort, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeBudget)
	defer cancel()
	var errB error
	var wg sync.WaitGroup
	wg.Go(func() { b, errB = r.probeSocket(ctx, rtcp) })
	a, err = r.probeSocket(ctx, rtp)
	wg.Wait()
	if err == nil {
		err = errB
	}
	return a, b, err
}

func (r *Relay) probeSocket(ctx context.Context, c transport.PacketConn) (netip.AddrPort, error) {
	mapped, err := r.cfg.STUN(ctx, c)
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	if err != nil {
		_ = c.SetReadDeadline(time.Time{})
		return netip.AddrPort{}, fmt.Errorf("probing media port %v: %w", c.LocalAddr(), err)
	}
	return netip.AddrPortFrom(mapped.Addr().Unmap(), mapped.Port()), nil
}

// Probe asks STUN for the mapped addresses of the WAN side again, while media
// flows, and advertises them from now on: for when the public address has
// changed. It takes 300 ms at most; a stream whose probe is not answered
// advertises as before, and there is an error. Without STUN it does nothing.
func (s *Session) Probe(ctx context.Context) error {
	return s.probe(ctx, func(*leg) bool { return true }, func(l *leg, rtp, rtcp netip.AddrPort) {
		s.relay.mu.Lock()
		defer s.relay.mu.Unlock()
		l.rtp.mapped, l.rtcp.mapped, l.public = rtp, rtcp, s.relay.public[l.rtp.local.Addr()]
	})
}

// keepMappings asks STUN from those sockets that have nobody to send to: while
// the far end rings, or holds with 0.0.0.0, their mappings would die, and what
// was advertised with them.
func (s *Session) keepMappings() {
	err := s.probe(s.life, (*leg).silent, func(l *leg, rtp, _ netip.AddrPort) {
		if was := s.Advertised(WAN, l.stream).RTP; rtp != was {
			l.log().Warn("media: the router gave another port to a waiting call", "advertised", was, "now", rtp)
		}
	})
	if err != nil && s.life.Err() == nil {
		s.relay.cfg.Log.Debug("media: keeping mappings", "err", err)
	}
}

// silent reports whether the leg has no far end to send to.
func (l *leg) silent() bool {
	r := l.remote.Load()
	return r == nil || !r.to.IsValid()
}

// probe asks STUN from the WAN sockets of some legs, all at a time, through
// their readers.
func (s *Session) probe(ctx context.Context, which func(*leg) bool, answered func(l *leg, rtp, rtcp netip.AddrPort)) error {
	if s.relay.cfg.STUN == nil {
		return nil
	}
	s.probing.Lock()
	defer s.probing.Unlock()
	s.mu.Lock()
	legs := append([]*leg(nil), s.legs[WAN]...)
	s.mu.Unlock()
	errs := make([]error, len(legs))
	var wg sync.WaitGroup
	for i, l := range legs {
		if !which(l) {
			continue
		}
		wg.Go(func() {
			a, b := newInlet(&l.rtp, s.life), newInlet(&l.rtcp, s.life)
			defer l.rtp.inlet.Store(nil)
			defer l.rtcp.inlet.Store(nil)
			rtp, rtcp, err := s.relay.probeBoth(ctx, a, b)
			if errs[i] = err; err == nil {
				answered(l, rtp, rtcp)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
