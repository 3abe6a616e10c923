package proxy

import (
	"math"
	"time"

	"pinhole/internal/binding"
	"pinhole/internal/message"
	"pinhole/internal/metrics"
	"pinhole/rewrite"
)

// A registration is one REGISTER of a phone on its way.
type registration struct {
	series   *binding.Series
	contacts []contact
	star     bool // "Contact: *": all bindings of the AOR go
	auth     bool // it answers a challenge
	old      bool // sent with the removal of an older alias
	retried  bool // sent again after a 423
	renewed  bool // some contact was not registered before: it goes to disk first
}

// A contact is one Contact element of a REGISTER.
type contact struct {
	binding *binding.Binding // nil: not the phone's own address, passed on as it is
	element string           // as the phone wrote it
	name    message.NameAddr
	seconds int // asked for; unasked where the phone left it to the registrar
}

const unasked = -1

// register takes a REGISTER of a phone (RFC 3261 §10.2, seen from a proxy that
// registers in the phone's stead).
func (c *Core) register(now time.Time, s *server, uri message.URI) {
	up := c.byDomain(uri.Host)
	aor, ok := rewrite.HeaderURI(s.req, message.To)
	switch {
	case up == nil:
		c.refuseForeign(now, s, uri)
		return
	case !ok || aor.User == "":
		c.answer(now, s, 400, "Bad To")
		return
	}
	s.up = up
	if problem := contactProblem(s.req); problem != "" {
		c.answer(now, s, 400, problem)
		return
	}
	s.reg = c.readRegister(s, up, aor)
	if s.reg.series.Busy {
		// The phone must not do that (RFC 3261 §10.2); order matters more than speed.
		c.answer(now, s, 500, "Another REGISTER Is Pending", "Retry-After: 1")
		return
	}
	s.reg.series.Busy = true
	up.whenUp(now, func(now time.Time) {
		if (up.flow == nil || up.mustWait(now, s.reg)) && c.known(s) {
			s.reg.series.Busy = false
			c.keepWaiting(now, s)
			return
		}
		up.whenMapped(now, func(now time.Time) { c.sendRegister(now, s) })
	})
}

// retryAfter is how long an unknown phone is told to wait in an outage.
const retryAfter = 30

// contactProblem says what is wrong with the Contacts of a REGISTER, "" if
// nothing: a star stands alone and removes (RFC 3261 §10.3-6).
func contactProblem(m *message.Message) string {
	star, n := false, 0
	for el := range m.Elems(message.Contact) {
		n++
		star = star || m.Elem(el) == "*"
	}
	if !star {
		return ""
	}
	if expires, ok := rewrite.HeaderExpiry(m); n != 1 || !ok || expires != 0 {
		return "Contact * Needs Expires 0 And No Other Contact"
	}
	return ""
}

// readRegister reads the phone's contacts and reserves their bindings.
func (c *Core) readRegister(s *server, up *upstream, aor message.URI) *registration {
	m := s.req
	r := &registration{auth: m.Count(message.Authorization) > 0}
	claim := binding.Claim{
		Upstream: up.Name, User: aor.User, Host: aor.Host, CallID: m.Get(message.CallID), From: s.from.source(),
	}
	fallback, fixed := rewrite.HeaderExpiry(m)
	if !fixed {
		fallback = unasked
	}
	for el := range m.Elems(message.Contact) {
		if m.Elem(el) == "*" {
			r.star = true
			continue
		}
		r.contacts = append(r.contacts, c.readContact(s, &claim, el, fallback))
	}
	r.series = c.bindings.Reserve(claim)
	c.assign(r)
	return r
}

// assign gives each contact its binding of the series: the one that had this URI
// before; else, where the REGISTER names none of the series' contacts, for the
// phone has moved, the alias of one that it had; else a new one.
func (c *Core) assign(r *registration) {
	taken := map[*binding.Binding]bool{}
	for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, rewrite.SameURI} {
		for i := range r.contacts {
			k := &r.contacts[i]
			if k.binding == nil || k.binding.Series != nil {
				continue
			}
			for _, b := range r.series.Bindings {
				if !taken[b] && same(b.URI, k.name.URI) {
					k.binding, taken[b] = b, true
					break
				}
			}
		}
	}
	moved := len(taken) == 0
	for i := range r.contacts {
		k := &r.contacts[i]
		if k.binding != nil && k.binding.Series == nil {
			k.binding = c.spare(r.series, taken, moved)
			taken[k.binding] = true
		}
		r.renewed = r.renewed || k.binding != nil && !k.binding.Live
	}
}

