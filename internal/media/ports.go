package media

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrNoPorts means that no pair of ports is free: all are in use or in
// quarantine.
var ErrNoPorts = errors.New("no media ports free")

// quarantine is how long a port rests after its release: late packets of one
// call must not reach the next.
const quarantine = 30 * time.Second

// ports hands out even ports, each with the odd one above it (RFC 3550 §11).
// Safe for concurrent use.
type ports struct {
	mu sync.Mutex // guards following
	// free is unordered; resting is in order of release.
	free    []uint16
	resting []released
	used    int
}

type released struct {
	port uint16
	at   time.Duration
}

// newPorts takes the pairs that lie whole within low to high.
func newPorts(low, high uint16) *ports {
	p := &ports{}
	for port := max(int(low)+int(low)&1, 2); port < int(high); port += 2 {
		p.free = append(p.free, uint16(port))
	}
	return p
}

// take returns a random free port: nobody shall guess where the next call's
// media goes.
func (p *ports) take(now time.Duration) (uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.resting) && now-p.resting[n].at >= quarantine {
		p.free = append(p.free, p.resting[n].port)
		n++
	}
	p.resting = append(p.resting[:0], p.resting[n:]...)
	if len(p.free) == 0 {
		return 0, ErrNoPorts
	}
	i, last := rand.IntN(len(p.free)), len(p.free)-1
	port := p.free[i]
	p.free[i] = p.free[last]
	p.free = p.free[:last]
	p.used++
	return port, nil
}

// release puts a used port into quarantine.
func (p *ports) release(port uint16, now time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	p.resting = append(p.resting, released{port, now})
}

// putBack returns ports that were never opened.
func (p *ports) putBack(unused ...uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= len(unused)
	p.free = append(p.free, unused...)
}
