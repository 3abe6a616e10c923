package proxy

import (
	"strconv"
	"time"

	"pinhole/internal/message"
	"pinhole/internal/metrics"
	"pinhole/internal/transaction"
	"pinhole/rewrite"
)

// A client is one client transaction: a branch of a forwarded request, or a
// request of our own.
type client struct {
	branch transaction.Branch
	tx     transaction.Client
	to     endpoint
	raw    []byte // the request as sent
	via    string // our Via in it, upstream
	method string
	timer  *timer

	server *server // nil for a request of our own
	index  int     // branch number in the server's fork
	leg    *call   // INVITE to a phone: this branch's media
	target string  // INVITE to a phone: its Contact URI
	token  string  // and its binding's token
	best   *message.Message

	okay    []byte // the 2xx to an INVITE as it was forwarded last
	okayTag string // and its To tag

	done func(now time.Time, m *message.Message) // our own request: its final answer, nil without one

	cancelWanted bool // CANCEL goes as soon as a provisional has come
	cancelTx     transaction.Client
	cancelRaw    []byte
	cancelTimer  *timer
}

// newClient reserves a slot, so that the branch is known before the request is
// written.
func (c *Core) newClient(to endpoint, method string) *client {
	slot := uint32(len(c.clients))
	if n := len(c.free); n > 0 {
		slot = c.free[n-1]
		c.free = c.free[:n-1]
	} else {
		c.clients = append(c.clients, nil)
	}
	cl := &client{branch: transaction.NewBranch(slot, c.rand()), to: to, method: method}
	c.clients[slot] = cl
	c.metrics.Add(metrics.ClientsBegun)
	return cl
}

// start sends the request and its transaction begins.
func (c *Core) start(now time.Time, cl *client, raw []byte) {
	cl.raw = raw
	kind := transaction.NonInvite
	if cl.method == "INVITE" {
		kind = transaction.Invite
	}
	cl.tx = transaction.NewClient(kind, cl.to.path.Proto.Reliable(), now)
	cl.timer = newTimer(func(now time.Time) { c.clientVerdict(now, cl, cl.tx.Fire(now), nil) })
	c.arm(cl.timer, cl.tx.Deadline())
	c.transmit(cl.to, raw)
}

// drop frees a client's slot; a late response finds another branch there, or
// none.
func (c *Core) drop(cl *client) {
	if cl.timer != nil {
		c.arm(cl.timer, time.Time{})
	}
	if cl.cancelTimer != nil {
		c.arm(cl.cancelTimer, time.Time{})
	}
	if c.clients[cl.branch.Slot] == cl {
		c.clients[cl.branch.Slot] = nil
		c.free = append(c.free, cl.branch.Slot)
		c.metrics.Add(metrics.ClientsEnded)
	}
}

// response matches a response with its client transaction by our branch alone
// (an ALG may have changed sent-by); what matches none is dropped, never
// forwarded (RFC 6026 §7.3).
func (c *Core) response(now time.Time, at endpoint, m *message.Message) {
	via, ok := rewrite.TopVia(m)
	if !ok {
		return
	}
	value, _ := message.Param(via.Params, "branch")
	branch, ok := transaction.ParseBranch(value)
	if !ok || int(branch.Slot) >= len(c.clients) {
		return
	}
	cl := c.clients[branch.Slot]
	_, method, ok := m.CSeq()
	if cl == nil || cl.branch != branch || !ok || at.path.ID != cl.to.path.ID {
		return
	}
	c.metrics.Add(metrics.ResponsesIn)
	if at.path.Side == WAN {
		c.heard(now, at, m, cl)
	}
	switch {
	case method == "CANCEL" && cl.cancelRaw != nil:
		c.cancelVerdict(now, cl, cl.cancelTx.Receive(now, m.Status))
	case method == cl.method:
		c.clientVerdict(now, cl, cl.tx.Receive(now, m.Status), m)
	}
}

// clientVerdict does what a client transaction asks for. m is the response that
// made it ask, nil for a timer.
func (c *Core) clientVerdict(now time.Time, cl *client, v transaction.Verdict, m *message.Message) {
	if v&transaction.Resend != 0 {
		c.transmit(cl.to, cl.raw)
	}
	if v&transaction.Ack != 0 && m != nil {
		c.transmit(cl.to, ackFor(cl.raw, m))
	}
	if v&transaction.Pass != 0 && m != nil {
		c.passed(now, cl, m)
	}
	if v&transaction.TimerC != 0 {
		c.timerC(now, cl)
	}
	if v&transaction.Timeout != 0 {
		c.unanswered(now, cl, statusTimeout)
	}
	if v&transaction.Done != 0 {
		c.drop(cl)
		c.orphaned(now, cl)
		return
	}
	c.arm(cl.timer, cl.tx.Deadline())
}

// orphaned ends an INVITE whose phone answered while there was no flow to pass
// that on, and has stopped repeating it.
func (c *Core) orphaned(now time.Time, cl *client) {
	s := cl.server
	if s != nil && s.reg == nil && s.req.Method == "INVITE" && s.tx.Final() == 0 && cl.tx.Final()/100 == 2 {
		c.endCall(cl.leg)
		c.noAnswer(now, s, statusUnavailable)
	}
}

