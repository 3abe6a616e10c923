package proxy

import (
	"container/heap"
	"time"
)

// A timer calls fire when its time has come; it sits in the core's heap while it
// is armed.
type timer struct {
	at   time.Time
	pos  int // index in the heap, -1: not armed
	fire func(now time.Time)
}

type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.pos = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.pos = -1
	return t
}

// arm sets t to fire at a time, or disarms it where that is zero.
func (c *Core) arm(t *timer, at time.Time) {
	armed := t.pos >= 0
	switch {
	case at.IsZero() && armed:
		heap.Remove(&c.timers, t.pos)
	case at.IsZero():
	case armed:
		t.at = at
		heap.Fix(&c.timers, t.pos)
	default:
		t.at = at
		heap.Push(&c.timers, t)
	}
}

// newTimer returns a timer that is not armed.
func newTimer(fire func(now time.Time)) *timer { return &timer{pos: -1, fire: fire} }

// Deadline returns when Fire is next due, the zero time if never.
func (c *Core) Deadline() time.Time {
	if len(c.timers) == 0 {
		return time.Time{}
	}
	return c.timers[0].at
}

// Fire runs every timer that is due at now.
func (c *Core) Fire(now time.Time) {
	for len(c.timers) > 0 && !c.timers[0].at.After(now) {
		t := heap.Pop(&c.timers).(*timer)
		t.fire(now)
	}
}
