//go:build docker

package docker

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// What faults may cost, from design §1.7. A lease of the phones is 20 s; a
// connection that could not be made is tried again after at most 60 s
// (RFC 5626 §4.5); a phone whose REGISTER was refused because the fault fell
// into it sleeps for a minute; an attempt to call takes up to try.
const (
	lease   = 20 * time.Second
	pace    = 60 * time.Second
	sleep   = 60 * time.Second
	notice  = 40 * time.Second
	try     = 3 * time.Second
	reserve = 4 * try // both phones are tried in turn, on a loaded machine
)

// A fault befalls a world in which all is well, and ends.
type fault struct {
	name         string
	on           string // the upstream transports it is tried on; FAULTS=all: on each
	smoke        bool
	old          bool // it befalls a flow on which the provider was seen to answer keep-alives
	strike, mend func(w *World)
	notice       time.Duration // until Pinhole says that the flow is down; 0: the fault ends at once
	up           time.Duration // from the end until there is a flow
	back         time.Duration // from then until both phones are called
}

// The faults in the order in which one world suffers them.
var faults = []fault{
	{
		name:   "the provider hangs",
		on:     "tls",
		old:    true,
		strike: func(w *World) { w.docker("pause", container("provider")) },
		mend:   func(w *World) { w.docker("unpause", container("provider")) },
		notice: notice, up: pace, back: lease,
	},
	{
		name:   "the router is a black hole",
		on:     "tcp udp",
		strike: func(w *World) { w.role("router", "partition", "on") },
		mend:   func(w *World) { w.role("router", "partition", "off") },
		notice: notice, up: pace, back: lease,
	},
	{
		name:   "Pinhole's cable is pulled",
		on:     "tcp",
		strike: func(w *World) { w.docker("network", "disconnect", "pinhole-testbed-lan", container("pinhole-net")) },
		mend: func(w *World) {
			w.docker("network", "connect", "--ip", pinholeLAN, "pinhole-testbed-lan", container("pinhole-net"))
		},
		notice: notice, up: pace, back: lease,
	},
	{
		name: "the router has another address",
		on:   "tls udp",
		strike: func(w *World) {
			w.role("router", "readdress", "3")
			w.wan = "203.0.113.3"
		},
		notice: 0, up: notice, back: lease,
	},
	{
		name:   "the provider is killed, and forgets all phones",
		on:     "tcp udp",
		smoke:  true,
		strike: func(w *World) { w.docker("kill", container("provider")) },
		mend: func(w *World) {
			w.docker("start", container("provider"))
			w.Provider.serves()
		},
		notice: 0, up: pace, back: lease,
	},
}

// After each fault both phones are called again, within what design §1.7 says.
func TestFaults(t *testing.T) {
	for _, upstream := range []string{"udp", "tcp", "tls"} {
		t.Run(upstream, func(t *testing.T) {
			w := start(t, Settings{Upstream: upstream, NAT: "independent"})
			w.assertRegistered()
			w.callable(w.Amy, w.Alice)
			for _, f := range faults {
				if !strings.Contains(f.on, upstream) && os.Getenv("FAULTS") != "all" {
					continue
				}
				w.suffer(f)
			}
		})
	}
}

// suffer strikes, waits until Pinhole knows where it is to, mends, and measures.
func (w *World) suffer(f fault) {
	w.t.Helper()
	if f.old {
		w.growOld()
	}
	downs := w.said("flow down")
	began := time.Now()
	f.strike(w)
	noticed := "-"
	if f.notice > 0 {
		w.eventually(f.name+": Pinhole notices", 2*notice, func() error {
			if w.said("flow down") == downs {
				return fmt.Errorf("it has not said so:\n%s", w.lastWords())
			}
			return nil
		})
		if took := time.Since(began); took > f.notice+try {
			w.t.Errorf("%s: noticed after %v, want %v", f.name, took, f.notice)
		}
		noticed = seconds(time.Since(began))
	}
	if f.mend != nil {
		f.mend(w)
	}
	ended := time.Now()
	took := w.callable(w.Amy, w.Alice)
	if limit := f.up + f.back + sleep + reserve; took[0] > limit || took[1] > limit {
		w.t.Errorf("%s: amy and alice were called again %v after its end, want %v", f.name, took, limit)
	}
	w.t.Logf("%s: noticed %s, called again %v after its end at %s", f.name, noticed, took, ended.Format(time.TimeOnly))
	recoveries.add(w.Upstream, f.name, noticed, seconds(took[0]), seconds(took[1]))
}