// passed hands a response to the user of the transaction.
func (c *Core) passed(now time.Time, cl *client, m *message.Message) {
	if cl.cancelWanted && cl.cancelRaw == nil && m.Status < 200 {
		c.sendCancel(now, cl)
	}
	if cl.server != nil {
		c.branchAnswer(now, cl, m)
		return
	}
	if m.Status >= 200 {
		c.finish(now, cl, m)
	}
}

// finish gives a request of our own its final answer, once.
func (c *Core) finish(now time.Time, cl *client, m *message.Message) {
	if done := cl.done; done != nil {
		cl.done = nil
		done(now, m)
	}
}

// unanswered acts on a branch without a final response: timer B or F, or its
// path is gone.
func (c *Core) unanswered(now time.Time, cl *client, status int) {
	if cl.server == nil {
		c.finish(now, cl, nil)
		return
	}
	c.branchFailed(now, cl, status)
}

// timerC ends an INVITE that rings for too long (RFC 3261 §16.8).
func (c *Core) timerC(now time.Time, cl *client) {
	if cl.tx.Provisional() {
		c.cancelBranch(now, cl)
		return
	}
	c.unanswered(now, cl, statusTimeout)
}

// failClients ends every client transaction on a path that is gone.
func (c *Core) failClients(now time.Time, p *Path) {
	for _, cl := range c.clients {
		if cl == nil || cl.to.path != p || cl.raw == nil {
			continue
		}
		if cl.tx.Final() == 0 {
			c.unanswered(now, cl, statusUnavailable)
		}
		c.clientVerdict(now, cl, cl.tx.Fail(now)&^transaction.Timeout, nil)
	}
}

// cancelBranch cancels an INVITE branch: at once where a provisional came, else
// with the first one (RFC 3261 §9.1).
func (c *Core) cancelBranch(now time.Time, cl *client) {
	if cl.method != "INVITE" || cl.tx.Final() != 0 || cl.cancelWanted {
		return
	}
	cl.cancelWanted = true
	if cl.tx.Provisional() {
		c.sendCancel(now, cl)
	}
}

func (c *Core) sendCancel(now time.Time, cl *client) {
	cl.cancelRaw = cancelFor(cl.raw)
	cl.cancelTx = transaction.NewClient(transaction.NonInvite, cl.to.path.Proto.Reliable(), now)
	cl.cancelTimer = newTimer(func(now time.Time) { c.cancelVerdict(now, cl, cl.cancelTx.Fire(now)) })
	c.arm(cl.cancelTimer, cl.cancelTx.Deadline())
	c.transmit(cl.to, cl.cancelRaw)
	cl.tx.Cancelled(now)
	c.arm(cl.timer, cl.tx.Deadline())
}

// cancelVerdict runs the CANCEL's own transaction; its answer says nothing.
func (c *Core) cancelVerdict(_ time.Time, cl *client, v transaction.Verdict) {
	if v&transaction.Resend != 0 {
		c.transmit(cl.to, cl.cancelRaw)
	}
	if v&transaction.Done != 0 {
		c.arm(cl.cancelTimer, time.Time{})
		return
	}
	c.arm(cl.cancelTimer, cl.cancelTx.Deadline())
}

// ackFor makes the ACK of a non-2xx final to an INVITE we sent: its Via, Route,
// From, Call-ID and CSeq number, the response's To (RFC 3261 §17.1.1.3).
func ackFor(invite []byte, response *message.Message) []byte {
	to, ok := response.First(message.To)
	if !ok {
		return nil
	}
	return hopByHop(invite, "ACK", response.Value(to))
}

// cancelFor makes the CANCEL of an INVITE we sent (RFC 3261 §9.1).
func cancelFor(invite []byte) []byte { return hopByHop(invite, "CANCEL", "") }

// hopByHop makes a request of ours that belongs to an INVITE of ours; to
// replaces the To value where it is not empty.
func hopByHop(invite []byte, method, to string) []byte {
	m, err := message.Parse(string(invite), message.Datagram)
	if err != nil {
		return nil
	}
	b := append(make([]byte, 0, 512), method...)
	b = append(b, ' ')
	b = append(b, m.URI...)
	b = append(b, " SIP/2.0\r\n"...)
	keep := []message.Header{message.Via, message.Route, message.From, message.To, message.CallID}
	if method == "ACK" {
		keep = append(keep, message.Authorization, message.ProxyAuthorization)
	}
	for _, h := range keep {
		for l := range m.Each(h) {
			if h == message.To && to != "" {
				b = append(b, "To: "...)
				b = append(b, to...)
				b = append(b, "\r\n"...)
				continue
			}
			b = append(b, m.Raw[l.Start:l.End]...)
		}
	}
	n, _, _ := m.CSeq()
	b = append(b, "CSeq: "...)
	b = strconv.AppendUint(b, uint64(n), 10)
	b = append(b, ' ')
	b = append(b, method...)
	return append(b, "\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"...)
}

// Busy reports whether a forwarded request waits for its final response.
func (c *Core) Busy() bool {
	for _, cl := range c.clients {
		if cl != nil && cl.server != nil && cl.raw != nil && cl.tx.Final() == 0 {
			return true
		}
	}
	return false
}
