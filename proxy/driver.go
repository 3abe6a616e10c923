package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"pinhole/internal/flow"
	"pinhole/internal/media"
	"pinhole/internal/message"
	"pinhole/internal/transport"
	"pinhole/nat"
)

// A Tap sees each message as it passes: out says that we sent it. It is called
// under the driver's lock and must be quick.
type Tap func(now time.Time, p Path, peer netip.AddrPort, out bool, raw []byte)

// A Driver runs a Core: it serialises what happens behind one lock, keeps its
// timer, and does what it asks for. Safe for concurrent use.
type Driver struct {
	relay *media.Relay
	log   *slog.Logger
	tap   Tap

	mu      sync.Mutex // guards following
	core    *Core
	sockets map[PathID]transport.Socket
	paths   map[transport.Socket]PathID
	flows   map[string]*flow.Flow
	last    PathID
	timer   *time.Timer
	armed   time.Time // when the timer fires, zero: it does not
	ctx     context.Context
	work    sync.WaitGroup
	dirty   chan bool // true: somebody waits for the state to be on disk
}

// NewDriver returns a driver for a core; tap may be nil.
func NewDriver(core *Core, relay *media.Relay, log *slog.Logger, tap Tap) *Driver {
	d := &Driver{
		core: core, relay: relay, log: log, tap: tap,
		sockets: map[PathID]transport.Socket{}, paths: map[transport.Socket]PathID{},
		flows: map[string]*flow.Flow{}, dirty: make(chan bool, 1),
	}
	return d
}

// Run serves the core's timers until ctx ends, then waits for the work under
// way. Nothing may be delivered before it runs.
func (d *Driver) Run(ctx context.Context) error {
	<-ctx.Done()
	d.mu.Lock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.mu.Unlock()
	d.work.Wait()
	return ctx.Err()
}

// Start gives the driver the context that its work lives in.
func (d *Driver) Start(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ctx = ctx
	d.timer = time.AfterFunc(time.Hour, d.fire)
	d.timer.Stop()
}

func (d *Driver) fire() {
	d.do(func(now time.Time) {
		d.armed = time.Time{}
		d.core.Fire(now)
	})
}

// do lets something happen to the core and carries out what comes of it.
func (d *Driver) do(event func(now time.Time)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil || d.ctx.Err() != nil {
		return
	}
	now := time.Now()
	d.guarded(func() { event(now) })
	d.flush(now)
}

// guarded keeps a defect that one message meets from ending the service of all:
// the message is lost, and the log says where.
func (d *Driver) guarded(event func()) {
	defer func() {
		if defect := recover(); defect != nil {
			d.log.Error("message lost by a defect", "err", fmt.Sprint(defect), "stack", string(debug.Stack()),
				"remedy", "please report this line")
		}
	}()
	event()
}

// flush carries out the outputs in order and arms the timer.
func (d *Driver) flush(now time.Time) {
	for _, o := range d.core.Outputs() {
		d.perform(now, o)
	}
	next := d.core.Deadline()
	if next.IsZero() || !d.armed.IsZero() && !next.Before(d.armed) {
		return // a wake-up too early finds out; setting the timer anew costs more
	}
	d.armed = next
	d.timer.Reset(time.Until(next))
}

func (d *Driver) perform(now time.Time, o Output) {
	switch o.Kind {
	case Send:
		d.send(now, o)
	case Close:
		if s := d.sockets[o.Path]; s != nil {
			s.Close(o.Err)
		}
	case KeepOpen:
		if s, ok := d.sockets[o.Path].(*transport.Stream); ok {
			s.KeepOpen()
		}
	case Save:
		d.markDirty(o.Serial != 0)
	case Fail:
		d.flows[o.Upstream].Fail(o.Gen, o.Err)
	case Pongs:
		d.flows[o.Upstream].PromisePong(o.Gen)
	case KeepAlive:
		d.flows[o.Upstream].SetKeepAlive(o.Gen, time.Duration(o.Seconds)*time.Second)
	case Behind:
		d.flows[o.Upstream].SetNAT(o.Gen, o.NAT)
	case MediaOpen:
		d.openMedia(o.Media)
	case MediaPublic:
		d.relay.SetPublic(o.Media.WAN, o.Media.Public)
	case MediaClose:
		d.work.Go(o.Media.Session.Close)
	}
}

func (d *Driver) send(now time.Time, o Output) {
	p := d.core.paths[o.Path]
	if p == nil {
		return
	}
	if d.tap != nil {
		d.tap(now, *p, o.To, true, o.Data)
	}
	var err error
	if p.Side == WAN && p.Proto == transport.UDP && o.To.IsValid() && o.To != p.Remote {
		err = d.flows[p.Upstream].SendTo(p.Gen, o.To, o.Data) // another server of the provider asked
	} else if p.Side == WAN {
		err = d.flows[p.Upstream].Send(p.Gen, o.Data)
	} else if s := d.sockets[o.Path]; s != nil {
		err = s.Send(o.Data, o.To)
	}
	if err != nil {
		d.log.Debug("not sent", "path", o.Path, "peer", o.To, "err", err)
	}
}

