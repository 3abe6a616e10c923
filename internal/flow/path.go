package flow

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"pinhole/internal/message"
	"pinhole/internal/resolve"
	"pinhole/internal/transport"
)

// Why a path ended, where the flow itself found it.
var (
	errNoPong = errors.New("ping not answered")
	errMoved  = errors.New("local address changed")
)

// wedged reports whether err is how a blocked connection looks.
func wedged(err error) bool {
	return errors.Is(err, errNoPong) || errors.Is(err, syscall.ETIMEDOUT)
}

// A path is one generation of a flow: one socket and what is known of it. It
// is the Handler of that socket.
type path struct {
	flow   *Flow
	target resolve.Target
	local  netip.AddrPort
	gen    uint64
	same   bool // local is as it was
	start  time.Time

	pc     transport.PacketConn // UDP
	conn   transport.Conn       // TCP, TLS
	stream *transport.Stream    // TCP, TLS
	sock   transport.Socket     // set before opened is closed

	opened chan struct{} // closed when Up was told
	ended  chan error    // reading is over
	failed chan error    // the core's verdict; holds one
	tuned  chan struct{} // keeper has new settings; holds one
	ponged chan struct{} // holds one
	stun   chan datagram // from the socket, for the STUN watch
	asks   chan []netip.AddrPort
	mapped chan netip.AddrPort // from the STUN server over TCP; holds one

	provider map[netip.Addr]bool // where SIP may come from over UDP

	worked atomic.Bool  // somebody spoke SIP or CRLF to us
	busy   atomic.Bool  // an event of ours is being dealt with
	heard  atomic.Int64 // when the last one was done, since start

	mu      sync.Mutex // guards following
	keeper  keeper
	servers map[netip.Addr]bool // where STUN may come from over UDP
}

// A datagram is a STUN message from the socket.
type datagram struct {
	from netip.AddrPort
	b    []byte
}

func newPath(f *Flow, t resolve.Target) *path {
	return &path{
		flow: f, target: t,
		opened: make(chan struct{}), ended: make(chan error, 1), failed: make(chan error, 1),
		tuned: make(chan struct{}, 1), ponged: make(chan struct{}, 1),
		stun: make(chan datagram, 8), asks: make(chan []netip.AddrPort, 1), mapped: make(chan netip.AddrPort, 1),
	}
}

// begin numbers the path, once its socket is there; last is the local address
// of the one before, targets are all servers of the provider.
func (p *path) begin(gen uint64, last netip.AddrPort, targets []resolve.Target) {
	p.gen, p.same, p.start = gen, p.local == last, time.Now()
	p.provider = make(map[netip.Addr]bool)
	for _, t := range targets {
		p.provider[t.Addr.Addr()] = true
	}
	proto := p.target.Proto
	p.keeper = keeper{
		stream: proto.Reliable(), wedges: proto == transport.TCP && p.target.Addr.Port() == wedgePort,
		off: p.flow.cfg.NoKeepAlive, promised: p.flow.cfg.Pong, rand: p.flow.cfg.Rand,
	}
	p.keeper.begin(p.start)
}

// begun reports whether Up was told.
func (p *path) begun() bool {
	select {
	case <-p.opened:
		return true
	default:
		return false
	}
}

// didWork reports whether the path, ended by err, worked (RFC 5626 §4.5): it
// was spoken on, or stood for long.
func (p *path) didWork(err error) bool {
	return (p.worked.Load() || time.Since(p.start) >= idleLife) && !errors.Is(err, ErrElsewhere)
}

// discard closes a path that is not wanted any more.
func (p *path) discard() {
	if p.pc != nil {
		_ = p.pc.Close()
	} else {
		_ = p.conn.Abort()
	}
}

// abort ends the path at once.
func (p *path) abort(err error) {
	switch {
	case p.stream != nil:
		p.stream.Abort(err)
	case p.begun():
		p.sock.Close(err)
	default:
		_ = p.pc.Close()
	}
}

// read reads the socket to its end.
func (p *path) read(ctx context.Context) {
	if p.stream != nil {
		p.tellUp()
		p.ended <- p.stream.Run(ctx)
		return
	}
	p.ended <- transport.ServeUDP(ctx, p.pc, p.allow, transport.DefaultLimits(), p)
}

func (p *path) tellUp() {
	p.flow.up(p)
	close(p.opened)
}