// spare returns a binding of a series that is not taken: for a phone that has
// moved one that lives, if there is one, else one that does not.
func (c *Core) spare(s *binding.Series, taken map[*binding.Binding]bool, moved bool) *binding.Binding {
	for _, live := range []bool{true, false} {
		for _, b := range s.Bindings {
			if b.Live == live && !taken[b] && (moved || !live) {
				return b
			}
		}
	}
	return c.bindings.Contact(s, len(s.Bindings))
}

// readContact reads one element; its binding is a mark until the series is
// known.
func (c *Core) readContact(s *server, claim *binding.Claim, el message.Elem, fallback int) contact {
	m := s.req
	k := contact{element: m.Elem(el), seconds: fallback}
	na, err := message.ParseNameAddr(k.element)
	if err != nil {
		return k
	}
	k.name = na
	if n, ok := rewrite.ContactExpiry(na.Params); ok {
		k.seconds = n
	}
	uri, err := message.ParseURI(na.URI)
	if err != nil || !c.phoneOwns(s.from, m, uri) {
		return k
	}
	k.binding = &binding.Binding{}
	if claim.ContactURI == "" {
		claim.ContactURI, claim.ContactUser = na.URI, uri.User
	}
	if instance, ok := message.Param(na.Params, "+sip.instance"); ok && claim.Instance == "" {
		claim.Instance = message.Unquote(instance)
		claim.RegID, _ = message.Param(na.Params, "reg-id")
	}
	return k
}

// sendRegister sends the REGISTER upstream in our own series.
func (c *Core) sendRegister(now time.Time, s *server) {
	up, r := s.up, s.reg
	if up.flow == nil || s.tx.Final() != 0 {
		r.series.Busy = false
		c.answer(now, s, 503, "Provider Not Reachable", "Retry-After: "+seconds(retryAfter))
		return
	}
	cl := c.newClient(endpoint{path: up.flow, addr: up.flow.Remote}, "REGISTER")
	cl.server = s
	s.branches = []*client{cl}
	cl.via = up.via(cl.branch.String())
	c.edits.Reset()
	m, e := s.req, &c.edits
	rewrite.Via(m, e, cl.via)
	rewrite.MaxForwards(m, e)
	rewrite.PopRoute(m, e, c.isOwn)
	r.series.CSeq++
	rewrite.CSeqNumber(m, e, r.series.CSeq)
	rewrite.SetValue(m, e, message.CallID, r.series.CallID)
	rewrite.RemoveAll(m, e, message.Path)
	veil := up.veil(s.from.addr.Addr(), m)
	c.editContacts(s, up, veil)
	c.hider.HideHeaders(m, e, veil)
	for _, h := range []message.Header{message.Supported, message.Require} {
		rewrite.RemoveTag(m, e, h, "outbound")
	}
	c.attempted(s)
	c.start(now, cl, c.edits.Append(nil, m))
}

// editContacts puts the aliases in place of the phone's contacts, raises what
// the registrar is known to refuse, and takes an older alias of the series out
// with the same REGISTER (RFC 3261 §10.2.4).
func (c *Core) editContacts(s *server, up *upstream, veil rewrite.Veil) {
	m, r := s.req, s.reg
	at, i := int32(0), 0
	for el := range m.Elems(message.Contact) {
		at = m.Lines[el.Line].End
		if r.star {
			continue
		}
		k := r.contacts[i]
		i++
		if k.binding == nil {
			c.hideElem(m, el, veil)
			continue
		}
		alias := up.alias(r.series.User, k.binding.Token, c.push(k.name.URI))
		k.name.Params = veil.Hide(c.hider, k.name.Params)
		element := rewrite.RegisterContact(k.name, alias)
		if k.seconds > 0 && k.seconds < up.floor {
			element = rewrite.SetExpires(element, up.floor)
		}
		c.edits.Replace(el.Start, el.End, element)
		if old := k.binding.Alias; old != "" && old != alias {
			k.binding.Old = old
		}
		k.binding.Alias, k.binding.Tuple = alias, up.mapping.Tuple()
	}
	r.old = false
	for _, k := range r.contacts {
		if k.binding == nil || k.binding.Old == "" || k.binding.Old == k.binding.Alias || up.single || k.seconds == 0 {
			continue
		}
		c.edits.Insert(at, "Contact: <", k.binding.Old, ">;expires=0\r\n")
		r.old = true
	}
	if n, ok := rewrite.HeaderExpiry(m); ok && n > 0 && n < up.floor {
		rewrite.SetValue(m, &c.edits, message.Expires, seconds(up.floor))
	}
}

