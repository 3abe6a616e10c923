package transaction

import (
	"math/rand/v2"
	"testing"
	"time"
)

const sequences = 3000

// step is a random time to the next event: mostly short, sometimes past every
// timer, sometimes exactly at the deadline or a nanosecond before it.
func step(r *rand.Rand, now, deadline time.Time) time.Time {
	switch n := r.IntN(8); {
	case deadline.IsZero() || n < 2:
		return now.Add(time.Duration(r.Int64N(int64(T1))))
	case n < 4:
		return now.Add(time.Duration(r.Int64N(int64(40 * time.Second))))
	case n < 5 && deadline.Add(-1).After(now):
		return deadline.Add(-1)
	}
	return deadline
}

// common holds what is true of both machines after every event.
type common struct {
	t     *testing.T
	seed  uint64
	log   []string
	done  bool
	after int // events since done
}

func (c *common) check(now time.Time, event string, v Verdict, before, after time.Time, fired bool) {
	c.t.Helper()
	c.log = append(c.log, now.Sub(t0).String()+" "+event+": "+v.String())
	fail := func(why string) { c.t.Fatalf("seed %d: %s\n%q", c.seed, why, c.log) }
	switch {
	case c.done && (v != 0 || !after.IsZero()):
		fail("a verdict or a deadline after done")
	case fired && v == 0 && !before.IsZero() && !now.Before(before):
		fail("nothing happened at the deadline")
	case fired && v != 0 && now.Before(before):
		fail("fired before the deadline")
	case fired && !after.IsZero() && !after.After(now):
		fail("the deadline after firing is not later")
	case !fired && !after.IsZero() && after.Before(now) && (before.IsZero() || !before.Before(now)):
		fail("an event set a deadline in the past")
	case v&Done != 0 && !after.IsZero():
		fail("a deadline after done")
	}
	c.done = c.done || v&Done != 0
	if c.done {
		c.after++
	}
}

// TestClientRandom: any sequence of events keeps the laws of a client
// transaction, and with no further event it ends by itself.
func TestClientRandom(t *testing.T) {
	statuses := []int{100, 100, 180, 183, 199, 200, 200, 302, 401, 408, 486, 487, 503, 603, 99, 700}
	for seed := range uint64(sequences) {
		r := rand.New(rand.NewPCG(seed, 1))
		kind, reliable := Kind(r.IntN(2)), r.IntN(2) == 0
		tx, now := NewClient(kind, reliable, t0), t0
		c := common{t: t, seed: seed}
		var resends, acks, finals, timerC int
		for c.after < 5 {
			before := tx.Deadline()
			now = step(r, now, before)
			var v Verdict
			event, fired := "", len(c.log) > 60 || r.IntN(2) == 0
			final := tx.Final()
			switch n := r.IntN(20); {
			case fired:
				if len(c.log) > 60 && !before.IsZero() && now.Before(before) {
					now = before // drain
				}
				event, v = "fire", tx.Fire(now)
			case n == 0:
				event, v = "fail", tx.Fail(now)
			case n == 1:
				tx.Cancelled(now)
				event = "cancelled"
			default:
				status := statuses[r.IntN(len(statuses))]
				event, v = "recv", tx.Receive(now, status)
				if v&Pass != 0 && (status < 100 || status > 699) {
					t.Fatalf("seed %d: passed status %d", seed, status)
				}
			}
			c.check(now, event, v, before, tx.Deadline(), fired)
			resends += bit(v, Resend)
			acks += bit(v, Ack)
			timerC += bit(v, TimerC)
			if final == 0 && tx.Final() != 0 {
				finals++
			}
			switch {
			case final != 0 && tx.Final() != final:
				t.Fatalf("seed %d: final changed: %q", seed, c.log)
			case v&Timeout != 0 && (tx.Final() != 0 || v&Done == 0):
				t.Fatalf("seed %d: timeout with a final, or not over: %q", seed, c.log)
			case v&Pass != 0 && final != 0 && (kind == NonInvite || final >= 300):
				t.Fatalf("seed %d: a final passed twice: %q", seed, c.log)
			case v&Ack != 0 && (kind == NonInvite || tx.Final() < 300):
				t.Fatalf("seed %d: ACK without a non-2xx final: %q", seed, c.log)
			case len(c.log) > 200:
				t.Fatalf("seed %d: does not end: %q", seed, c.log)
			}
		}
		if reliable && (resends > 0 || acks > 1) || resends > 10 || timerC > 1 || finals > 1 {
			t.Fatalf("seed %d: %d resends, %d ACKs, %d timer C, %d finals: %q", seed, resends, acks, timerC, finals, c.log)
		}
	}
}

// TestServerRandom: the same of a server transaction; an INVITE is answered in
// the end, for only its user can end it.
func TestServerRandom(t *testing.T) {
	statuses := []int{100, 180, 183, 200, 200, 404, 408, 486, 99, 700}
	for seed := range uint64(sequences) {
		r := rand.New(rand.NewPCG(seed, 2))
		kind, reliable := Kind(r.IntN(2)), r.IntN(2) == 0
		tx, now := NewServer(kind, reliable, t0), t0
		c := common{t: t, seed: seed}
		var tries, finals, sentBefore int
		for c.after < 5 {
			before := tx.Deadline()
			now = step(r, now, before)
			var v Verdict
			event, fired := "", r.IntN(2) == 0
			final := tx.Final()
			switch n := r.IntN(4); {
			case len(c.log) > 60 && before.IsZero() && !c.done:
				event, v, fired = "send", tx.Send(now, 500), false
			case fired || len(c.log) > 60:
				if len(c.log) > 60 && !before.IsZero() && now.Before(before) {
					now = before // drain
				}
				event, v, fired = "fire", tx.Fire(now), true
			case n < 2:
				event, v = "receive", tx.Receive(now, n == 0)
				if v&Resend != 0 && sentBefore == 0 {
					t.Fatalf("seed %d: resend before anything was sent: %q", seed, c.log)
				}
			default:
				status := statuses[r.IntN(len(statuses))]
				event, v = "send", tx.Send(now, status)
				forbidden := status < 100 || status > 699 ||
					kind == NonInvite && (status == 408 || status > 100 && status < 200) ||
					kind == NonInvite && !reliable && status == 100 && now.Before(t0.Add(TryOtherAfter)) ||
					final >= 300 || final >= 200 && (kind == NonInvite || status < 200 || status >= 300)
				if v&Pass != 0 && forbidden {
					t.Fatalf("seed %d: sent %d: %q", seed, status, c.log)
				}
			}
			c.check(now, event, v, before, tx.Deadline(), fired)
			tries += bit(v, Try)
			if final == 0 && tx.Final() != 0 {
				finals++
			}
			if v&(Pass|Try) != 0 {
				sentBefore++
			}
			switch {
			case final != 0 && tx.Final() != final:
				t.Fatalf("seed %d: final changed: %q", seed, c.log)
			case v&Resend != 0 && kind == Invite && final >= 200 && final < 300:
				t.Fatalf("seed %d: a 2xx sent again: %q", seed, c.log)
			case v&Timeout != 0 && (kind == NonInvite || tx.Final() < 300):
				t.Fatalf("seed %d: timer H without a non-2xx: %q", seed, c.log)
			case len(c.log) > 200:
				t.Fatalf("seed %d: does not end: %q", seed, c.log)
			}
		}
		if tries > 1 || finals > 1 {
			t.Fatalf("seed %d: %d tries, %d finals: %q", seed, tries, finals, c.log)
		}
	}
}

func bit(v, of Verdict) int {
	if v&of != 0 {
		return 1
	}
	return 0
}
