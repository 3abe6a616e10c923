// Package memnet is an in-memory network for tests: segments, hosts, NATs by
// their RFC 4787 and RFC 5382 names, UDP with loss, delay and reordering, TCP
// with retransmission, resets and black holes, and a model of the Linux SIP
// ALG. It owns no goroutine: every action runs in the caller's or in a timer,
// so that a whole program runs on it inside a testing/synctest bubble.
package memnet

import (
	"container/heap"
	"net/netip"
	"sync"
	"time"
)

// A Network is a set of segments with their hosts and gateways. One lock
// guards all of it. It is made by New, within the bubble that uses it, and is
// safe for concurrent use.
type Network struct {
	mu       sync.Mutex
	seed     uint64
	segments []*Segment
	hosts    []*Host

	queue   []delivery // packets on their way in this very instant
	running bool       // drain is at work

	events events // what happens later, by time and order
	serial uint64
	timer  *time.Timer
	ids    uint64
	closed bool
}

// A delivery is a packet that has reached a node.
type delivery struct {
	to  node
	in  *Segment // nil: the host's own loopback
	pkt packet
}

// A node is what a segment delivers packets to: a host or a gateway.
type node interface {
	receive(p packet, in *Segment)
}

// New returns an empty network. The same seed gives the same losses, delays
// and port choices for the same sequence of packets on each link.
func New(seed uint64) *Network {
	return &Network{seed: seed}
}

// Segment adds a segment. Addresses within its prefixes are on the segment
// itself; all others go to its gateway, the first NAT whose inside it is. A
// segment with neither, like "the internet", reaches what is attached to it.
func (n *Network) Segment(name string, prefixes ...netip.Prefix) *Segment {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := &Segment{
		net: n, name: name, prefixes: prefixes,
		nodes: make(map[netip.Addr]node),
		links: make(map[link]*linkState),
	}
	n.segments = append(n.segments, s)
	return s
}

// Close ends every socket of every host as its Close method does, without a
// word to the far side, and forgets all that was to happen later.
func (n *Network) Close() {
	n.lock()
	n.closed = true
	for _, h := range n.hosts {
		h.forget()
	}
	n.events = nil
	if n.timer != nil {
		n.timer.Stop()
	}
	n.unlock()
}

func (n *Network) lock() { n.mu.Lock() }

// unlock delivers what has been sent meanwhile and lets go of the lock.
func (n *Network) unlock() {
	n.drain()
	n.mu.Unlock()
}

// drain delivers packets in the order in which they were sent. Nodes that
// answer add to the queue instead of recursing.
func (n *Network) drain() {
	if n.running {
		return
	}
	n.running = true
	for i := 0; i < len(n.queue); i++ {
		d := n.queue[i]
		n.queue[i] = delivery{}
		d.to.receive(d.pkt, d.in)
	}
	n.queue = n.queue[:0]
	n.running = false
}

// An event is something that happens at an instant.
type event struct {
	at     time.Time
	serial uint64
	index  int // in the heap, -1: not there
	do     func()
}

// at arranges that do is called at t with the network locked. Events of one
// instant happen in the order in which they were arranged.
func (n *Network) at(t time.Time, do func()) *event {
	e := &event{at: t, serial: n.serial, do: do, index: -1}
	n.serial++
	if n.closed {
		return e
	}
	heap.Push(&n.events, e)
	n.arm()
	return e
}

// cancel forgets e, which may be nil or over already.
func (n *Network) cancel(e *event) {
	if e != nil && e.index >= 0 && e.index < len(n.events) && n.events[e.index] == e {
		heap.Remove(&n.events, e.index)
	}
}

// arm sets the one timer to the next event.
func (n *Network) arm() {
	if len(n.events) == 0 {
		return
	}
	d := max(time.Until(n.events[0].at), 0)
	if n.timer == nil {
		n.timer = time.AfterFunc(d, n.fire)
		return
	}
	n.timer.Reset(d)
}

// fire runs all events that are due.
func (n *Network) fire() {
	n.lock()
	defer n.unlock()
	now := time.Now()
	for len(n.events) > 0 && !n.events[0].at.After(now) {
		e := heap.Pop(&n.events).(*event)
		e.do()
		n.drain()
	}
	n.arm()
}

// id returns a number that no other connection of the network has.
func (n *Network) id() uint64 {
	n.ids++
	return n.ids
}

// events is a heap by time, then by the order of arrangement.
type events []*event

func (q events) Len() int { return len(q) }

func (q events) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].serial < q[j].serial
	}
	return q[i].at.Before(q[j].at)
}

func (q events) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *events) Push(x any) {
	e := x.(*event)
	e.index = len(*q)
	*q = append(*q, e)
}

func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	e.index = -1
	return e
}
