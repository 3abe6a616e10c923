package proxy

import (
	"time"

	"pinhole/internal/binding"
	"pinhole/internal/match"
	"pinhole/internal/message"
	"pinhole/internal/metrics"
	"pinhole/rewrite"
)

// inbound takes a request of the provider: one of a dialog goes to its phone,
// any other to the phones that the matching ladder finds.
func (c *Core) inbound(now time.Time, s *server) {
	up := c.upstreams[s.from.path.Upstream]
	s.up = up
	m := s.req
	if rewrite.Tag(m, message.To) != "" {
		c.toDialog(now, s)
		return
	}
	found := match.Find(match.Query{Upstream: up.Name, Request: m, Aliases: up.Aliases}, c.bindings)
	if m.Method == "OPTIONS" && len(found.Bindings) != 1 {
		c.answer(now, s, 200, "OK", "Accept: application/sdp")
		return
	}
	if len(found.Bindings) == 0 {
		c.notFound(now, s, found)
		return
	}
	c.ring(now, s, found)
}

// toDialog takes a request of the provider inside a dialog.
func (c *Core) toDialog(now time.Time, s *server) {
	m := s.req
	s.call = c.callOf(now, c.wanKey(m))
	to, target, ok := c.inDialog(now, s.up, m, s.call)
	switch {
	case !ok && s.call != nil && m.Method != "BYE":
		c.answer(now, s, 480, "Temporarily Unavailable")
		return
	case !ok:
		c.endCall(s.call) // the phone is gone, and now the caller too
		c.answer(now, s, 481, "Call/Transaction Does Not Exist")
		return
	case s.call == nil && m.Method == "INVITE": // of a call from before a restart
		s.call = c.newCall(s.up, to, false)
		s.call.Contact = target
	}
	c.prepareMedia(now, s, func(now time.Time) {
		cl := c.addBranch(s, to, s.call, target, "")
		c.forwardDown(now, s, cl)
	})
}

// ring forks a request to all phones found; those that cannot be reached are
// branches that failed.
func (c *Core) ring(now time.Time, s *server, found match.Result) {
	c.log.Info("request for a phone", "method", s.req.Method, "upstream", s.up.Name,
		"aor", found.Bindings[0].Series.AOR, "phones", len(found.Bindings), "match", found.Log())
	for _, b := range found.Bindings {
		to, _ := c.endpointOf(b.From)
		c.addBranch(s, to, nil, b.URI, b.Token)
	}
	for _, cl := range append([]*client(nil), s.branches...) {
		if cl.to.path == nil {
			c.unreachable(now, s, cl)
			continue
		}
		c.prepareBranch(now, s, cl, func(now time.Time) { c.forwardDown(now, s, cl) })
	}
}

// unreachable ends a branch whose phone's connection is gone.
func (c *Core) unreachable(now time.Time, s *server, cl *client) {
	c.log.Warn("phone cannot be reached", "upstream", s.up.Name, "contact", cl.target,
		"cause", "its connection is closed", "remedy", "it will be reachable as soon as it registers again")
	c.drop(cl)
	c.decide(now, s, s.fork.Fail(cl.index, 480), cl, nil)
}

// notFound answers a request that no rule has a phone for, and says why.
func (c *Core) notFound(now time.Time, s *server, found match.Result) {
	c.metrics.Add(metrics.UnmatchedCalls)
	status, reason := 404, "Not Found"
	if found.Known {
		status, reason = 480, "Temporarily Unavailable"
	}
	c.log.Warn("no phone for a request", "method", s.req.Method, "upstream", s.up.Name,
		"request_uri", s.req.URI, "status", status, "cause", found.Log(),
		"remedy", "register the phone, or map the number in [upstream."+s.up.Name+".alias]")
	c.answer(now, s, status, reason)
}

// addBranch adds a branch of a request to a phone; call is the call it belongs
// to, nil for a new one.
func (c *Core) addBranch(s *server, to endpoint, call *call, target, token string) *client {
	cl := c.newClient(to, s.req.Method)
	cl.server, cl.index, cl.leg, cl.target, cl.token = s, s.fork.Add(), call, target, token
	s.branches = append(s.branches, cl)
	return cl
}

