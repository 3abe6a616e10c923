package flow

import "time"

// The intervals are drawn anew each time, so that flows do not beat together
// (RFC 5626 §4.4.1).
const (
	pingMin, pingMax         = 25 * time.Second, 30 * time.Second // most NATs forget no TCP in that time, and inbound calls are lost no longer
	pingOpenMin, pingOpenMax = 95 * time.Second, 120 * time.Second
	probeMin, probeMax       = 60 * time.Second, 120 * time.Second // OPTIONS, where nobody promised pongs, or without NAT
	probeUDPMin, probeUDPMax = 24 * time.Second, 29 * time.Second  // OPTIONS over UDP: what keeps the NAT open (RFC 5626 §4.4.2)
	stunMin, stunMax         = 24 * time.Second, 29 * time.Second
	pongTime                 = 10 * time.Second // RFC 5626 §4.4.1
	pongGrace                = 100 * time.Millisecond
	userTimeout              = 20 * time.Second
	wedgePing                = 8 * time.Second // with pongTime and a dial it keeps the outage under 20 s
	wedgePort                = 5060            // where routers look for SIP
	settle                   = 250 * time.Millisecond
	never                    = 1 << 62 // 146 years
)

// A keeper decides when to ping, when to ask for an OPTIONS and when a missing
// pong is the end. It is a pure value.
type keeper struct {
	stream   bool
	off      bool           // nothing is sent
	wedges   bool           // plaintext on port 5060: one bad message can block it for ever
	rand     func() float64 // uniform in [0, 1)
	every    time.Duration  // what the provider asked for; 0: nothing
	open     bool           // there is no NAT
	promised bool           // pongs are

	pingAt  time.Time // zero: never
	probeAt time.Time
	pongBy  time.Time // zero: none is awaited
	judgeAt time.Time // zero, or when to look at pongBy again
}

// A todo is what a keeper wants done; a bit set.
type todo uint8

const (
	sendPing todo = 1 << iota
	askProbe
	giveUp
)

// begin draws the first times.
func (k *keeper) begin(now time.Time) {
	if k.stream {
		k.pingAt = now.Add(k.pingWait())
	}
	k.probeAt = now.Add(k.probeWait())
}

// next returns when to call fire.
func (k *keeper) next() time.Time {
	due := k.probeAt
	for _, t := range []time.Time{k.pingAt, k.judgeAt} {
		if !t.IsZero() && t.Before(due) {
			due = t
		}
	}
	return due
}

// fire returns what is due at now. quiet says that all input received so far
// is dealt with: only then is a missing pong judged (RFC 5626 §4.4.1), but no
// later than twice its time.
func (k *keeper) fire(now time.Time, quiet bool) todo {
	var do todo
	if !k.judgeAt.IsZero() && !now.Before(k.judgeAt) {
		if !quiet && now.Before(k.pongBy.Add(pongTime)) {
			k.judgeAt = now.Add(pongGrace)
		} else {
			k.judgeAt = time.Time{}
			do |= giveUp
		}
	}
	if !k.pingAt.IsZero() && !now.Before(k.pingAt) {
		do |= sendPing
		k.pingAt = now.Add(k.pingWait())
		if k.promised && k.judgeAt.IsZero() {
			k.pongBy = now.Add(pongTime)
			k.judgeAt = k.pongBy
		}
	}
	if !now.Before(k.probeAt) {
		if !k.stream || !k.promised {
			do |= askProbe
		}
		k.probeAt = now.Add(k.probeWait())
	}
	return do
}

// pong takes in a pong. One that comes unpromised is a promise.
func (k *keeper) pong(now time.Time) {
	k.judgeAt, k.pongBy = time.Time{}, time.Time{}
	k.promise(now)
}

// promise says that pongs are promised.
func (k *keeper) promise(now time.Time) {
	k.promised = true
	if soon := now.Add(wedgePing); k.wedges && !k.off && k.pingAt.After(soon) {
		k.pingAt = soon
	}
}

func (k *keeper) setEvery(d time.Duration, now time.Time) {
	if d = max(d, 0); d > 0 {
		d = max(d, time.Second)
	}
	if d != k.every {
		k.every = d
		k.redraw(now)
	}
}

func (k *keeper) setOpen(open bool, now time.Time) {
	if open != k.open {
		k.open = open
		k.redraw(now)
	}
}

// redraw draws the times anew after a change of the intervals.
func (k *keeper) redraw(now time.Time) {
	if k.stream {
		k.pingAt = now.Add(k.pingWait())
	} else {
		k.probeAt = now.Add(k.probeWait())
	}
}

func (k *keeper) pingWait() time.Duration {
	d := k.wait(pingMin, pingMax)
	switch {
	case k.off:
		return never
	case k.every > 0:
		d = k.wait(k.every*4/5, k.every) // RFC 5626 §4.4
	case k.open:
		d = k.wait(pingOpenMin, pingOpenMax)
	}
	if k.wedges && k.promised {
		d = min(d, wedgePing)
	}
	return d
}

func (k *keeper) probeWait() time.Duration {
	switch {
	case k.off:
		return never
	case k.stream:
		return k.wait(probeMin, probeMax)
	case k.every > 0:
		return k.wait(k.every*4/5, k.every)
	case k.open:
		return k.wait(probeMin, probeMax)
	}
	return k.wait(probeUDPMin, probeUDPMax)
}

// wait draws a duration between lo and hi.
func (k *keeper) wait(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(k.rand()*float64(hi-lo))
}
