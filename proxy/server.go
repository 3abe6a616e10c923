package proxy

import (
	"time"

	"pinhole/auth"
	"pinhole/internal/message"
	"pinhole/internal/metrics"
	"pinhole/internal/transaction"
	"pinhole/rewrite"
)

// A server is one server transaction: a request that came to us, with the
// branches that it was forwarded on.
type server struct {
	key   transaction.Key
	tx    transaction.Server
	from  endpoint
	req   *message.Message
	vias  string // the request's Via lines as they go into its responses
	tag   string // To tag of our own answers
	last  []byte // the last response sent
	timer *timer

	up       *upstream // LAN: where it goes; WAN: where it came from
	fork     transaction.Fork
	branches []*client
	call     *call // INVITE of a phone, or any request inside a call
	reg      *registration
	watch    *auth.Watch // REGISTER and INVITE of a phone: how its provider answers
	attempt  auth.Attempt
	pending  []func() // media changes that take effect with a 2xx
	canceled bool
	again    bool // it was kept for the next flow once: a BYE lost with its flow, or the answer to a request
}

// serve starts a server transaction; nil where the request was a retransmission
// and is dealt with.
func (c *Core) serve(now time.Time, at endpoint, m *message.Message) *server {
	key, ok := transaction.KeyOf(m, at.addr)
	if !ok {
		return nil
	}
	if s := c.servers[key]; s != nil {
		c.serverVerdict(now, s, s.tx.Receive(now, false), nil)
		return nil
	}
	kind := transaction.NonInvite
	if m.Method == "INVITE" {
		kind = transaction.Invite
	}
	s := &server{
		key: key, from: at, req: m, vias: rewrite.ReceivedVias(m, at.addr), tag: c.tag(),
		tx: transaction.NewServer(kind, at.path.Proto.Reliable(), now), fork: transaction.NewFork(kind),
	}
	s.timer = newTimer(func(now time.Time) { c.serverVerdict(now, s, s.tx.Fire(now), nil) })
	c.servers[key] = s
	c.metrics.Add(metrics.ServersBegun)
	c.arm(s.timer, s.tx.Deadline())
	return s
}

// serverVerdict does what a server transaction asks for; ack is the ACK that
// made it ask, if one did.
func (c *Core) serverVerdict(now time.Time, s *server, v transaction.Verdict, ack *message.Message) {
	if v&transaction.Try != 0 {
		s.last = s.req.AppendResponseVia(nil, s.vias, 100, "Trying", "")
		c.transmit(s.from, s.last)
	}
	if v&transaction.Resend != 0 && s.last != nil {
		c.transmit(s.from, s.last)
	}
	if v&transaction.Pass != 0 && ack != nil {
		c.forwardACK(now, s.from, ack)
	}
	if v&transaction.Done != 0 {
		c.arm(s.timer, time.Time{})
		if c.servers[s.key] == s {
			delete(c.servers, s.key)
			c.metrics.Add(metrics.ServersEnded)
		}
		return
	}
	c.arm(s.timer, s.tx.Deadline())
}

// reply sends a response on a server transaction if it may still go.
func (c *Core) reply(now time.Time, s *server, status int, raw []byte) {
	v := s.tx.Send(now, status)
	if v&transaction.Pass != 0 {
		s.last = raw
		c.transmit(s.from, raw)
	}
	c.serverVerdict(now, s, v&^transaction.Pass, nil)
}

// answer sends a response of our own.
func (c *Core) answer(now time.Time, s *server, status int, reason string, headers ...string) {
	c.reply(now, s, status, s.req.AppendResponseVia(nil, s.vias, status, reason, s.tag, headers...))
}

// branchAnswer takes a response of one branch: what is to be forwarded is, and
// the best of the finals when all are in (RFC 3261 §16.7).
func (c *Core) branchAnswer(now time.Time, cl *client, m *message.Message) {
	s := cl.server
	if s.reg != nil {
		c.registerAnswer(now, s, m)
		return
	}
	if m.Status >= 200 && cl.best == nil {
		cl.best = m
	}
	c.decide(now, s, s.fork.Receive(cl.index, m.Status), cl, m)
}

// branchFailed takes a branch that got no final response.
func (c *Core) branchFailed(now time.Time, cl *client, status int) {
	s := cl.server
	if s.reg != nil {
		c.registerFailed(now, s, status)
		return
	}
	if cl.method != "INVITE" && status == statusTimeout {
		if cl.method == "BYE" {
			c.endCall(s.call)
		}
		return // RFC 4320 §4.2: never a 408 to a non-INVITE
	}
	if cl.method == "BYE" && s.from.path.Side == LAN && !s.again {
		s.again = true
		s.fork, s.branches = transaction.NewFork(transaction.NonInvite), nil
		s.up.whenUp(now, func(now time.Time) { c.forwardUp(now, s) })
		return
	}
	c.decide(now, s, s.fork.Fail(cl.index, status), cl, nil)
}

// decide carries out what the fork decided.
func (c *Core) decide(now time.Time, s *server, d transaction.Decision, cl *client, m *message.Message) {
	if d.CancelOthers {
		for _, other := range s.branches {
			if other != cl {
				c.cancelBranch(now, other)
			}
		}
	}
	final := m == nil || m.Status >= 200
	if final && !success(m) {
		c.endLeg(now, cl)
	}
	if !d.Forward {
		return
	}
	chosen := s.branches[d.Branch]
	answer := chosen.best
	if chosen == cl && m != nil {
		answer = m
	}
	if answer == nil {
		c.noAnswer(now, s, s.fork.Status(d.Branch))
		return
	}
	c.forwardAnswer(now, s, chosen, answer, d.Merge)
}

func success(m *message.Message) bool { return m != nil && m.Status >= 200 && m.Status < 300 }

// cancel answers a CANCEL and cancels what its INVITE started (RFC 3261 §9.2,
// §16.10).
func (c *Core) cancel(now time.Time, at endpoint, m *message.Message) {
	key, ok := transaction.CancelKeyOf(m, at.addr)
	invite := c.servers[key]
	s := c.serve(now, at, m)
	if s == nil {
		return
	}
	if !ok || invite == nil {
		c.answer(now, s, 481, "Call/Transaction Does Not Exist")
		return
	}
	s.tag = invite.tag
	c.answer(now, s, 200, "OK")
	if invite.tx.Final() != 0 {
		return
	}
	invite.canceled = true
	if len(invite.branches) == 0 {
		c.answer(now, invite, 487, "Request Terminated")
		return
	}
	for _, cl := range invite.branches {
		c.cancelBranch(now, cl)
	}
}

// ack takes an ACK: of a non-2xx final it ends here (RFC 3261 §17.2.1), of a 2xx
// it goes on, without a transaction (§16.11).
func (c *Core) ack(now time.Time, at endpoint, m *message.Message) {
	if key, ok := transaction.KeyOf(m, at.addr); ok {
		if s := c.servers[key]; s != nil {
			c.serverVerdict(now, s, s.tx.Receive(now, true), m)
			return
		}
	}
	c.forwardACK(now, at, m)
}