// forwardDown sends a provider's request to a phone.
func (c *Core) forwardDown(now time.Time, s *server, cl *client) {
	if s.canceled || s.tx.Final() != 0 {
		c.drop(cl)
		return
	}
	c.edits.Reset()
	rewrite.MaxForwards(s.req, &c.edits)
	c.editRequestDown(s.up, cl.to, s.req, cl.target, lanVia(cl.to.path, cl.branch.String()))
	c.editSDP(s.req, downward(cl.leg), func(apply func()) { c.applyLater(s, apply) })
	c.start(now, cl, c.edits.Append(nil, s.req))
}

// editRequestDown makes the edits of every request to a phone: our Via alone,
// the phone's own Contact as Request-URI, ourselves as its route.
func (c *Core) editRequestDown(up *upstream, to endpoint, m *message.Message, target, via string) {
	e := &c.edits
	rewrite.Via(m, e, via)
	rewrite.RequestURI(m, e, rewrite.TargetURI(target))
	if recordsRoute(m) {
		rewrite.RecordRouteFirst(m, e, recordRoute(to.path, up))
	}
	c.hider.RevealHeaders(m, e)
}

// inDialog finds the phone of a request inside a dialog: by the call, else by
// the token that its Request-URI, our alias, carries.
func (c *Core) inDialog(now time.Time, up *upstream, m *message.Message, call *call) (endpoint, string, bool) {
	if call != nil {
		if b := c.bindings.ByToken(call.Token); b != nil {
			if to, ok := c.endpointOf(b.From); ok {
				return to, call.Contact, true
			}
		}
		if c.paths[call.phone.pathID()] != nil {
			return call.phone, call.Contact, true
		}
	}
	uri, err := message.ParseURI(m.URI)
	if err != nil {
		return endpoint{}, "", false
	}
	user, param := rewrite.TokenOf(uri)
	for _, token := range []string{param, user} {
		b := c.bindings.ByToken(token)
		if b == nil || b.Series.Upstream != up.Name {
			continue
		}
		if to, ok := c.endpointOf(b.From); ok {
			return to, b.URI, true
		}
	}
	return endpoint{}, "", false
}

func (e endpoint) pathID() PathID {
	if e.path == nil {
		return 0
	}
	return e.path.ID
}

// answerToProvider makes the edits of a phone's response on its way upstream.
func (c *Core) answerToProvider(now time.Time, s *server, cl *client, m *message.Message) {
	e := &c.edits
	e.Reset()
	rewrite.RestoreVias(m, e, s.vias)
	rewrite.RemoveRecordRoute(m, e, c.isOwn)
	veil := s.up.veil(cl.to.addr.Addr(), m)
	if m.Status >= 300 && m.Status < 400 || m.Status == 485 {
		c.redirectContacts(s.up, m, veil)
	} else {
		c.aliasContacts(now, s.up, cl.to, m, veil)
	}
	c.hider.HideHeaders(m, e, veil)
}

// redirectContacts edits the Contacts of a redirection, which are other places
// than the phone's own (RFC 3261 §21.3, §21.4.22): that of another phone here
// becomes its alias, any other address of the LAN opaque.
func (c *Core) redirectContacts(up *upstream, m *message.Message, veil rewrite.Veil) {
	for el := range m.Elems(message.Contact) {
		na, err := message.ParseNameAddr(m.Elem(el))
		b := c.registeredAs(up, na.URI)
		if err != nil || b == nil {
			c.hideElem(m, el, veil)
			continue
		}
		c.edits.Replace(el.Start, el.End, "<", up.alias(b.Series.User, b.Token, ""), ">", veil.Hide(c.hider, na.Params))
	}
}

// registeredAs returns the live binding of the phone that registered with this
// Contact URI, nil if there is none.
func (c *Core) registeredAs(up *upstream, uri string) *binding.Binding {
	for _, b := range c.bindings.Live(up.Name) {
		if rewrite.SameURI(b.URI, uri) {
			return b
		}
	}
	return nil
}
