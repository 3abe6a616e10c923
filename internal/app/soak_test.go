package app_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// A soak is many users doing what they like at once on a bad network. What they
// do succeeds or fails; nothing of it may stay behind, or show the LAN.
type soak struct {
	*world
	mu    sync.Mutex
	calls []*peer.Call // ends that the provider or a phone has
	tasks sync.WaitGroup
}

// seeds × random actions of two phones and the provider, with loss, reordering
// and all that happens to flows; at the end nothing is left open.
func TestSoak(t *testing.T) {
	for seed := range uint64(12) {
		proto := transports[seed%3]
		t.Run(fmt.Sprint(seed, " ", proto), func(t *testing.T) {
			live(t, plan{proto: proto, seed: seed, nat: strict}, func(w *world) {
				s := &soak{world: w}
				rnd := rand.New(rand.NewPCG(seed, 7))
				lan := []string{peer.UDP, peer.TCP}[rnd.IntN(2)]
				refresh := func(c *peer.PhoneConfig) { c.Refresh = true }
				phones := []*peer.Phone{
					w.phone(w.phoneA, "alice", lan, refresh), w.phone(w.phoneB, "bob", peer.UDP, refresh), w.phone(w.phoneB, "alice", peer.TCP, refresh),
				}
				for _, p := range phones {
					_, err := p.Register(w.ctx)
					w.must(err)
				}
				w.wan.Loss(0.03)
				w.lan.Loss(0.03)
				w.wan.Delay(20 * time.Millisecond)
				w.wan.Reorder(0.05, 30*time.Millisecond)
				for range 60 {
					s.step(rnd, phones)
					w.sleep(time.Duration(rnd.IntN(4000)) * time.Millisecond)
				}
				w.wan.Loss(0)
				w.lan.Loss(0)
				w.wan.Reorder(0, 0)
				s.end()
				w.clean()
				out, err := w.prov.Call(w.ctx, "bob")
				w.must(err)
				var in *peer.Call
				for in == nil || in.CallID() != out.CallID() { // some calls were never taken
					in, err = phones[1].Expect(w.within(5 * time.Second))
					w.must(err)
				}
				w.must(in.Answer())
				w.must(out.Answered(w.within(5 * time.Second)))
				w.heard(in, out)
			})
		})
	}
}

// later runs one user's doing aside, bounded in time.
func (s *soak) later(f func(ctx context.Context)) {
	ctx := s.within(time.Minute)
	s.tasks.Go(func() { f(ctx) })
}

// keep notes an end of a call.
func (s *soak) keep(c *peer.Call, err error) {
	if err != nil {
		return
	}
	s.mu.Lock()
	s.calls = append(s.calls, c)
	s.mu.Unlock()
}

// one returns any end of a call, nil while there is none.
func (s *soak) one(rnd *rand.Rand) *peer.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) == 0 {
		return nil
	}
	return s.calls[rnd.IntN(len(s.calls))]
}

// step lets one thing happen.
func (s *soak) step(rnd *rand.Rand, phones []*peer.Phone) {
	p := phones[rnd.IntN(len(phones))]
	user := []string{"alice", "bob"}[rnd.IntN(2)]
	number := []string{"echo", "ring", "busy", "early", "late", "now", "bob", "alice", "nobody"}[rnd.IntN(9)]
	c, answer, status := s.one(rnd), rnd.IntN(4), []int{486, 603, 480, 488, 302}[rnd.IntN(5)]
	switch rnd.IntN(16) {
	case 0, 1, 2:
		s.later(func(ctx context.Context) { s.keep(p.Call(ctx, number)) })
	case 3, 4, 5:
		s.later(func(ctx context.Context) {
			opts := [][]peer.Option{nil, {peer.ToAOR()}, {peer.WithLateOffer()}}[answer%3]
			s.keep(s.prov.Call(ctx, user, opts...))
		})
	case 6, 7, 8:
		s.later(func(ctx context.Context) { s.take(ctx, p.Expect, answer, status) })
	case 9:
		s.later(func(ctx context.Context) { s.take(ctx, s.prov.Expect, answer, status) })
	case 10:
		s.later(func(ctx context.Context) { _, _ = p.Register(ctx) })
	case 11:
		s.later(func(ctx context.Context) { _, _ = p.Request(ctx, "MESSAGE", number, nil, "hello") })
	case 12:
		if c != nil {
			s.later(func(ctx context.Context) { _ = c.Hangup(ctx) })
		}
	case 13:
		if c != nil {
			s.later(func(ctx context.Context) { s.reinvite(ctx, c, []string{"sendonly", "sendrecv"}[answer%2]) })
		}
	case 14:
		if c != nil {
			s.later(func(ctx context.Context) { _ = c.Cancel(ctx) })
		}
	case 15:
		s.trouble(answer, p)
	}
}

// reinvite does so in a call that is up.
func (s *soak) reinvite(ctx context.Context, c *peer.Call, direction string) {
	now, cancel := context.WithCancel(ctx)
	cancel()
	if c.Ack() == nil && c.Answered(now) != nil {
		return
	}
	_ = c.Reinvite(ctx, direction)
}

// take answers an incoming call in some way.
func (s *soak) take(ctx context.Context, expect func(context.Context) (*peer.Call, error), answer, status int) {
	c, err := expect(ctx)
	if err != nil {
		return
	}
	s.keep(c, nil)
	_ = c.Ring()
	switch answer {
	case 0:
		_ = c.Reject(status)
	case 1:
		_ = c.Progress(183, true)
		_ = c.Answer()
	case 2:
		_ = c.Answer()
	}
}

// trouble is what networks and their owners do.
func (s *soak) trouble(what int, p *peer.Phone) {
	switch what {
	case 0:
		s.router.Rebind()
	case 1:
		s.prov.Kill()
	case 2:
		s.later(func(ctx context.Context) { _ = p.Reconnect(ctx) })
	case 3:
		s.router.Flush()
	}
}

// end hangs up whatever is up, at both ends, and waits until all is quiet.
func (s *soak) end() {
	s.t.Helper()
	s.tasks.Wait()
	for range 2 {
		s.sleep(40 * time.Second)
		for _, c := range append(s.prov.Calls(), phonesCalls(s.phones)...) {
			s.later(func(ctx context.Context) { _ = c.Hangup(ctx) })
		}
		s.tasks.Wait()
	}
	s.sleep(7 * time.Minute) // timer C, 2xx repeats, calls whose BYE was lost
	s.settled()
}

func phonesCalls(phones []*peer.Phone) (all []*peer.Call) {
	for _, p := range phones {
		all = append(all, p.Calls()...)
	}
	return all
}
