package peer

import (
	"context"
	"fmt"
)

// start sends the INVITE of an outgoing call and runs it in the background.
func (c *Call) start(ctx context.Context) error {
	f, err := c.flow(ctx)
	if err != nil {
		c.end(nil)
		return fmt.Errorf("calling %s: %w", c.uri, err)
	}
	tx, err := c.sendInvite(f)
	if err != nil {
		c.end(nil)
		return fmt.Errorf("calling %s: %w", c.uri, err)
	}
	c.ua.spawn(func() { c.run(f, tx) })
	return nil
}

func (c *Call) flow(ctx context.Context) (*Flow, error) {
	c.mu.Lock()
	f := c.fixed
	up := c.final != nil
	c.mu.Unlock()
	if f != nil && f.Alive() && !up {
		return f, nil
	}
	return c.ua.path(ctx, c)
}

// sendInvite sends the first INVITE, or again with credentials.
func (c *Call) sendInvite(f *Flow) (*clientTx, error) {
	body := ""
	if !c.late {
		body = c.sdp()
	}
	c.mu.Lock()
	c.seq++
	q := form{
		method: "INVITE", uri: c.uri, from: c.local, to: c.remote, callID: c.callID, seq: c.seq,
		contact: c.ua.contact(f), routes: c.routes, extra: append([]string{"Allow: " + allow}, c.extra...), body: body,
	}
	if c.creds != nil && c.creds.chal != nil {
		q.extra = append(q.extra, c.creds.line("INVITE", c.uri, body))
	}
	c.mu.Unlock()
	if body != "" {
		q.extra = append(q.extra, "Content-Type: application/sdp")
	}
	if c.ua.reliable {
		q.extra = append(q.extra, "Supported: 100rel")
	}
	tx, err := c.ua.send(f, c.ua.write(f, q), c.repeated)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.tx, c.invite = tx, tx.sent
	c.mu.Unlock()
	return tx, nil
}

// run follows the responses to our INVITE until the final one that counts.
func (c *Call) run(f *Flow, tx *clientTx) {
	for challenges := 0; ; {
		m, err := tx.next(c.ua.ctx)
		if err != nil {
			c.fail(err)
			return
		}
		c.mu.Lock()
		c.responses = append(c.responses, m)
		creds, over := c.creds, c.over
		c.mu.Unlock()
		switch status := m.Status(); {
		case status < 200:
			c.takeSDP(m.Body())
			c.early(f, m)
		case status < 300:
			c.established(f, m)
			return
		case (status == 401 || status == 407) && creds != nil && challenges < 2 && !over && creds.take(m) == nil:
			challenges++
			if tx, err = c.sendInvite(f); err != nil {
				c.fail(err)
				return
			}
		default:
			c.mu.Lock()
			c.final = m
			c.mu.Unlock()
			c.end(nil)
			return
		}
		c.ring()
	}
}

func (c *Call) fail(err error) {
	c.mu.Lock()
	c.failure = err
	c.mu.Unlock()
	c.end(nil)
}

// early takes the early dialog of a provisional response, and acknowledges it
// where it asks for that (RFC 3262 §4).
func (c *Call) early(f *Flow, m *Message) {
	if tag(m.Get("to")) == "" {
		return
	}
	c.mu.Lock()
	c.remote = m.Get("to")
	c.routes = reversed(m.Elems("record-route"))
	if t := aor(m.Get("contact")); t != "" {
		c.target = t
	}
	rseq := m.Get("rseq")
	n, method := m.CSeq()
	known := c.acked18x[rseq]
	if rseq != "" && !known {
		if c.acked18x == nil {
			c.acked18x = map[string]bool{}
		}
		c.acked18x[rseq] = true
		c.seq++
	}
	seq := c.seq
	c.mu.Unlock()
	if rseq == "" || known {
		return
	}
	q := c.request("PRACK", seq, []string{fmt.Sprintf("RAck: %s %d %s", rseq, n, method)}, "")
	_, _ = c.ua.send(f, c.ua.write(f, q), nil)
}

// established takes the dialog of a 2xx over and sends the ACK.
func (c *Call) established(f *Flow, m *Message) {
	c.mu.Lock()
	c.remoteTag = tag(m.Get("to"))
	c.remote = m.Get("to")
	c.routes = reversed(m.Elems("record-route"))
	if t := aor(m.Get("contact")); t != "" {
		c.target = t
	}
	late := c.late
	c.mu.Unlock()
	_, offer := c.takeSDP(m.Body())
	answer := ""
	if late && offer {
		answer = c.sdp()
	}
	n, _ := m.CSeq()
	c.ack(f, n, answer)
	c.mu.Lock()
	c.final = m
	c.last = m.Flow
	c.mu.Unlock()
	c.ring()
}

