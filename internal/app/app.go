// Package app wires one configuration into a running program over a given
// network: what the binary, the demo and the whole-program tests all start. It
// owns every goroutine of the program.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"pinhole/internal/config"
	"pinhole/internal/flow"
	"pinhole/internal/media"
	"pinhole/internal/metrics"
	"pinhole/internal/resolve"
	"pinhole/internal/state"
	"pinhole/internal/transport"
	"pinhole/proxy"
)

// Env is what a run gets from outside. Net and Log are required.
type Env struct {
	Net     transport.Net
	Log     *slog.Logger
	Tap     proxy.Tap        // sees every message; nil: nobody
	DNS     []netip.AddrPort // DNS servers; nil: those of the system
	Ready   func()           // called once the listeners are open; nil: nobody waits
	Metrics *metrics.Set     // nil: nothing is counted
}

// A program is one run.
type program struct {
	cfg      *config.Config
	env      Env
	state    *state.File
	resolver *resolve.Resolver
	relay    *media.Relay
	driver   *proxy.Driver
	log      *slog.Logger

	tasks sync.WaitGroup
	fail  context.CancelCauseFunc
}

// drainTime is how long transactions under way may take to end after ctx has.
const drainTime = 1500 * time.Millisecond

// Run runs the program until ctx ends, then lets what is under way finish and
// returns nil; any other error says why it could not go on.
func Run(ctx context.Context, cfg *config.Config, env Env) error {
	p := &program{cfg: cfg, env: env, log: env.Log}
	inner, fail := context.WithCancelCause(context.WithoutCancel(ctx))
	p.fail = fail
	defer func() {
		fail(nil)
		p.tasks.Wait()
	}()
	if err := p.start(inner, ctx); err != nil {
		return err
	}
	if env.Ready != nil {
		env.Ready()
	}
	select {
	case <-inner.Done():
		return context.Cause(inner)
	case <-ctx.Done():
	}
	p.log.Info("stopping")
	p.driver.Drain(drainTime)
	return nil
}

// start opens everything; run is the life of the program, ctx that of the
// caller.
func (p *program) start(run, ctx context.Context) error {
	if err := p.openResolver(); err != nil {
		return err
	}
	if err := p.complete(ctx); err != nil {
		return err
	}
	var err error
	if p.state, err = state.Open(p.cfg.State.File, p.log); err != nil {
		return err
	}
	p.relay = media.New(p.mediaConfig())
	core := proxy.New(proxy.Settings{
		Upstreams: p.upstreams(), LAN: p.lan(), Key: p.state.Key(), Log: p.log, Metrics: p.env.Metrics, Rand: rand.Uint64,
	})
	if err := core.Restore(p.state.Section); err != nil {
		p.log.Warn("starting without the saved registrations", "file", p.cfg.State.File, "cause", err.Error())
	}
	p.driver = proxy.NewDriver(core, p.relay, p.log, p.env.Tap)
	p.driver.Start(run)
	p.task("driver", func() error { return p.driver.Run(run) })
	p.task("media", func() error { return p.relay.Run(run) })
	p.task("state", func() error { return p.keepState(run) })
	if err := p.listen(run); err != nil {
		return err
	}
	for i := range p.cfg.Upstream {
		u := &p.cfg.Upstream[i]
		p.startFlow(run, u, core.LastLocal(u.Name))
	}
	return nil
}

// task runs one part of the program; its failure ends all.
func (p *program) task(name string, f func() error) {
	p.tasks.Go(func() {
		if err := f(); err != nil && !errors.Is(err, context.Canceled) {
			p.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// startFlow runs the flow of one upstream.
func (p *program) startFlow(ctx context.Context, u *config.Upstream, last netip.AddrPort) {
	f := flow.New(p.flowConfig(u, last), p.env.Net, p.resolver, func(e flow.Event) { p.driver.FlowEvent(u.Name, e) }, p.log)
	p.driver.AddFlow(u.Name, f)
	p.task("flow "+u.Name, func() error { return f.Run(ctx) })
}

// keepState hands the state to its file whenever the driver says that it
// changed: at once where a phone's answer waits for it, else together with what
// a second brings. The file is written until that has ended.
func (p *program) keepState(ctx context.Context) error {
	file, stop := context.WithCancel(context.WithoutCancel(ctx))
	written := make(chan error, 1)
	go func() { written <- p.state.Run(file, p.driver.Saved) }()
	defer func() {
		p.handOver()
		stop()
		<-written
	}()
	for {
		var urgent bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case urgent = <-p.driver.Dirty():
		}
		if !urgent {
			p.gather(ctx)
		}
		p.handOver()
	}
}

// gather waits for what else changes within a second, or until a phone waits for
// the disk.
func (p *program) gather(ctx context.Context) {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case urgent := <-p.driver.Dirty():
			if urgent {
				return
			}
		}
	}
}

// handOver gives the state file the state as it is now.
func (p *program) handOver() {
	sections, serial, err := p.driver.State()
	if err != nil {
		p.log.Error("state not kept", "cause", err.Error())
	}
	p.state.SaveAll(sections, serial)
}
