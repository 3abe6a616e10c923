package peer

import (
	"context"
	"errors"
	"time"
)

// A Direction is what became of one direction of a call's audio.
type Direction struct {
	Sent  int           // packets sent in the time looked at
	Equal int           // of those, how many arrived with an equal payload
	First time.Duration // from the start to the first that arrived; -1: none did
}

// Fraction returns Equal/Sent, 0 when nothing was sent.
func (d Direction) Fraction() float64 {
	if d.Sent == 0 {
		return 0
	}
	return float64(d.Equal) / float64(d.Sent)
}

// Audio is what both directions of a call did.
type Audio struct {
	Out Direction // from the end Audio was called on to the other
	In  Direction // from the other end
}

// OK says whether at least 95 % arrived equal, each way.
func (a Audio) OK() bool { return a.Out.Fraction() >= 0.95 && a.In.Fraction() >= 0.95 }

// Audio lets both ends of a call talk for d and says how many of the packets
// sent after the first 500 ms arrived with an equal payload. With a nil other
// the far end echoes: both directions then count our own packets that came
// back. It returns early with ctx's error.
func (c *Call) Audio(ctx context.Context, d time.Duration, other *Call) (Audio, error) {
	near := c.Media()
	if near == nil {
		return Audio{}, errors.New("peer: the call has no audio")
	}
	far := near
	if other != nil {
		far = other.Media()
	}
	if far == nil {
		return Audio{}, errors.New("peer: the other end has no audio")
	}
	start := time.Now()
	near.Talk(true)
	far.Talk(true)
	timer := time.NewTimer(settle + d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return Audio{}, context.Cause(ctx)
	}
	// On a busy machine a real clock's ticks get lost: make up for them.
	for _, m := range []*Media{near, far} {
		if err := m.wait(ctx, func() bool { return m.spoke(int((settle+d)/packetTime)-1, start) }); err != nil {
			return Audio{}, err
		}
	}
	near.Talk(false)
	far.Talk(false)
	end := time.Now()
	a := Audio{}
	late, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, m := range []*Media{near, far} {
		_ = m.wait(late, func() bool {
			a = Audio{Out: near.reached(far, start, end), In: far.reached(near, start, end)}
			return a.Out.Equal == a.Out.Sent && a.In.Equal == a.In.Sent
		})
	}
	return a, nil
}

// Heard returns what became of the packets that from sent in the window, as
// far as m heard them; the first 500 ms are not left out.
func (m *Media) Heard(from *Media, since, until time.Time) Direction {
	return from.reached(m, since.Add(-settle), until)
}

// WaitHeard waits until m has heard a packet that from sent after since, and
// returns when.
func (m *Media) WaitHeard(ctx context.Context, from *Media, since time.Time) (time.Time, error) {
	var at time.Time
	err := m.wait(ctx, func() bool {
		from.mu.Lock()
		sent, id := from.sent, from.id
		from.mu.Unlock()
		m.mu.Lock()
		defer m.mu.Unlock()
		for i := len(m.heard) - 1; i >= 0 && m.heard[i].at.After(since); i-- {
			a := m.heard[i]
			if a.id == id && int(a.n) < len(sent) && sent[a.n].After(since) {
				at = a.at
			}
		}
		return !at.IsZero()
	})
	return at, err
}

// reached counts the packets that m sent from start+settle to end and that
// reached far.
func (m *Media) reached(far *Media, start, end time.Time) Direction {
	m.mu.Lock()
	sent, id := m.sent, m.id
	m.mu.Unlock()
	far.mu.Lock()
	heard := far.heard
	far.mu.Unlock()
	d := Direction{First: -1}
	arrived := map[uint32]bool{}
	for _, a := range heard {
		if a.id != id || int(a.n) >= len(sent) || sent[a.n].Before(start) {
			continue
		}
		if d.First < 0 {
			d.First = a.at.Sub(start)
		}
		arrived[a.n] = true
	}
	for n, at := range sent {
		if at.Before(start.Add(settle)) || at.After(end) {
			continue
		}
		d.Sent++
		if arrived[uint32(n)] {
			d.Equal++
		}
	}
	return d
}
