package peer

import (
	"context"
	"fmt"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// A clientTx is a request sent and the responses that came to it.
type clientTx struct {
	bell
	ep     *endpoint
	flow   *Flow
	invite bool
	sent   *Message
	tx     *sip.ClientTx

	mu     sync.Mutex
	ours   map[*sip.Response]*Message
	queue  []*Message
	taken  int
	final  *Message
	ended  bool
	repeat func(*Message) // a further 2xx to an INVITE
}

// send starts a client transaction with these bytes over a flow. repeat, if not
// nil, is told of each further 2xx to an INVITE.
func (ep *endpoint) send(f *Flow, raw string, repeat func(*Message)) (*clientTx, error) {
	if f == nil || !f.Alive() {
		return nil, fmt.Errorf("peer: no connection to send %.40q on", raw)
	}
	parsed, err := ep.parse(f, raw)
	if err != nil {
		return nil, err
	}
	req, ok := parsed.(*sip.Request)
	if !ok {
		return nil, fmt.Errorf("peer: not a request: %.40q", raw)
	}
	m := newMessage(raw)
	c := &clientTx{ep: ep, flow: f, invite: req.IsInvite(), sent: m, repeat: repeat, ours: map[*sip.Response]*Message{}}
	w := &wire{flow: f, out: map[sip.Message]string{req: raw}, ack: c.ackText}
	key := m.branch() + " " + m.Method()
	c.tx = sip.NewClientTx(key, req, w, quiet)
	ep.emu.Lock()
	if ep.done {
		ep.emu.Unlock()
		return nil, errClosed
	}
	ep.clients[key] = c
	ep.wg.Go(c.drain)
	ep.emu.Unlock()
	c.tx.OnTerminate(func(string, error) {
		ep.emu.Lock()
		delete(ep.clients, key)
		ep.emu.Unlock()
	})
	if err := c.tx.Init(); err != nil {
		c.tx.Terminate()
		return nil, err
	}
	return c, nil
}

// response gives a response to its transaction. A repeated final to an INVITE
// is acknowledged here: sipgo waits four seconds for that, holding its lock.
func (ep *endpoint) response(m *Message, p *sip.Response) {
	ep.emu.Lock()
	c := ep.clients[m.branch()+" "+m.Method()]
	ep.emu.Unlock()
	if c == nil {
		return
	}
	c.mu.Lock()
	final, repeat := c.final, c.repeat
	if final == nil {
		c.ours[p] = m
		if m.Status() >= 200 {
			c.final = m
		}
	}
	c.mu.Unlock()
	switch {
	case final == nil:
		c.tx.Receive(p)
	case c.invite && final.Status() >= 300:
		_ = ep.sendRaw(c.flow, c.ackText())
	case c.invite && m.Status()/100 == 2 && repeat != nil:
		repeat(m)
	}
}

// drain takes what sipgo passes up, so that its machine never waits.
func (c *clientTx) drain() {
	for {
		select {
		case res := <-c.tx.Responses():
			c.mu.Lock()
			c.queue = append(c.queue, c.ours[res])
			delete(c.ours, res)
			c.mu.Unlock()
			c.ring()
			if !c.invite && res.StatusCode >= 200 {
				c.tx.Terminate() // a repeated final needs nothing more
			}
		case <-c.tx.Done():
			c.mu.Lock()
			c.ended = true
			c.mu.Unlock()
			c.ring()
			return
		}
	}
}

// ackText builds the ACK to a non-2xx final response (RFC 3261 §17.1.1.3).
func (c *clientTx) ackText() string {
	c.mu.Lock()
	final := c.final
	c.mu.Unlock()
	n, _ := c.sent.CSeq()
	t := text{start: "ACK " + c.sent.URI() + " SIP/2.0"}
	t.fields = append(t.fields, field{"Via", c.sent.Elems("via")[0]}, field{"Max-Forwards", "70"})
	for _, name := range []string{"Route", "From", "Call-ID"} {
		for _, v := range c.sent.Values(name) {
			t.fields = append(t.fields, field{name, v})
		}
	}
	t.fields = append(t.fields, field{"To", final.Get("to")}, field{"CSeq", fmt.Sprintf("%d ACK", n)},
		field{"Content-Length", "0"})
	return t.String()
}

// next returns the next response, or an error when there will be none.
func (c *clientTx) next(ctx context.Context) (*Message, error) {
	var m *Message
	ended := false
	err := c.wait(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.taken < len(c.queue) {
			m = c.queue[c.taken]
			c.taken++
			return true
		}
		ended = c.ended
		return ended
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for the answer to %s: %w", c.sent.Method(), err)
	}
	if ended {
		return nil, fmt.Errorf("%w to %s", errNoReply, c.sent.Method())
	}
	return m, nil
}

// finalResponse returns the final response.
func (c *clientTx) finalResponse(ctx context.Context) (*Message, error) {
	for {
		m, err := c.next(ctx)
		if err != nil || m.Status() >= 200 {
			return m, err
		}
	}
}

// provisional waits for a provisional response; false when a final one or the
// end of the transaction comes first.
func (c *clientTx) provisional(ctx context.Context) bool {
	came := false
	err := c.wait(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, m := range c.queue {
			came = came || m.Status() < 200
		}
		return came || c.final != nil || c.ended
	})
	return err == nil && came && c.over() == nil
}

// over returns the final response, nil before it.
func (c *clientTx) over() *Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.final
}

// cancelText writes the CANCEL of a request that was sent (RFC 3261 §9.1).
func cancelText(sent *Message) string {
	n, _ := sent.CSeq()
	t := text{start: "CANCEL " + sent.URI() + " SIP/2.0"}
	t.fields = append(t.fields, field{"Via", sent.Elems("via")[0]}, field{"Max-Forwards", "70"})
	for _, name := range []string{"Route", "From", "To", "Call-ID"} {
		for _, v := range sent.Values(name) {
			t.fields = append(t.fields, field{name, v})
		}
	}
	t.fields = append(t.fields, field{"CSeq", fmt.Sprintf("%d CANCEL", n)}, field{"Content-Length", "0"})
	return t.String()
}