// growOld waits until the flow is older than the longest wait for the first
// keep-alive: 30 s (RFC 5626 §4.4.1).
func (w *World) growOld() {
	w.t.Helper()
	w.eventually("the flow grows old", 10*time.Minute, func() error {
		log, err := w.pinholeLog()
		if err != nil {
			return err
		}
		last := log[strings.LastIndex(log[:max(0, strings.LastIndex(log, `msg="flow up"`))], "time=")+len("time="):]
		stamp, _, _ := strings.Cut(last, " ")
		up, err := time.Parse(time.RFC3339, stamp)
		if err == nil && time.Since(up) < 31*time.Second {
			err = fmt.Errorf("it came up at %v", up)
		}
		return err
	})
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }

// callable calls the phones in turn until each has answered and both ends have
// heard each other, and returns when that was.
func (w *World) callable(phones ...*Phone) []time.Duration {
	w.t.Helper()
	began := time.Now()
	took := make([]time.Duration, len(phones))
	w.eventually("the phones are called", 10*time.Minute, func() error {
		for i, p := range phones {
			if took[i] > 0 {
				continue
			}
			if call := w.try(p); call != nil {
				took[i] = time.Since(began)
				call.assertHeard()
				call.hangUp(w.Outside)
			}
		}
		for i, p := range phones {
			if took[i] == 0 {
				return fmt.Errorf("%s does not answer:\n%s", p.User, w.lastWords())
			}
		}
		return nil
	})
	return took
}

// try calls a phone; it gives up, and returns nil, where that is not answered in
// time.
func (w *World) try(p *Phone) *Call {
	w.t.Helper()
	call := w.Outside.call(p)
	late := time.After(try)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if _, ok := w.Outside.after(call.fromAt, "CALL_ESTABLISHED"); ok {
			call.answered()
			return call
		}
		if _, ok := w.Outside.after(call.fromAt, "CALL_CLOSED"); ok {
			return nil
		}
		select {
		case <-late:
			w.Outside.do("hangup", "")
			w.Outside.await(call.fromAt, time.Minute, "CALL_CLOSED")
			return nil
		case <-again.C:
		}
	}
}

// When a provider with two servers loses the first, the phones are called
// through the second.
func TestFailover(t *testing.T) {
	for _, upstream := range []string{"udp", "tls"} {
		t.Run(upstream, func(t *testing.T) {
			w := start(t, Settings{Upstream: upstream, NAT: "independent", Spare: true})
			w.assertRegistered()
			w.docker("kill", container("provider"))
			began := time.Now()
			w.eventually("the phones are at the spare provider", 10*time.Minute, func() error {
				for _, user := range []string{"alice", "amy", "carol"} {
					if _, err := w.Spare.Contact(user); err != nil {
						return fmt.Errorf("%w\n%s", err, w.lastWords())
					}
				}
				return nil
			})
			took := time.Since(began)
			t.Logf("the phones were at the spare provider after %v", took)
			failovers.add(upstream, seconds(took))
			if limit := notice + 10*time.Second + 2*lease; took > limit { // the desk phone takes no lease: it comes once a minute
				t.Errorf("that took %v, want %v", took, limit)
			}
			w.must(compose(t.Context(), append(w.compose(), "OUTSIDE_PROXY="+spareWAN+":5060"), "up", "-d", "--no-deps", "outside"))
			w.Outside = w.phone("outside", "bob", w.Outside.IP)
			w.Spare.registered("bob")
			w.callable(w.Amy, w.Alice)
		})
	}
}

// said counts the lines of Pinhole's log with a message.
func (w *World) said(msg string) int {
	w.t.Helper()
	log, err := w.pinholeLog()
	w.must(err)
	return strings.Count(log, fmt.Sprintf("msg=%q", msg))
}

// lastWords are the end of Pinhole's log.
func (w *World) lastWords() string {
	log, _ := w.pinholeLog()
	return tail(log, 6)
}

// docker runs a docker command that must work.
func (w *World) docker(args ...string) {
	w.t.Helper()
	_, err := docker(w.t.Context(), args...)
	w.must(err)
}

// role has a container change what it is.
func (w *World) role(service string, argv ...string) {
	w.t.Helper()
	_, err := w.in(service, append([]string{"/role"}, argv...)...)
	w.must(err)
}

// serves waits until the provider answers.
func (p *Provider) serves() {
	p.w.t.Helper()
	p.w.eventually(p.name+" serves", patience, func() error {
		_, err := p.Contacts("nobody")
		return err
	})
}