// openMedia opens or grows a session aside and comes back with it.
func (d *Driver) openMedia(w mediaWork) {
	ctx := d.ctx
	d.work.Go(func() {
		session, err := w.Session, error(nil)
		if session == nil {
			session, err = d.relay.Open(ctx, w.Streams, w.LAN, w.WAN)
		} else {
			err = session.Grow(ctx, w.Streams)
		}
		delivered := false
		d.do(func(now time.Time) {
			delivered = true
			w.Done(now, session, err)
		})
		if !delivered && w.Session == nil && err == nil {
			session.Close()
		}
	})
}

// Drain waits until no transaction of ours is under way, for most at most.
func (d *Driver) Drain(most time.Duration) {
	const step = 20 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for range most / step {
		d.mu.Lock()
		busy := d.core.Busy()
		d.mu.Unlock()
		if !busy {
			return
		}
		<-ticker.C
	}
}

// Dirty delivers a word whenever the state should be written: true at once,
// false within a second or so.
func (d *Driver) Dirty() <-chan bool { return d.dirty }

func (d *Driver) markDirty(urgent bool) {
	select {
	case d.dirty <- urgent:
		return
	default:
	}
	if !urgent {
		return
	}
	select {
	case <-d.dirty:
	default:
	}
	d.dirty <- true
}

// State returns the state to be written and its number, for Saved.
func (d *Driver) State() (sections map[string][]byte, serial uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sections, err = d.core.State()
	return sections, d.core.Serial(), err
}

// Saved tells the core that the state of a number is on disk, or cannot be.
func (d *Driver) Saved(serial uint64) {
	d.do(func(now time.Time) { d.core.Saved(now, serial) })
}

// AddFlow adds the flow of an upstream before it runs.
func (d *Driver) AddFlow(name string, f *flow.Flow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flows[name] = f
}

// FlowEvent takes in what happens on an upstream's flow.
func (d *Driver) FlowEvent(name string, e flow.Event) {
	d.do(func(now time.Time) { d.flowEvent(now, name, e) })
}

func (d *Driver) flowEvent(now time.Time, name string, e flow.Event) {
	switch e.Kind {
	case flow.Up:
		d.last++
		d.core.FlowUp(now, Path{
			ID: d.last, Side: WAN, Upstream: name, Gen: e.Gen, Proto: e.Proto, Local: e.Local, Remote: e.Remote,
		}, e.SameSource)
	case flow.Down:
		d.core.FlowDown(now, name, e.Gen, e.Err)
	case flow.Probed:
		d.core.Probed(now, name, e.Gen, e.Mapped)
	case flow.ProbeDue:
		d.core.ProbeDue(now, name, e.Gen)
	case flow.Message:
		up := d.core.upstreams[name]
		if up == nil || up.flow == nil || up.flow.Gen != e.Gen {
			return
		}
		d.message(now, up.flow, e.From, e.Msg, e.Err)
	}
}

func (d *Driver) message(now time.Time, p *Path, from netip.AddrPort, m *message.Message, err error) {
	if d.tap != nil && m != nil {
		d.tap(now, *p, from, false, []byte(m.Raw))
	}
	d.core.Message(now, p.ID, from, m, err)
}

// A Phones is the handler of one listener's sockets.
type Phones struct {
	driver   *Driver
	listener string
	known    func(netip.Addr) bool
}

// Phones returns the handler of a listener's sockets; known says which peers
// may ask for STUN.
func (d *Driver) Phones(listener string, known func(netip.Addr) bool) *Phones {
	return &Phones{driver: d, listener: listener, known: known}
}

var _ transport.Handler = (*Phones)(nil)

// Listening tells the core of an address of ours on the LAN.
func (d *Driver) Listening(addr netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.core.Listening(addr)
}

// Opened takes in a UDP socket or an accepted connection.
func (h *Phones) Opened(s transport.Socket) {
	h.driver.do(func(now time.Time) { h.open(now, s) })
}

func (h *Phones) open(now time.Time, s transport.Socket) *Path {
	d := h.driver
	if id, ok := d.paths[s]; ok {
		return d.core.paths[id]
	}
	d.last++
	p := Path{
		ID: d.last, Side: LAN, Listener: h.listener, Proto: s.Proto(), Local: s.Local(), Remote: s.Remote(),
	}
	d.sockets[p.ID], d.paths[s] = s, p.ID
	d.core.Opened(now, p)
	return d.core.paths[p.ID]
}

// Message takes in a phone's message.
func (h *Phones) Message(s transport.Socket, from netip.AddrPort, m *message.Message, err error) {
	h.driver.do(func(now time.Time) {
		if p := h.open(now, s); p != nil {
			h.driver.message(now, p, from, m, err)
		}
	})
}

// STUN answers a phone's Binding request (RFC 5626 §4.4.2).
func (h *Phones) STUN(s transport.Socket, from netip.AddrPort, b []byte) {
	if !h.known(from.Addr()) {
		return
	}
	if answer, ok := nat.Answer(b, from); ok {
		_ = s.Send(answer, from)
	}
}

// Pong is nothing: phones are not pinged.
func (h *Phones) Pong(transport.Socket) {}

// Closed takes in that a socket or connection is gone.
func (h *Phones) Closed(s transport.Socket, _ error) {
	d := h.driver
	d.do(func(now time.Time) {
		id, ok := d.paths[s]
		if !ok {
			return
		}
		delete(d.paths, s)
		delete(d.sockets, id)
		d.core.Closed(now, id)
	})
}
