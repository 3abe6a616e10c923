// Package flow keeps one path to a provider alive from start to stop, as an
// RFC 5626 client does (§4.4 keep-alive, §4.5 flow recovery): a UDP socket, or
// a TCP or TLS connection to the servers that RFC 3263 names, checked as RFC
// 5922 wants it. It owns that socket and the goroutines of its Run. It sends
// keep-alive bytes and STUN, never SIP.
package flow

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"pinhole/internal/message"
	"pinhole/internal/resolve"
	"pinhole/internal/transport"
)

// What the core and the flow tell each other by an error.
var (
	// ErrDown is Send's answer when the generation is not the current one.
	ErrDown = errors.New("flow is down")

	// ErrPoisoned, wrapped in what Fail gets, says that something on the way
	// drops one segment for ever: the next generation has a new source port.
	ErrPoisoned = errors.New("the way is poisoned")

	// ErrElsewhere, wrapped in what Fail gets, says that the server lives but
	// does not serve us: the next one that DNS names is tried first.
	ErrElsewhere = errors.New("the server does not serve us")
)

// Config says where a flow leads.
type Config struct {
	Name   string // of the upstream, for the log
	Domain string // the registrar's domain, or its IP address

	// Server is a host name or IP address to connect to instead of what DNS
	// says of Domain; empty: none. Port belongs to it; 0: none was written.
	Server string
	Port   uint16

	Transport  string         // "udp", "tcp", "tls" or "auto"
	SourcePort uint16         // local port to take if it is free; 0: any
	Local      netip.AddrPort // local address of the last run's flow: its port is tried first; zero: none

	CA          string // PEM file of the authorities trusted; empty: the system's
	Insecure    bool   // take any certificate
	TLSName     string // name asked for and accepted; empty: Server, if it is a host name, else Domain
	TLSIdentity string // "rfc5922": no wildcards; anything else allows one left-most wildcard label

	STUN []string // "host:port" or "host"; nil: no STUN
	Pong bool     // the provider is known to answer pings, see PromisePong

	NoKeepAlive bool // an idle flow sends nothing: no ping, no STUN again, no ProbeDue

	Rand func() float64 // uniform in [0, 1); nil: math/rand
}

// A Kind is what an Event tells; it says which fields are set beside Gen.
type Kind uint8

// The kinds.
const (
	Up       Kind = iota + 1 // the generation Gen begins: Proto, Local, Remote, SameSource
	Down                     // it ended: Err
	Message                  // a SIP message arrived: From, Msg, and Err when it is broken
	Probed                   // STUN answered: Mapped
	ProbeDue                 // send an OPTIONS: as a sign of life, or to keep the NAT open
)

// An Event is what a flow tells its core.
type Event struct {
	Kind Kind
	Gen  uint64 // from 1 on; grows each time the path is made

	Proto         transport.Proto
	Local, Remote netip.AddrPort
	SameSource    bool // Local is that of the generation before, or Config.Local: the NAT may have kept its mapping

	Err    error            // Down: why; Message: a *message.Error
	Mapped netip.AddrPort   // what a STUN server sees
	From   netip.AddrPort   // the message's source
	Msg    *message.Message // the receiver's from now on
}

// A Flow is one path to a provider. Safe for concurrent use.
type Flow struct {
	cfg     Config
	net     transport.Net
	res     *resolve.Resolver
	events  func(Event)
	log     *slog.Logger
	changed chan struct{} // the machine's addresses or routes changed; holds one

	emitting sync.Mutex // one event at a time

	mu     sync.Mutex // guards following
	path   *path      // the current generation, nil while there is none
	status Status

	dialer dialer // of Run's goroutine alone
}

// A State is what a flow is doing.
type State uint8

// The states.
const (
	StateDown       State = iota // waiting for the next attempt
	StateConnecting              // resolving, dialling, shaking hands
	StateUp
)

// String returns the state as the status page names it.
func (s State) String() string { return [...]string{"down", "connecting", "up"}[s] }

// A Status is a flow at one moment, for the status page.
type Status struct {
	State         State
	Since         time.Time
	Gen           uint64 // the current or last generation; 0: there was none yet
	Proto         transport.Proto
	Local, Remote netip.AddrPort // of that generation
	Err           error          // why the last one ended or the last attempt failed; nil: nothing did
	Next          time.Time      // StateDown: the next attempt
}

// New returns a flow that Run will bring up. events is called from the flow's
// goroutines, one event at a time: of each generation first Up, last Down. It
// may call all methods but Run, and holds up the flow's reading until it
// returns. A nil log is the default one.
func New(cfg Config, n transport.Net, res *resolve.Resolver, events func(Event), log *slog.Logger) *Flow {
	if log == nil {
		log = slog.Default()
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Float64
	}
	f := &Flow{cfg: cfg, net: n, res: res, events: events, log: log.With("upstream", cfg.Name), changed: make(chan struct{}, 1)}
	f.dialer.flow = f
	f.dialer.last = cfg.Local
	return f
}

// Run keeps the flow up until ctx ends, and returns ctx's error when all that
// it started is over. It is called once.
func (f *Flow) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	watching.Go(func() { f.watch(ctx) })
	defer watching.Wait()
	if f.cfg.Insecure {
		f.log.Warn("the provider's certificate is not checked: anybody on the way can listen and change",
			"cause", "insecure = true", "remedy", "set ca or tls_name instead")
	}
	var pace backoff
	for ctx.Err() == nil {
		f.setState(StateConnecting, nil)
		p, err := f.dialer.connect(ctx)
		if ctx.Err() != nil {
			if p != nil {
				p.discard()
			}
			break
		}
		var wait time.Duration
		if err != nil {
			wait = pace.failed(f.cfg.Rand())
			f.logFailure(err, wait)
		} else {
			err = f.serve(ctx, p)
			worked := p.didWork(err)
			wait = pace.ended(worked, time.Since(p.start), f.cfg.Rand())
			f.dialer.ended(p, worked, err)
		}
		if !f.wait(ctx, err, wait) {
			break
		}
	}
	return ctx.Err()
}

