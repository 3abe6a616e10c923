package flow

import "time"

const (
	backoffBase = 30 * time.Second // RFC 5626 §4.5: all flows of the set are down
	backoffCap  = 1800 * time.Second

	// A flow that nobody sent a word on "worked before" (RFC 5626 §4.5) when
	// it stood for idleLife. Of two in a row that lived shorter than
	// shortLife the second did not work, whatever was said on it: a server
	// that throws us out at once must not be hammered.
	idleLife  = 2 * time.Minute
	shortLife = 10 * time.Second

	// changePause is the least time between two attempts when the machine's
	// network changes in between.
	changePause = 5 * time.Second
)

// A backoff says how long to wait before the next attempt (RFC 5626 §4.5).
type backoff struct {
	failures int  // in a row
	short    bool // the last generation lived shorter than shortLife
}

// failed returns the wait after an attempt without success; r is uniform in
// [0, 1).
func (b *backoff) failed(r float64) time.Duration {
	b.failures = min(b.failures+1, 16)
	w := min(backoffBase<<b.failures, backoffCap)
	return w/2 + time.Duration(r*float64(w/2))
}

// ended returns the wait after a generation that worked: none, unless it is
// the second short one in a row. After one that did not work there is none
// either, for the sake of the servers not tried yet; connect fails when there
// are no more of them.
func (b *backoff) ended(worked bool, lived time.Duration, r float64) time.Duration {
	if !worked {
		return 0
	}
	again := b.short && lived < shortLife
	b.short = lived < shortLife
	if again {
		return b.failed(r)
	}
	b.failures = 0
	return 0
}
