package proxy

import (
	"time"

	"pinhole/internal/message"
	"pinhole/rewrite"
)

// Statuses that stand for a branch without a final response.
const (
	statusTimeout     = 408 // timer B, C or F
	statusUnavailable = 503 // its path is gone
)

// forwardAnswer sends the response of a branch to where the request came from.
// merge asks for the challenges of all branches in it.
func (c *Core) forwardAnswer(now time.Time, s *server, cl *client, m *message.Message, merge bool) {
	if m.Status == 100 {
		return
	}
	if m.Status == 503 {
		c.noAnswer(now, s, m.Status)
		return
	}
	if success(m) && cl.okay != nil && cl.okayTag == rewrite.Tag(m, message.To) {
		c.reply(now, s, m.Status, cl.okay)
		return
	}
	if s.from.path.Side == LAN {
		c.toPhone(now, s, cl, m)
		return
	}
	if !s.up.reachable() {
		c.answerLater(now, s, cl, m, merge)
		return
	}
	c.answerToProvider(now, s, cl, m)
	c.editSDP(m, upward(cl.leg, s.up, cl.to), apply)
	if merge {
		c.mergeChallenges(s, cl, m)
	}
	c.dialogFromPhone(now, s, cl, m)
	c.settle(s, m)
	c.send(now, s, cl, m)
}

// answerLater keeps a phone's response for the next flow, if that comes soon.
func (c *Core) answerLater(now time.Time, s *server, cl *client, m *message.Message, merge bool) {
	switch {
	case m.Status < 200:
	case !s.again:
		s.again = true
		s.up.whenUp(now, func(now time.Time) { c.forwardAnswer(now, s, cl, m, merge) })
	case !success(m): // a 2xx is repeated
		c.noAnswer(now, s, m.Status)
	}
}

// send replies with the edited response; a 2xx to an INVITE is kept for its
// repeats, which are the same bytes whatever became of the call.
func (c *Core) send(now time.Time, s *server, cl *client, m *message.Message) {
	raw := c.edits.Append(nil, m)
	if s.req.Method == "INVITE" && success(m) {
		cl.okay, cl.okayTag = raw, rewrite.Tag(m, message.To)
	}
	c.reply(now, s, m.Status, raw)
}

// toPhone sends a provider's response to the phone.
func (c *Core) toPhone(now time.Time, s *server, cl *client, m *message.Message) {
	c.explain(now, s, m)
	c.answerToPhone(s, m)
	if c.useAnswer(s, m) {
		c.editSDP(m, downward(s.call), apply)
	}
	c.dialogFromProvider(now, s, m)
	c.settle(s, m)
	c.send(now, s, cl, m)
}

// mergeChallenges adds the challenges of the other branches to the best 401 or
// 407 (RFC 3261 §16.7-7).
func (c *Core) mergeChallenges(s *server, chosen *client, m *message.Message) {
	for _, cl := range s.branches {
		if cl == chosen || cl.best == nil {
			continue
		}
		for _, h := range []message.Header{message.WWWAuthenticate, message.ProxyAuthenticate} {
			for l := range cl.best.Each(h) {
				c.edits.Insert(m.Lines[len(m.Lines)-1].End, cl.best.Raw[l.Start:l.End])
			}
		}
	}
}

// noAnswer answers a request for which no branch has a response to forward
// (P§3.7): a provider's 503 never reaches a phone, which would black-list us.
func (c *Core) noAnswer(now time.Time, s *server, status int) {
	c.endServerMedia(s)
	if s.req.Method == "BYE" {
		c.endCall(s.call) // for its sender the call is over
	}
	switch {
	case s.canceled:
		c.answer(now, s, 487, "Request Terminated")
	case s.from.path.Side == LAN && !s.up.reachable():
		c.answer(now, s, 503, "Provider Not Reachable")
	case s.from.path.Side == LAN && status == 503:
		c.answer(now, s, 500, "Provider Cannot Serve This Now")
	case s.from.path.Side == WAN && status == 503:
		c.answer(now, s, 480, "Temporarily Unavailable")
	case status == statusTimeout:
		c.answer(now, s, 408, "Request Timeout")
	default:
		c.answer(now, s, status, "Temporarily Unavailable")
	}
}

// settle acts on a final response: media changes take effect or are forgotten,
// calls begin or end.
func (c *Core) settle(s *server, m *message.Message) {
	if m.Status < 200 {
		return
	}
	if m.Status < 300 {
		for _, apply := range s.pending {
			apply()
		}
	}
	s.pending = nil
	switch {
	case s.req.Method == "BYE" && m.Status != 401 && m.Status != 407:
		c.endCall(s.call)
	case m.Status >= 300:
		c.endServerMedia(s)
	}
}