// wait waits before the next attempt, and reports whether there shall be one.
// A change of the machine's network makes it come early.
func (f *Flow) wait(ctx context.Context, why error, d time.Duration) bool {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err() == nil
	}
	start := time.Now()
	f.setState(StateDown, why)
	f.mu.Lock()
	f.status.Next = start.Add(d)
	f.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-f.changed:
			timer.Reset(time.Until(start.Add(min(d, changePause))))
		}
	}
}

// watch hears of changes of the machine's network. Where the system cannot
// tell, each keep-alive looks by itself.
func (f *Flow) watch(ctx context.Context) {
	err := f.net.Watch(ctx, func() { poke(f.changed) })
	if ctx.Err() == nil {
		f.log.Debug("changes of addresses are seen late", "err", err)
	}
}

// poke makes a channel that holds one value hold it.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// serve runs one generation from its Up to its Down, and returns why it ended.
func (f *Flow) serve(ctx context.Context, p *path) error {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	var tasks sync.WaitGroup
	tasks.Go(func() { p.read(run) })
	tasks.Go(func() { p.learn(run) })
	err := p.keepUp(run)
	f.mu.Lock()
	f.path = nil
	f.status.State, f.status.Err = StateDown, err
	f.mu.Unlock()
	if ctx.Err() == nil {
		p.abort(err)
	}
	cancel()
	tasks.Wait()
	if !p.begun() {
		return err // it never had its Up
	}
	f.logEnd(p, err)
	f.emit(Event{Kind: Down, Gen: p.gen, Err: err})
	return err
}

// up makes p the current generation.
func (f *Flow) up(p *path) {
	f.mu.Lock()
	f.path = p
	f.status = Status{State: StateUp, Since: p.start, Gen: p.gen, Proto: p.target.Proto, Local: p.local, Remote: p.target.Addr}
	f.mu.Unlock()
	f.log.Info("flow up", "flow", p.gen, "proto", p.target.Proto.String(), "local", p.local, "remote", p.target.Addr,
		"host", p.target.Host, "same_source", p.same)
	f.emit(Event{
		Kind: Up, Gen: p.gen, Proto: p.target.Proto, Local: p.local, Remote: p.target.Addr, SameSource: p.same,
	})
}

func (f *Flow) setState(s State, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.State, f.status.Since, f.status.Next = s, time.Now(), time.Time{}
	if err != nil {
		f.status.Err = err
	}
}

func (f *Flow) emit(e Event) {
	f.emitting.Lock()
	defer f.emitting.Unlock()
	f.events(e)
}

// Status returns what the flow is doing.
func (f *Flow) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// current returns the path of the generation gen, nil when it is over.
func (f *Flow) current(gen uint64) *path {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.path == nil || f.path.gen != gen {
		return nil
	}
	return f.path
}

// Send sends one message to the provider in the generation gen. It never
// blocks. ErrDown says that this generation is over; any other error that the
// message was not sent.
func (f *Flow) Send(gen uint64, b []byte) error {
	return f.SendTo(gen, netip.AddrPort{}, b)
}

// SendTo is Send to another address than Remote, such as the source of a
// request that came over UDP. A stream ignores to.
func (f *Flow) SendTo(gen uint64, to netip.AddrPort, b []byte) error {
	p := f.current(gen)
	if p == nil {
		return ErrDown
	}
	if !to.IsValid() {
		to = p.target.Addr
	}
	return p.sock.Send(b, to)
}

// Fail ends the generation gen, if it is the current one, with a reset, and
// makes the next one: the core found it dead. See ErrPoisoned and
// ErrElsewhere; err must not be nil.
func (f *Flow) Fail(gen uint64, err error) {
	if p := f.current(gen); p != nil {
		select {
		case p.failed <- err:
		default: // it is failing already
		}
	}
}

// PromisePong says that the provider promised, in the generation gen, to
// answer pings (RFC 5626 §4.4, RFC 6223): from now on a missing pong is the
// end of the flow.
func (f *Flow) PromisePong(gen uint64) {
	f.tune(gen, func(k *keeper, now time.Time) { k.promise(now) })
}

// SetKeepAlive sets how often at most the flow is kept alive in the generation
// gen, as Flow-Timer or keep demands it: each interval is 80 to 100 % of d.
// 0 is our own choice.
func (f *Flow) SetKeepAlive(gen uint64, d time.Duration) {
	f.tune(gen, func(k *keeper, now time.Time) { k.setEvery(d, now) })
}

// SetNAT says whether a NAT stands before the flow of the generation gen;
// until it is called, one is assumed. Without, keep-alives are rare.
func (f *Flow) SetNAT(gen uint64, behind bool) {
	f.tune(gen, func(k *keeper, now time.Time) { k.setOpen(!behind, now) })
}

func (f *Flow) tune(gen uint64, change func(k *keeper, now time.Time)) {
	if p := f.current(gen); p != nil {
		p.mu.Lock()
		change(&p.keeper, time.Now())
		p.mu.Unlock()
		poke(p.tuned)
	}
}
