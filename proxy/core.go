package proxy

import (
	"encoding/hex"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"pinhole/auth"
	"pinhole/internal/binding"
	"pinhole/internal/dialog"
	"pinhole/internal/message"
	"pinhole/internal/metrics"
	"pinhole/internal/transaction"
	"pinhole/rewrite"
)

// A Core is the state of all transactions, dialogs and bindings. Its methods take
// the time of the event, never block and do no I/O: what is to be done is
// appended to a list that Outputs returns. Not safe for concurrent use.
type Core struct {
	log     *slog.Logger
	metrics *metrics.Set
	rand    func() uint64
	hider   *rewrite.Hider
	label   string // stands for us where a name is asked for

	paths     map[PathID]*Path
	own       map[netip.AddrPort]bool // our LAN addresses, for Route and Request-URI
	ownIPs    []netip.Addr
	lan       []netip.Prefix // where phones live
	upstreams map[string]*upstream
	order     []*upstream

	servers  map[transaction.Key]*server
	clients  []*client // by slot
	free     []uint32
	bindings *binding.Table
	dialogs  *dialog.Table
	media    map[uint64]*call // by dialog.Call.ID

	timers  timerHeap
	sweep   *timer
	answers map[netip.Addr]*bucket
	refused map[netip.Addr]time.Time // when the log was last told
	watches map[string]*auth.Watch   // by upstream and AOR
	out     []Output
	serial  uint64
	held    map[uint64][]func(now time.Time) // answers that wait for the state to be on disk
	edits   message.Edits
}

// New returns a core without paths.
func New(s Settings) *Core {
	c := &Core{
		log: s.Log, metrics: s.Metrics, rand: s.Rand, label: labelOf(s.Key), hider: rewrite.NewHider(s.Key),
		paths: map[PathID]*Path{}, own: map[netip.AddrPort]bool{},
		upstreams: map[string]*upstream{}, servers: map[transaction.Key]*server{},
		bindings: binding.NewTable(s.Key), dialogs: dialog.NewTable(), media: map[uint64]*call{},
		lan: s.LAN, answers: map[netip.Addr]*bucket{}, refused: map[netip.Addr]time.Time{}, watches: map[string]*auth.Watch{}, held: map[uint64][]func(time.Time){},
	}
	for _, u := range s.Upstreams {
		up := newUpstream(c, u)
		c.upstreams[u.Name] = up
		c.order = append(c.order, up)
	}
	c.sweep = newTimer(c.expire)
	return c
}

// Outputs returns what is to be done since the last call. The slice is reused.
func (c *Core) Outputs() []Output {
	out := c.out
	c.out = c.out[:0]
	return out
}

func (c *Core) emit(o Output) { c.out = append(c.out, o) }

// transmit puts bytes on the way to an endpoint. What is for a flow that is gone
// takes the next one, where there is one: the provider knows our answers by their
// branch.
func (c *Core) transmit(to endpoint, data []byte) {
	if to.path.Side == WAN && c.paths[to.path.ID] == nil {
		if up := c.upstreams[to.path.Upstream]; up.reachable() {
			to = endpoint{path: up.flow, addr: up.flow.Remote}
		}
	}
	c.emit(Output{Kind: Send, Path: to.path.ID, To: to.addr, Data: data})
}

// Listening tells the core one of its own LAN addresses, as phones address it.
func (c *Core) Listening(addr netip.AddrPort) {
	c.own[addr] = true
	for _, ip := range c.ownIPs {
		if ip == addr.Addr() {
			return
		}
	}
	c.ownIPs = append(c.ownIPs, addr.Addr())
}

// Opened tells the core of a path: a LAN socket or an accepted connection.
func (c *Core) Opened(_ time.Time, p Path) { c.paths[p.ID] = &p }

// Closed tells the core that a LAN path is gone: its phones cannot be reached
// until they come back, and what was sent to them has failed.
func (c *Core) Closed(now time.Time, id PathID) {
	p := c.paths[id]
	if p == nil {
		return
	}
	delete(c.paths, id)
	c.bindings.Closed(uint32(id))
	c.failClients(now, p)
}

// Message handles one message. err is what was wrong with it, nil if nothing.
func (c *Core) Message(now time.Time, id PathID, from netip.AddrPort, m *message.Message, err error) {
	p := c.paths[id]
	if p == nil {
		return
	}
	at := endpoint{path: p, addr: from}
	if err == nil && p.Side == LAN {
		err = hazard(m)
	}
	switch {
	case err != nil:
		c.broken(now, at, m, err)
	case !m.IsRequest():
		c.response(now, at, m)
	case m.Method == "ACK":
		c.ack(now, at, m)
	case m.Method == "CANCEL":
		c.cancel(now, at, m)
	default:
		c.request(now, at, m)
	}
}

// expire ends what has lapsed and wakes again when the next lease may end.
func (c *Core) expire(now time.Time) {
	for _, b := range c.bindings.Expire(now) {
		if b.Transient {
			continue
		}
		c.log.Info("registration lapsed", "aor", b.Series.AOR, "upstream", b.Series.Upstream,
			"cause", "the phone did not refresh it in time")
	}
	c.save(nil)
	c.sweepAt(now)
}

// sweepAt arms the sweep for the earliest end of a lease, at most once a second.
func (c *Core) sweepAt(now time.Time) {
	next := c.bindings.NextEnd()
	if !next.IsZero() && next.Before(now.Add(time.Second)) {
		next = now.Add(time.Second)
	}
	c.arm(c.sweep, next)
}

// save asks for the state to be written; then runs when it is on disk. A nil
// then may be delayed and written together with others.
func (c *Core) save(then func(now time.Time)) {
	if then == nil {
		c.emit(Output{Kind: Save})
		return
	}
	c.serial++
	c.held[c.serial] = append(c.held[c.serial], then)
	c.emit(Output{Kind: Save, Serial: c.serial})
}

// Saved tells the core that everything up to serial is on disk, or cannot be.
func (c *Core) Saved(now time.Time, serial uint64) {
	for n := range c.held {
		if n > serial {
			continue
		}
		for _, then := range c.held[n] {
			then(now)
		}
		delete(c.held, n)
	}
}

// Serial returns the number of the newest state.
func (c *Core) Serial() uint64 { return c.serial }

// tag returns a new tag for a To header of ours.
func (c *Core) tag() string {
	return strconv.FormatUint(c.rand(), 36)
}

// labelOf returns a name for this installation that says nothing about it.
func labelOf(key []byte) string {
	const size = 4
	return "p" + hex.EncodeToString(rewrite.Digest(key, "label")[:size])
}