// allow says whose datagrams are read.
func (p *path) allow(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.provider[a] || p.servers[a]
}

// Opened implements transport.Handler: the UDP socket reads.
func (p *path) Opened(s transport.Socket) {
	p.sock = s
	p.tellUp()
}

// Message implements transport.Handler. STUN servers speak no SIP.
func (p *path) Message(_ transport.Socket, from netip.AddrPort, m *message.Message, err error) {
	if p.stream == nil && !p.provider[from.Addr()] {
		return
	}
	p.busy.Store(true)
	if err == nil {
		p.worked.Store(true)
	}
	p.flow.emit(Event{Kind: Message, Gen: p.gen, From: from, Msg: m, Err: err})
	p.heard.Store(int64(time.Since(p.start)))
	p.busy.Store(false)
}

// STUN implements transport.Handler.
func (p *path) STUN(_ transport.Socket, from netip.AddrPort, b []byte) {
	select {
	case p.stun <- datagram{from, append([]byte(nil), b...)}:
	default: // a flood: STUN repeats what is lost
	}
}

// Pong implements transport.Handler.
func (p *path) Pong(transport.Socket) {
	p.worked.Store(true)
	poke(p.ponged)
}

// Closed implements transport.Handler; read says the same.
func (p *path) Closed(transport.Socket, error) {}

// quiet reports whether all that was received has been dealt with.
func (p *path) quiet() bool {
	return !p.busy.Load() && time.Since(p.start)-time.Duration(p.heard.Load()) >= pongGrace
}

// keepUp keeps the path alive until it is dead, and returns of what it died.
func (p *path) keepUp(ctx context.Context) error {
	select {
	case <-p.opened:
	case err := <-p.ended:
		return err
	}
	watch := stunWatch{once: p.flow.cfg.NoKeepAlive, rand: p.flow.cfg.Rand}
	var look time.Time // when to look at our own address; zero: nothing changed
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(p.next(&watch, look)))
		select {
		case err := <-p.ended:
			return err
		case err := <-p.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-p.tuned:
		case <-p.ponged:
			p.tune(func(k *keeper, now time.Time) { k.pong(now) })
		case servers := <-p.asks:
			watch.ask(servers, time.Now())
		case mapped := <-p.mapped:
			p.flow.emit(Event{Kind: Probed, Gen: p.gen, Mapped: mapped})
		case d := <-p.stun:
			if mapped, ok := watch.handle(d.b, d.from, time.Now()); ok {
				p.flow.emit(Event{Kind: Probed, Gen: p.gen, Mapped: mapped})
			}
		case <-p.flow.changed:
			look = time.Now().Add(settle)
		case <-timer.C:
			moved := !look.IsZero() && !time.Now().Before(look)
			if err := p.fire(&watch, moved); err != nil {
				return err
			}
			if moved {
				look = time.Time{}
			}
		}
	}
}

func (p *path) tune(change func(k *keeper, now time.Time)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.keeper, time.Now())
}

// next returns when fire has something to do.
func (p *path) next(watch *stunWatch, look time.Time) time.Time {
	p.mu.Lock()
	due := p.keeper.next()
	p.mu.Unlock()
	for _, t := range []time.Time{watch.next(), look} {
		if !t.IsZero() && t.Before(due) {
			due = t
		}
	}
	return due
}

// fire does what is due; an error is the end.
func (p *path) fire(watch *stunWatch, moved bool) error {
	now := time.Now()
	p.mu.Lock()
	do := p.keeper.fire(now, p.quiet())
	p.mu.Unlock()
	if do&giveUp != 0 {
		return errNoPong
	}
	if do&sendPing != 0 {
		_ = p.stream.Ping() // an error ends the stream, and read tells
	}
	if moved || do != 0 {
		if source, err := p.flow.net.Source(p.target.Addr.Addr()); err == nil && source.Unmap() != p.local.Addr() {
			return errMoved
		}
	}
	if do&askProbe != 0 {
		p.flow.emit(Event{Kind: ProbeDue, Gen: p.gen})
	}
	for _, r := range watch.fire(now) {
		_ = p.sock.Send(r.b, r.from) // lost is lost: STUN repeats
	}
	return nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return netip.AddrPortFrom(u.AddrPort().Addr().Unmap(), u.AddrPort().Port())
	}
	return netip.AddrPort{}
}
