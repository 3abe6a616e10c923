package peer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Ring sends 180 to an incoming call.
func (c *Call) Ring() error { return c.Progress(180, false) }

// Progress sends a provisional response to an incoming call, with SDP for
// early audio when early is set. Where both sides do 100rel it is repeated
// until its PRACK comes (RFC 3262 §3).
func (c *Call) Progress(status int, early bool) error {
	extra, body := c.answerLines(), ""
	if early {
		body = c.sdp()
		extra = append(extra, "Content-Type: application/sdp")
	}
	if !c.ua.reliable || !strings.Contains(strings.Join(c.req.Values("supported"), ","), "100rel") {
		return c.req.Respond(status, "", extra, body)
	}
	c.mu.Lock()
	c.rseq++
	n := c.rseq
	c.mu.Unlock()
	extra = append(extra, "Require: 100rel", fmt.Sprintf("RSeq: %d", n))
	raw := c.req.answer(status, "", extra, body)
	if err := c.req.respondRaw(raw); err != nil {
		return err
	}
	c.again(c.req, raw, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.pracked >= n || c.answered || c.over
	})
	return nil
}

// answerLines starts the header lines of an answer to the INVITE.
func (c *Call) answerLines() []string {
	var lines []string
	if c.ua.record != nil {
		for _, v := range c.ua.record() {
			lines = append(lines, "Record-Route: "+v)
		}
	}
	return append(lines, "Contact: "+c.ua.contact(c.req.Flow))
}

// acknowledgedEarly takes a PRACK in.
func (c *Call) acknowledgedEarly(r *Request) {
	f := strings.Fields(r.Get("rack"))
	if len(f) == 3 {
		n, _ := strconv.Atoi(f[0])
		c.mu.Lock()
		c.pracked = max(c.pracked, n)
		c.mu.Unlock()
	}
	c.takeSDP(r.Body())
	_ = r.Respond(200, "", nil, "")
	c.ring()
}

// Reject answers an incoming call with a final error.
func (c *Call) Reject(status int) error {
	err := c.req.Respond(status, "", nil, "")
	c.end(nil)
	return err
}

// Answer accepts an incoming call with 200 and repeats it until the ACK comes
// (RFC 3261 §13.3.1.4).
func (c *Call) Answer() error {
	body := c.sdp()
	extra := append(c.answerLines(), "Allow: "+allow)
	if body != "" {
		extra = append(extra, "Content-Type: application/sdp")
	}
	c.mu.Lock()
	c.answered = true
	c.mu.Unlock()
	return c.accept(c.req, extra, body)
}

// accept sends a 2xx to an INVITE until its ACK comes.
func (c *Call) accept(r *Request, extra []string, body string) error {
	raw := r.answer(200, "", extra, body)
	if err := r.respondRaw(raw); err != nil {
		return err
	}
	seq, _ := r.CSeq()
	c.again(r, raw, func() bool { return c.hasAck(seq) })
	return nil
}

// again repeats a response over UDP and TCP alike until enough says that it is.
func (c *Call) again(r *Request, raw string, enough func() bool) {
	c.ua.spawn(func() {
		for wait := t1; wait < 64*t1; wait *= 2 {
			ctx, cancel := context.WithTimeout(c.ua.ctx, min(wait, 8*t1))
			err := c.wait(ctx, enough)
			cancel()
			if err == nil || c.ua.ctx.Err() != nil {
				return
			}
			_ = r.respondRaw(raw)
		}
	})
}

// t1 is RFC 3261's round-trip estimate.
const t1 = 500 * time.Millisecond

// allow lists what the peers answer.
const allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, UPDATE, REFER, NOTIFY, SUBSCRIBE, PRACK"

// acknowledged takes an ACK in.
func (c *Call) acknowledged(m *Message) {
	seq, _ := m.CSeq()
	c.mu.Lock()
	c.acked = m
	if c.acks == nil {
		c.acks = map[uint32]bool{}
	}
	c.acks[seq] = true
	c.mu.Unlock()
	c.takeSDP(m.Body())
	c.ring()
}

func (c *Call) hasAck(seq uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acks[seq]
}

// reinvited answers an INVITE inside the dialog with the mirrored direction.
func (c *Call) reinvited(r *Request) {
	extra, body := c.reply(r)
	_ = c.accept(r, append(extra, "Allow: "+allow), body)
}

// updated answers an UPDATE (RFC 3311).
func (c *Call) updated(r *Request) {
	extra, body := c.reply(r)
	_ = r.Respond(200, "", extra, body)
}

// reply takes a target refresh and its offer in, and makes the answer.
func (c *Call) reply(r *Request) (extra []string, body string) {
	c.mu.Lock()
	if t := aor(r.Get("contact")); t != "" {
		c.target = t
	}
	c.mu.Unlock()
	extra = []string{"Contact: " + c.ua.contact(r.Flow)}
	s, ok := c.takeSDP(r.Body())
	if !ok && r.Method() != "INVITE" {
		return extra, ""
	}
	c.mu.Lock()
	c.direction = "sendrecv"
	if ok {
		c.direction = mirror(s.direction)
	}
	c.mu.Unlock()
	if body = c.sdp(); body != "" {
		extra = append(extra, "Content-Type: application/sdp")
	}
	return extra, body
}
