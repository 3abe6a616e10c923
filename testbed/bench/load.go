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
	w.running.Store(r)
	defer func() {
		w.running.Store(nil)
		err = errors.Join(err, r.stop())
	}()
	if err := g.awaitProxy(); err != nil {
		return res, fmt.Errorf("%s over %s: %w\n%s", p.name, j.up, err, r.tail())
	}
	pace(registerRate, len(g.phones), g.unit("register"))
	g.settle()
	return j.load(g, r)
}

// registerRate is how fast the phones register before calls, a second.
const registerRate = 400

// load begins units at an even pace, and measures after the warm-up.
func (j job) load(g *generator, r *process) (res result, err error) {
	begin := g.unit(j.work)
	pace(j.rate, int(j.warm.Seconds()*float64(j.rate)), begin)
	g.count(true)
	before, err := r.read()
	if err != nil {
		return res, err
	}
	late := pace(j.rate, int(j.measure.Seconds()*float64(j.rate)), begin)
	after, err := r.read()
	if err != nil {
		return res, err
	}
	g.count(false)
	res.rss, res.pss = r.memory()
	g.settle()
	g.mu.Lock()
	defer g.mu.Unlock()
	if late > time.Second {
		g.fail(&unit{}, fmt.Sprintf("the generator is %v late: the machine is too busy", late), "")
	}
	res.sum(&g.tally, before, after)
	return res, nil
}

// count begins or ends the time whose units count.
func (g *generator) count(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if on {
		g.tally.resent, g.tally.repeated = 0, 0
	}
	g.tally.counting = on
}

// sum fills in what happened between two readings.
func (r *result) sum(t *tally, before, after reading) {
	r.units, r.failed, r.resent, r.repeated, r.first = t.begun, t.failed, t.resent, t.repeated, t.first
	r.p50, r.p99 = t.quantile(0.5), t.quantile(0.99)
	units, span := time.Duration(max(1, t.begun)), after.at.Sub(before.at).Seconds()
	r.cpu = (after.cpu() - before.cpu()) / units
	r.ticks = (after.ticks - before.ticks) / units
	r.peers = (after.peers - before.peers).Seconds() / span
	r.steal = (after.steal - before.steal).Seconds() / span
	r.other = max(0, (after.machine-before.machine).Seconds()/span-r.peers-(after.cpu()-before.cpu()).Seconds()/span)
}

// pace calls f n times, rate times a second, on the beat, and returns how late
// it was in the end.
func pace(rate, n int, f func(i int)) time.Duration {
	beat := time.Second / time.Duration(rate)
	start := time.Now()
	for i := range n {
		time.Sleep(time.Until(start.Add(time.Duration(i) * beat)))
		f(i)
	}
	time.Sleep(time.Until(start.Add(time.Duration(n) * beat)))
	return time.Since(start) - time.Duration(n)*beat
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

// awaitProxy waits until the proxy serves: until one phone could register.
func (g *generator) awaitProxy() error {
	const start = 20 * time.Second
	for late := time.Now().Add(start); ; {
		g.mu.Lock()
		first := g.tally.first
		g.tally = tally{}
		g.phones[0].register()
		g.mu.Unlock()
		g.wait(500*time.Millisecond, func() bool { return !g.phones[0].unit.running })
		if g.registered(g.phones[0]) {
			return nil
		}
		if time.Now().After(late) {
			return fmt.Errorf("no phone could register within %v: %s", start, first)
		}
	}
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
