package transport

import "time"

// A readClock keeps the time limits of a stream's reader. It sets the read
// deadline only when it changes: whole messages on a registered connection
// cost nothing.
type readClock struct {
	s     *Stream
	phase phase
	since time.Time // when the phase began
	heard time.Time // when the last message ended
	armed time.Time // the deadline set
}

// A phase is what the reader is waiting for.
type phase uint8

const (
	between phase = iota
	inHeader
	inBody
)

// arm sets the read deadline for what comes next.
func (c *readClock) arm() error {
	at := c.deadline()
	if at.Equal(c.armed) {
		return nil
	}
	c.armed = at
	return c.s.conn.SetReadDeadline(at)
}

// deadline returns when to stop waiting; zero is never.
func (c *readClock) deadline() time.Time {
	p := between
	if f := &c.s.frame; f.begun {
		p = inHeader
		if f.head > 0 {
			p = inBody
		}
	}
	if p != c.phase {
		c.phase, c.since = p, time.Now()
	}
	switch {
	case p == inHeader:
		return c.since.Add(c.s.lim.HeaderTime)
	case p == inBody:
		return c.since.Add(c.s.lim.BodyTime)
	case c.s.kept.Load():
		return time.Time{}
	}
	return c.heard.Add(c.s.lim.IdleTime)
}

// expired returns the error for a deadline that has passed, or nil where
// KeepOpen has lifted it meanwhile.
func (c *readClock) expired() error {
	at := c.deadline()
	switch {
	case at.IsZero() || time.Now().Before(at):
		return nil
	case c.phase == between:
		return ErrIdle
	}
	return ErrStalled
}
