// Package media relays RTP, RTCP and UDPTL between the two legs of a call and
// hands out its ports (RFC 3550 §11, RFC 4961, RFC 6263, RFC 7362 §4-5, RFC
// 7983 §7). It owns the media sockets, one reader goroutine for each, one
// keeper goroutine a session, and the pool of probed sockets.
package media

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"pinhole/internal/metrics"
	"pinhole/internal/transport"
)

// ErrClosed means that the relay or the session is closed.
var ErrClosed = errors.New("media relay closed")

// Config is what a Relay needs.
type Config struct {
	Ports [2]uint16     // first and last port; pairs are even and odd
	Net   transport.Net // opens the sockets

	// STUN returns the mapped address of a socket; it owns the reads of pc
	// until it returns, which it does when ctx ends. nil: none is asked.
	STUN func(ctx context.Context, pc transport.PacketConn) (netip.AddrPort, error)

	Pool int          // probed pairs kept ready for each WAN address; 0, or no STUN: none
	Log  *slog.Logger // nil: nothing is logged

	Metrics *metrics.Set // nil: nothing is counted
}

// A Relay owns the media of all calls. Its methods are safe for concurrent use.
type Relay struct {
	cfg   Config
	ports *ports
	start time.Time // times are counted from here
	wake  chan struct{}

	mu       sync.Mutex // guards following
	closed   bool
	public   map[netip.Addr]netip.Addr // local WAN address to the address others see; the zero Addr: the same
	pool     []*pair
	sessions map[*Session]struct{}
	legs     map[*leg]struct{} // of all sessions
}

// New returns a relay. Sessions can be opened at once; Run keeps the pool.
func New(cfg Config) *Relay {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Relay{
		cfg:      cfg,
		ports:    newPorts(cfg.Ports[0], cfg.Ports[1]),
		start:    time.Now().Add(-time.Second), // so that no time is 0, which is never
		wake:     make(chan struct{}, 1),
		public:   map[netip.Addr]netip.Addr{},
		sessions: map[*Session]struct{}{},
		legs:     map[*leg]struct{}{},
	}
}

// Run keeps the pool of probed pairs filled and fresh until ctx ends, then
// closes all sessions, waits for their goroutines and returns ctx's error. No
// session can be opened afterwards.
func (r *Relay) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if wait := r.tendPool(ctx); wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-r.wake:
		case <-ctx.Done():
		}
	}
	r.shutdown()
	return ctx.Err()
}

func (r *Relay) shutdown() {
	r.mu.Lock()
	r.closed = true
	pool := r.pool
	r.pool = nil
	var open []*Session
	for s := range r.sessions {
		open = append(open, s)
	}
	r.mu.Unlock()
	for _, p := range pool {
		r.closePair(p)
	}
	for _, s := range open {
		s.Close()
	}
}

// SetPublic says which address the world sees of what leaves from the local
// address: the flow's mapped IP; zero: no NAT is known. Where STUN gave no
// address, the public one is advertised with the local port. The pool keeps
// pairs for every local address named here. After a change, running sessions
// advertise the new address, with the ports they had.
func (r *Relay) SetPublic(local, public netip.Addr) {
	local, public = local.Unmap(), public.Unmap()
	r.mu.Lock()
	old, known := r.public[local]
	r.public[local] = public
	var stale []*pair
	if known && old != public {
		stale = r.unpool(local)
	}
	r.mu.Unlock()
	for _, p := range stale {
		r.closePair(p)
	}
	r.wakeUp()
}

func (r *Relay) publicOf(local netip.Addr) netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.public[local]
}

// Load is how much of the relay is in use.
type Load struct {
	Sessions int
	Used     int // port pairs of sessions and pool
	Pooled   int // of these: probed and ready
	Resting  int // in quarantine
	Free     int
}

// Load returns it as of now. Ports whose quarantine has ended count as resting
// until the next one is needed.
func (r *Relay) Load() Load {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ports.mu.Lock()
	defer r.ports.mu.Unlock()
	return Load{
		Sessions: len(r.sessions), Pooled: len(r.pool),
		Used: r.ports.used, Resting: len(r.ports.resting), Free: len(r.ports.free),
	}
}

func (r *Relay) now() time.Duration { return time.Since(r.start) }

// wakeUp makes Run look at the pool.
func (r *Relay) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
