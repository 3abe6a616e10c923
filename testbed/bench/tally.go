//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

// A tally counts what the units of one run did.
type tally struct {
	counting bool // units that begin now count
	begun    int
	done     int
	failed   int
	resent   int // messages that the generator sent again
	repeated int // messages that the proxy sent again
	took     []time.Duration
	first    string // why the first one failed
}

// A unit is one registration or one call.
type unit struct {
	began   time.Time
	waited  time.Duration // of that, ringing and talking
	running bool
	over    bool
	counted bool
}

// begin starts a unit.
func (g *generator) begin(u *unit) {
	*u = unit{began: time.Now(), running: true, counted: g.tally.counting}
	if u.counted {
		g.tally.begun++
	}
}

// end ends a unit well.
func (g *generator) end(u *unit) {
	if u.over {
		return
	}
	u.over, u.running = true, false
	if u.counted {
		g.tally.done++
		g.tally.took = append(g.tally.took, time.Since(u.began)-u.waited)
	}
}

// fail ends a unit; a unit outside of what is counted that fails is counted
// all the same: nothing may fail.
func (g *generator) fail(u *unit, why, m string) {
	if u.over {
		return
	}
	u.over, u.running = true, false
	g.tally.failed++
	if g.tally.first == "" {
		g.tally.first = fmt.Sprintf("%s, after %v:\n%s", why, time.Since(u.began), m)
	}
}

// quantile returns the time that a share of the units stayed under.
func (t *tally) quantile(share float64) time.Duration {
	if len(t.took) == 0 {
		return 0
	}
	slices.Sort(t.took)
	return t.took[min(len(t.took)-1, int(share*float64(len(t.took))))]
}