func (c *Core) push(uri string) string {
	u, err := message.ParseURI(uri)
	if err != nil {
		return ""
	}
	return rewrite.PushParams(u.Params)
}

// registerAnswer takes the registrar's response.
func (c *Core) registerAnswer(now time.Time, s *server, m *message.Message) {
	r := s.reg
	if m.Status < 200 {
		return
	}
	r.series.Busy = false
	r.series.Challenged = m.Status == 401 || m.Status == 407
	if m.Status == 423 && c.askAgain(now, s, m) {
		return
	}
	c.explain(now, s, m)
	switch {
	case m.Status == 401 || m.Status == 407:
		c.metrics.Add(metrics.Challenges)
	case m.Status >= 300:
		c.metrics.Add(metrics.RegisterRefusals)
	}
	switch {
	case m.Status < 300:
		c.registered(now, s, m)
		return
	case r.old && m.Status >= 400 && m.Status < 500 && m.Status != 401 && m.Status != 407 && m.Status != 423:
		c.oneContactOnly(now, s, m)
		return
	}
	c.edits.Reset()
	rewrite.RestoreVias(m, &c.edits, s.vias)
	c.restoreSeries(s, m)
	if m.Status == 503 {
		c.noAnswer(now, s, 503)
		return
	}
	c.reply(now, s, m.Status, c.edits.Append(nil, m))
}

// restoreSeries gives a response to a REGISTER the phone's Call-ID and CSeq
// back.
func (c *Core) restoreSeries(s *server, m *message.Message) {
	rewrite.SetValue(m, &c.edits, message.CallID, s.req.Get(message.CallID))
	n, _, _ := s.req.CSeq()
	rewrite.CSeqNumber(m, &c.edits, n)
}

// askAgain repeats a REGISTER without credentials with the registrar's shortest
// interval, which also becomes the floor of all others (RFC 3261 §10.2.8).
func (c *Core) askAgain(now time.Time, s *server, m *message.Message) bool {
	n, ok := message.ParseUint(m.Get(message.MinExpires), math.MaxInt32)
	if !ok || n == 0 {
		return false
	}
	s.up.floor = max(s.up.floor, int(n))
	if s.reg.auth || s.reg.retried {
		return false
	}
	s.reg.retried = true
	s.reg.series.Busy = true
	c.sendRegister(now, s)
	return true
}

// oneContactOnly remembers that a registrar refuses a second Contact in a
// REGISTER, and keeps a known phone going until its next one.
func (c *Core) oneContactOnly(now time.Time, s *server, m *message.Message) {
	const soon = 30
	s.up.single = true
	c.log.Warn("registrar refuses to remove an old Contact together with a new one", "upstream", s.up.Name,
		"status", m.Status, "cause", m.Reason, "remedy", "none needed: old ones are left to lapse from now on")
	headers := []string{}
	for _, k := range s.reg.contacts {
		if k.binding == nil {
			continue
		}
		k.binding.Alias, k.binding.Old = k.binding.Old, ""
		headers = append(headers, "Contact: "+rewrite.PhoneContact(k.element, "", soon))
	}
	c.answer(now, s, 200, "OK", headers...)
}

// registerFailed takes a REGISTER that got no answer.
func (c *Core) registerFailed(now time.Time, s *server, status int) {
	s.reg.series.Busy = false
	if status == statusTimeout {
		c.log.Warn("registrar does not answer", "upstream", s.up.Name, "aor", s.reg.series.AOR,
			"cause", "no response to REGISTER within 32 s")
		return
	}
	c.answer(now, s, 503, "Provider Not Reachable", "Retry-After: "+seconds(retryAfter))
}
