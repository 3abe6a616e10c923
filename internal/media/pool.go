package media

import (
	"context"
	"net/netip"
	"time"
)

// poolRefresh is how often a pooled socket asks STUN again: its mapping must
// live (30 s on Linux while nobody answers twice) and still be known.
const poolRefresh = 20 * time.Second

// takePooled returns a probed pair at local, or nil.
func (r *Relay) takePooled(local netip.Addr) *pair {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.pool {
		if p.rtp.local.Addr() == local {
			r.pool = append(r.pool[:i], r.pool[i+1:]...)
			r.wakeUp()
			return p
		}
	}
	return nil
}

// unpool removes all pairs at local from the pool; r.mu is held.
func (r *Relay) unpool(local netip.Addr) (removed []*pair) {
	kept := r.pool[:0]
	for _, p := range r.pool {
		if p.rtp.local.Addr() == local {
			removed = append(removed, p)
		} else {
			kept = append(kept, p)
		}
	}
	r.pool = kept
	return removed
}

// tendPool refreshes and fills the pool and returns when it is to be called
// again; 0: when something changes.
func (r *Relay) tendPool(ctx context.Context) time.Duration {
	if r.cfg.STUN == nil || r.cfg.Pool <= 0 {
		return 0
	}
	r.refreshPool(ctx)
	for _, local := range r.lacking() {
		for range r.cfg.Pool {
			if r.pooled(local) >= r.cfg.Pool || ctx.Err() != nil || !r.fill(ctx, local) {
				break
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.public) == 0 {
		return 0
	}
	wait := poolRefresh
	for _, p := range r.pool {
		wait = min(wait, p.probed+poolRefresh-r.now())
	}
	return max(wait, time.Millisecond)
}

// refreshPool probes each pair that is due; out of the pool meanwhile, as the
// probe reads its sockets.
func (r *Relay) refreshPool(ctx context.Context) {
	for ctx.Err() == nil {
		p := r.due()
		if p == nil {
			return
		}
		if err := r.probe(ctx, p); err != nil {
			r.cfg.Log.Debug("media pool: probe unanswered", "local", p.rtp.local, "err", err)
			r.closePair(p)
			continue
		}
		r.putPooled(p)
	}
}

// due takes a pair out of the pool whose probe is old.
func (r *Relay) due() *pair {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.pool {
		if r.now()-p.probed >= poolRefresh {
			r.pool = append(r.pool[:i], r.pool[i+1:]...)
			return p
		}
	}
	return nil
}

// fill adds one probed pair; false: it cannot now.
func (r *Relay) fill(ctx context.Context, local netip.Addr) bool {
	p, err := r.openPair(ctx, local)
	if err != nil {
		r.cfg.Log.Debug("media pool: not filled", "local", local, "err", err)
		return false
	}
	if err := r.probe(ctx, p); err != nil {
		r.cfg.Log.Debug("media pool: probe unanswered", "local", p.rtp.local, "err", err)
		r.closePair(p)
		return false
	}
	return r.putPooled(p)
}

// putPooled closes the pair where it has become useless meanwhile.
func (r *Relay) putPooled(p *pair) bool {
	r.mu.Lock()
	ok := !r.closed && r.public[p.rtp.local.Addr()] == p.public
	if ok {
		r.pool = append(r.pool, p)
	}
	r.mu.Unlock()
	if !ok {
		r.closePair(p)
	}
	return ok
}

// lacking returns the local addresses with too few pairs.
func (r *Relay) lacking() (locals []netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for local := range r.public {
		if r.pooledLocked(local) < r.cfg.Pool {
			locals = append(locals, local)
		}
	}
	return locals
}

func (r *Relay) pooled(local netip.Addr) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pooledLocked(local)
}

func (r *Relay) pooledLocked(local netip.Addr) (n int) {
	for _, p := range r.pool {
		if p.rtp.local.Addr() == local {
			n++
		}
	}
	return n
}
