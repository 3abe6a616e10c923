//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A job is one cell of the table: what is done, and how fast.
type job struct {
	work    string // register, in, out
	up      string // udp, tcp, tls
	phones  int
	rate    int // units a second
	warm    time.Duration
	measure time.Duration
}

// A result is one run of a job through one proxy.
type result struct {
	units, failed    int
	resent, repeated int
	cpu, ticks       time.Duration // for one unit: by the better clock, by utime+stime
	p50, p99         time.Duration
	rss, pss         int64
	steal, other     float64 // of one CPU: taken by the hypervisor, used by others
	peers            float64 // of one CPU: the generator's
	first            string  // why the first unit failed
}

// run does a job through a proxy.
func (j job) run(w *world, p *proxy) (res result, err error) {
	s := site{
		inside: w.peers.do, phone: phoneAddr, cert: w.cert,
		provider: netip.MustParseAddrPort(providerIP + ":5060"),
	}
	g, err := open(s, j.phones)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	g.proxy, g.wan, g.hides = netip.MustParseAddrPort(proxyLAN+":5060"), p.wan, p.hides
	r, err := p.start(w, j.up)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := g.registerAll(j.rate); err != nil {
		return res, fmt.Errorf("%s over %s: %w\n%s", p.name, j.up, err, r.tail())
	}
	return j.load(g, r)
}

// load begins units at an even pace, and measures after the warm-up.
func (j job) load(g *generator, r *process) (res result, err error) {
	unit := g.unit(j.work)
	if err := pace(j.rate, int(j.warm.Seconds()*float64(j.rate)), unit); err != nil {
		return res, err
	}
	g.mu.Lock()
	g.tally.resent, g.tally.repeated, g.tally.counting = 0, 0, true
	g.mu.Unlock()
	before, err := r.read()
	if err != nil {
		return res, err
	}
	err = pace(j.rate, int(j.measure.Seconds()*float64(j.rate)), unit)
	after, err2 := r.read()
	if err := errors.Join(err, err2); err != nil {
		return res, err
	}
	g.mu.Lock()
	g.tally.counting = false
	g.mu.Unlock()
	res.rss, res.pss = r.memory()
	g.settle()
	g.mu.Lock()
	defer g.mu.Unlock()
	t := &g.tally
	res.units, res.failed, res.resent, res.repeated, res.first = t.begun, t.failed, t.resent, t.repeated, t.first
	res.p50, res.p99 = t.quantile(0.5), t.quantile(0.99)
	res.cpu = (after.cpu() - before.cpu()) / time.Duration(max(1, t.begun))
	res.ticks = (after.ticks - before.ticks) / time.Duration(max(1, t.begun))
	span := after.at.Sub(before.at).Seconds()
	res.peers = (after.peers - before.peers).Seconds() / span
	res.steal = (after.steal - before.steal).Seconds() / span
	res.other = max(0, (after.machine-before.machine).Seconds()/span-res.peers-(after.cpu()-before.cpu()).Seconds()/span)
	return res, nil
}

// pace calls f n times, rate times a second, on the beat.
func pace(rate, n int, f func(i int)) error {
	start := time.Now()
	for i := range n {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		f(i)
	}
	if late := time.Since(start) - time.Duration(n)*time.Second/time.Duration(rate); late > time.Second {
		return fmt.Errorf("the generator is %v behind: the machine is too busy", late)
	}
	return nil
}

// unit returns what begins the ith unit of a work.
func (g *generator) unit(work string) func(i int) {
	return func(i int) {
		g.mu.Lock()
		defer g.mu.Unlock()
		p := g.phones[i%len(g.phones)]
		switch work {
		case "register":
			p.register()
		case "in", "out":
			g.startCall(p, work == "in")
		}
	}
}

// registerAll waits until the proxy serves, and registers all phones once.
func (g *generator) registerAll(rate int) error {
	const start = 20 * time.Second
	for late := time.Now().Add(start); !g.registered(g.phones[0]); {
		if time.Now().After(late) {
			return fmt.Errorf("no phone could register within %v: %s", start, g.tally.first)
		}
		g.mu.Lock()
		g.tally = tally{}
		g.phones[0].register()
		g.mu.Unlock()
		g.wait(500*time.Millisecond, func() bool { return !g.phones[0].unit.running })
	}
	g.mu.Lock()
	g.tally = tally{}
	g.mu.Unlock()
	if err := pace(min(400, max(rate, 200)), len(g.phones), g.unit("register")); err != nil {
		return err
	}
	g.settle()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tally.failed > 0 {
		return fmt.Errorf("registering: %d failed, the first: %s", g.tally.failed, g.tally.first)
	}
	return nil
}

// registered reports whether a phone's last registration went well.
func (g *generator) registered(p *phone) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return p.unit.over && g.tally.failed == 0
}

// settle waits until no unit is under way.
func (g *generator) settle() {
	g.wait(patience+time.Second, func() bool {
		for _, p := range g.phones {
			if p.unit.running {
				return false
			}
		}
		return len(g.calls) == 0
	})
}

// wait polls until a condition holds, for most at most.
func (g *generator) wait(most time.Duration, holds func() bool) {
	for late := time.Now().Add(most); time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		g.mu.Lock()
		ok := holds()
		g.mu.Unlock()
		if ok {
			return
		}
	}
}
