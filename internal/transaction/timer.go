package transaction

import "time"

// The timers of RFC 3261 table 4. They are not configurable: T1 is an estimate
// of the round trip which RFC 3261 §17.1.1.1 lets rise but not fall, and every
// peer computes its own ends from the same numbers.
const (
	T1 = 500 * time.Millisecond // round trip estimate
	T2 = 4 * time.Second        // longest interval of non-INVITE requests and INVITE responses
	T4 = 5 * time.Second        // longest time a message stays in the network

	// Timeout64 is 64*T1, the length of timers B, F, H, J, L and M, and of the
	// wait for a final response after CANCEL (RFC 3261 §9.1).
	Timeout64 = 64 * T1

	// TimerCAfter is timer C, which must be longer than three minutes
	// (RFC 3261 §16.6 step 11).
	TimerCAfter = 181 * time.Second

	// TimerDAfter is timer D over an unreliable transport: at least 32 s
	// (RFC 3261 §17.1.1.2).
	TimerDAfter = 32 * time.Second

	// TryInviteAfter is how long an INVITE may stay without any answer
	// (RFC 3261 §17.2.1).
	TryInviteAfter = 200 * time.Millisecond

	// TryOtherAfter is when the client's timer E first reaches T2: until then a
	// 100 to a non-INVITE is forbidden over UDP, from then on it is due
	// (RFC 4320 §4.1).
	TryOtherAfter = T1 + 2*T1 + 4*T1
)

// instant is a point in time as nanoseconds since epoch, 0 for none: eight
// bytes without a pointer, where a time.Time is three words with one.
type instant int64

// epoch carries a monotonic reading, so that a step of the wall clock (a router
// sets its clock minutes after it started) moves no deadline. A time without
// such a reading, as in a synctest bubble, is compared by the wall clock.
var epoch = time.Now()

func at(t time.Time) instant {
	d := instant(t.Sub(epoch))
	if d == 0 {
		return 1 // 0 means none; a nanosecond is below what any timer resolves
	}
	return d
}

func (i instant) after(d time.Duration) instant {
	if i += instant(d); i == 0 {
		return 1
	}
	return i
}

// due reports whether a set instant is reached.
func (i instant) due(now instant) bool { return i != 0 && i <= now }

// time returns i as a time, zero for none.
func (i instant) time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return epoch.Add(time.Duration(i))
}

// earlier returns the first of the instants that are set, 0 if none is.
func earlier(a, b instant) instant {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// interval is T1 doubled n times, at most limit.
func interval(n uint8, limit time.Duration) time.Duration {
	if d := T1 << n; d < limit {
		return d
	}
	return limit
}
