package transaction

import "time"

// Client is a client transaction, INVITE (RFC 3261 §17.1.1, RFC 6026 §7.2) or
// not (§17.1.2), with the timer C of a proxied INVITE (§16.6 step 11). The zero
// value is not usable.
type Client struct {
	resend instant // timers A, E
	end    instant // timers B, F, D, K, M; after CANCEL its 64*T1
	c      instant // timer C
	final  int16
	kind   Kind
	state  state
	sent   uint8 // retransmissions so far, while the interval still grows

	reliable, provisional, cancelled bool
}

// NewClient starts the transaction of a request that was just sent; reliable
// says that its transport is a stream, where nothing is retransmitted and the
// waits for stray messages are nil.
func NewClient(k Kind, reliable bool, now time.Time) Client {
	t := at(now)
	c := Client{kind: k, reliable: reliable, end: t.after(Timeout64)} // B, F
	if !reliable {
		c.resend = t.after(T1) // A, E
	}
	if k == Invite {
		c.c = t.after(TimerCAfter)
	}
	return c
}

// Receive takes the status of a response that matched the transaction. Each
// 2xx to an INVITE passes until timer M; other finals pass once, and their
// repeats to an INVITE are acknowledged at once.
func (c *Client) Receive(now time.Time, status int) Verdict {
	switch {
	case status < 100 || status > 699:
		return 0
	case c.state <= proceeding && status < 200:
		return c.receiveProvisional(at(now), status)
	case c.state <= proceeding:
		return c.receiveFinal(at(now), status)
	case c.state == accepted && status >= 200 && status < 300:
		return Pass
	case c.state == completed && c.kind == Invite && status >= 300:
		return Ack
	}
	return 0
}

func (c *Client) receiveProvisional(now instant, status int) Verdict {
	c.provisional = true
	if c.kind == NonInvite {
		c.state = proceeding // E goes on, at T2 from its next firing
		return Pass
	}
	if c.state == trying {
		c.state, c.resend, c.end = proceeding, 0, 0 // no A, no B
	}
	if status > 100 {
		c.c = now.after(TimerCAfter) // RFC 3261 §16.7 step 2: not by 100
	}
	return Pass
}

func (c *Client) receiveFinal(now instant, status int) Verdict {
	c.final, c.resend, c.c = int16(status), 0, 0
	switch {
	case c.kind == Invite && status < 300:
		c.state, c.end = accepted, now.after(Timeout64) // M
		return Pass
	case c.kind == Invite:
		return Pass | Ack | c.complete(now, TimerDAfter)
	default:
		return Pass | c.complete(now, T4) // K
	}
}

// complete waits for repeats of the final response, which only an unreliable
// transport can bring.
func (c *Client) complete(now instant, wait time.Duration) Verdict {
	if c.reliable {
		return c.terminate()
	}
	c.state, c.end = completed, now.after(wait)
	return 0
}

func (c *Client) terminate() Verdict {
	c.state, c.resend, c.end, c.c = terminated, 0, 0, 0
	return Done
}

// Fire does what is due at now; before Deadline it does nothing. Called late it
// acts once on what is due: a missed retransmission is sent once, and not at
// all when the transaction has run out meanwhile.
func (c *Client) Fire(now time.Time) Verdict {
	t := at(now)
	switch {
	case c.end.due(t):
		if c.state <= proceeding {
			return Timeout | c.terminate() // B, F, or no answer to our CANCEL
		}
		return c.terminate() // D, K, M
	case c.c.due(t):
		c.cancel(t)
		return TimerC
	case c.resend.due(t):
		c.resend = t.after(c.nextInterval())
		return Resend
	}
	return 0
}

// nextInterval is the wait after a retransmission: A doubles without a bound
// (§17.1.1.2), E doubles up to T2 and is T2 once a provisional came (§17.1.2.2).
func (c *Client) nextInterval() time.Duration {
	if c.kind == NonInvite && c.state == proceeding {
		return T2
	}
	limit := T2
	if c.kind == Invite {
		limit = Timeout64
	}
	d := interval(c.sent+1, limit)
	if d < limit {
		c.sent++
	}
	return d
}

// Deadline is when to call Fire next, zero for never.
func (c *Client) Deadline() time.Time {
	return earlier(c.resend, earlier(c.end, c.c)).time()
}

// Fail takes a transport error: the request or the ACK could not be sent, or
// the connection is gone. Done with Final 0 means that the owner acts as on 503
// or tries the next target. After a 2xx the transaction stays for the 2xx of
// other branches, which may come another way (RFC 6026 §7.2).
func (c *Client) Fail(time.Time) Verdict {
	if c.state == accepted || c.state == terminated {
		return 0
	}
	return c.terminate()
}

// Cancelled tells that a CANCEL was sent for this INVITE: it ends with Timeout
// when no final response comes within 64*T1, whatever provisional ones come
// (RFC 3261 §9.1). It does nothing before a provisional response, when a CANCEL
// must not be sent, after a final one, and when called again.
func (c *Client) Cancelled(now time.Time) {
	if c.kind == Invite && c.state == proceeding && !c.cancelled {
		c.cancel(at(now))
	}
}

func (c *Client) cancel(now instant) {
	c.cancelled, c.c, c.end = true, 0, now.after(Timeout64)
}

// Provisional reports whether a 1xx came, 100 included: only then may a CANCEL
// be sent (RFC 3261 §9.1).
func (c *Client) Provisional() bool { return c.provisional }

// Final is the status of the first final response, 0 before.
func (c *Client) Final() int { return int(c.final) }