// ack sends the ACK to a 2xx, a transaction of its own kind (RFC 3261 §13.2.2.4).
func (c *Call) ack(f *Flow, seq uint32, answer string) {
	var extra []string
	if answer != "" {
		extra = []string{"Content-Type: application/sdp"}
	}
	q := c.request("ACK", seq, extra, answer)
	q.contact = ""
	raw := c.ua.write(f, q)
	c.mu.Lock()
	if c.sentAcks == nil {
		c.sentAcks = map[uint32]string{}
	}
	c.sentAcks[seq] = raw
	c.mu.Unlock()
	_ = c.ua.sendRaw(f, raw)
}

// repeated acknowledges a repeated 2xx; one of another branch of a fork is
// acknowledged and ended. A repeat that overtakes the work on the first one
// (established) waits for the next repeat: whose it is, is not known yet.
func (c *Call) repeated(m *Message) {
	n, _ := m.CSeq()
	c.mu.Lock()
	same, raw := c.remoteTag == "" || tag(m.Get("to")) == c.remoteTag, c.sentAcks[n]
	c.mu.Unlock()
	if same {
		if raw != "" {
			_ = c.ua.sendRaw(m.Flow, raw)
		}
		return
	}
	q := form{
		uri: aor(m.Get("contact")), from: m.Get("from"), to: m.Get("to"), callID: m.CallID(),
		routes: reversed(m.Elems("record-route")), seq: n,
	}
	for _, method := range []string{"ACK", "BYE"} {
		q.method = method
		_ = c.ua.sendRaw(m.Flow, c.ua.write(m.Flow, q))
		q.seq++
	}
}

// request starts a request inside the dialog (RFC 3261 §12.2.1.1).
func (c *Call) request(method string, seq uint32, extra []string, body string) form {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := form{
		method: method, uri: c.target, from: c.local, to: c.remote, callID: c.callID, seq: seq,
		routes: c.routes, extra: extra, body: body,
	}
	if !loose(c.routes) {
		q.uri = aor(c.routes[0])
		q.routes = append(c.routes[1:len(c.routes):len(c.routes)], "<"+c.target+">")
	}
	return q
}

// Request sends a request inside the dialog and returns its final response; a
// challenge is answered. extra are header lines "Name: value".
func (c *Call) Request(ctx context.Context, method string, extra []string, body string) (*Message, error) {
	f, err := c.flow(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	creds, seq := c.creds, c.seq
	c.mu.Unlock()
	q := c.request(method, seq, extra, body)
	switch method {
	case "INVITE", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY":
		q.contact = c.ua.contact(f)
	}
	q.repeat = c.repeated
	m, err := c.ua.exchange(ctx, f, &q, creds)
	c.mu.Lock()
	c.seq = max(c.seq, q.seq)
	c.mu.Unlock()
	if err != nil {
		return m, fmt.Errorf("sending %s in the call: %w", method, err)
	}
	if m.Status() >= 300 {
		return m, &StatusError{m}
	}
	return m, nil
}

// Hangup ends the call: BYE once it is answered, CANCEL or a refusal before.
func (c *Call) Hangup(ctx context.Context) error {
	c.mu.Lock()
	over := c.over
	up := c.answered || (c.final != nil && c.final.Status() < 300)
	c.mu.Unlock()
	switch {
	case over:
		return errGone
	case !up && c.out:
		return c.Cancel(ctx)
	case !up:
		return c.Reject(603)
	}
	_, err := c.Request(ctx, "BYE", nil, "")
	c.end(nil)
	return err
}

// Cancel sends CANCEL for our INVITE once a provisional response came, and
// returns the error of its 200. The call ends with what its INVITE is answered.
func (c *Call) Cancel(ctx context.Context) error {
	err := c.wait(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.responses) > 0 && c.responses[len(c.responses)-1].Status() < 200 || c.over || c.final != nil
	})
	if err != nil {
		return wrap("waiting for a provisional response", err)
	}
	c.mu.Lock()
	over, tx := c.over || c.final != nil, c.tx
	c.mu.Unlock()
	if over {
		return errGone
	}
	cancel, err := c.ua.send(tx.flow, cancelText(tx.sent), nil)
	if err != nil {
		return err
	}
	m, err := cancel.finalResponse(ctx)
	if err == nil && m.Status() >= 300 {
		err = &StatusError{m}
	}
	return err
}

// Hold offers sendonly, Resume sendrecv again (RFC 3264 §8.4).
func (c *Call) Hold(ctx context.Context) error { return c.Reinvite(ctx, "sendonly") }

// Resume takes the call from hold.
func (c *Call) Resume(ctx context.Context) error { return c.Reinvite(ctx, "sendrecv") }

// Reinvite offers the direction anew in an INVITE and follows the answer.
func (c *Call) Reinvite(ctx context.Context, direction string) error {
	f, err := c.flow(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.direction = direction
	c.mu.Unlock()
	m, err := c.Request(ctx, "INVITE", []string{"Content-Type: application/sdp"}, c.sdp())
	if err != nil {
		return err
	}
	c.mu.Lock()
	if t := aor(m.Get("contact")); t != "" {
		c.target = t
	}
	c.mu.Unlock()
	c.takeSDP(m.Body())
	n, _ := m.CSeq()
	c.ack(f, n, "")
	return nil
}
