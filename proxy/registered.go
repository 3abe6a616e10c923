package proxy

import (
	"time"

	"pinhole/internal/binding"
	"pinhole/internal/match"
	"pinhole/internal/message"
	"pinhole/internal/metrics"
	"pinhole/rewrite"
)

// registered takes the registrar's 200: our contacts are found by token and
// given back to the phone as it wrote them, with a lease of its own.
func (c *Core) registered(now time.Time, s *server, m *message.Message) {
	up, r := s.up, s.reg
	c.learnNumbers(up, r.series, m)
	c.edits.Reset()
	rewrite.RestoreVias(m, &c.edits, s.vias)
	c.restoreSeries(s, m)
	rewrite.RemoveTag(m, &c.edits, message.Require, "outbound")
	listed := c.restoreContacts(now, s, m)
	for _, k := range r.contacts {
		if k.binding == nil || listed[k.binding] {
			continue
		}
		lease := c.commit(now, s, k, grantedTo(m))
		if lease > 0 {
			c.edits.Insert(m.Lines[len(m.Lines)-1].End, "Contact: ", rewrite.PhoneContact(k.element, "", lease), "\r\n")
		}
	}
	if r.star {
		c.endAll(r.series)
	}
	c.emit(Output{Kind: KeepOpen, Path: s.from.path.ID})
	answer := c.edits.Append(nil, m)
	if !r.renewed {
		c.save(nil)
		c.reply(now, s, m.Status, answer)
		return
	}
	status := m.Status
	c.save(func(now time.Time) { c.reply(now, s, status, answer) })
}

// endAll ends the bindings of an AOR that a star removed.
func (c *Core) endAll(s *binding.Series) {
	for _, b := range c.bindings.ByUser(s.Upstream, s.User) {
		if b.Series.AOR == s.AOR {
			c.bindings.End(b)
			b.Alias = ""
		}
	}
}

// restoreContacts walks the Contacts of a 200: ours become the phone's again,
// our stale ones go, others stay. It returns those of ours that were listed.
func (c *Core) restoreContacts(now time.Time, s *server, m *message.Message) map[*binding.Binding]bool {
	listed := map[*binding.Binding]bool{}
	for el := range m.Elems(message.Contact) {
		na, err := message.ParseNameAddr(m.Elem(el))
		if err != nil {
			continue
		}
		b := c.tokenIn(na.URI)
		if b == nil || b.Series.Upstream != s.up.Name || b.Series.AOR != s.reg.series.AOR {
			if shown := c.hider.Reveal(m.Elem(el)); shown != m.Elem(el) {
				c.edits.Replace(el.Start, el.End, shown)
			}
			continue
		}
		granted, own := rewrite.ContactExpiry(na.Params)
		if !own {
			granted = grantedTo(m)
		}
		k := s.reg.find(b)
		switch {
		case listed[b], k != nil && k.seconds == 0, isStale(b, na):
			c.edits.DeleteElem(m, el)
			continue
		case k == nil && !b.Live:
			c.edits.DeleteElem(m, el)
			continue
		case k == nil:
			left := int(b.LAN.Sub(now) / time.Second)
			c.edits.Replace(el.Start, el.End, rewrite.PhoneContact(b.Element, na.Params, max(left, 0)))
		default:
			lease := c.commit(now, s, *k, granted)
			c.edits.Replace(el.Start, el.End, rewrite.PhoneContact(k.element, na.Params, lease))
		}
		listed[b] = true
	}
	return listed
}

// grantedTo returns what a 200 grants in its Expires header, unasked where it has
// none.
func grantedTo(m *message.Message) int {
	if n, ok := rewrite.HeaderExpiry(m); ok {
		return n
	}
	return unasked
}

// tokenIn returns the binding whose token a URI carries, nil if none.
func (c *Core) tokenIn(uri string) *binding.Binding {
	u, err := message.ParseURI(uri)
	if err != nil {
		return nil
	}
	user, param := rewrite.TokenOf(u)
	if b := c.bindings.ByToken(param); b != nil {
		return b
	}
	return c.bindings.ByToken(user)
}

// find returns the contact of a binding, nil if it is another phone's.
func (r *registration) find(b *binding.Binding) *contact {
	for i := range r.contacts {
		if b != nil && r.contacts[i].binding == b {
			return &r.contacts[i]
		}
	}
	return nil
}

// isStale reports whether a listed Contact is an older alias of a binding: same
// token, another port. Hosts say nothing here, an ALG may have turned them.
func isStale(b *binding.Binding, na message.NameAddr) bool {
	return b.Old != "" && rewrite.SameURI(na.URI, b.Old) && !rewrite.SameURI(na.URI, b.Alias)
}

// commit makes a contact's binding live, or ends it, and returns the lease for
// the phone in seconds: the shortest of what it asked for, what was granted and
// what keeps an outage short. granted is unasked where the registrar said
// nothing.
func (c *Core) commit(now time.Time, s *server, k contact, granted int) int {
	const registrarsChoice = 3600
	b := k.binding
	if k.seconds == 0 || granted == 0 {
		if b.Live {
			c.log.Info("unregistered", "aor", s.reg.series.AOR, "upstream", s.up.Name)
		}
		c.metrics.Add(metrics.Unregistrations)
		c.bindings.End(b)
		b.Alias, b.Old = "", ""
		return 0
	}
	if granted == unasked {
		granted = k.seconds
	}
	if granted == unasked {
		granted = registrarsChoice
	}
	lease := min(granted, int(s.up.LANLease/time.Second))
	if k.seconds != unasked {
		lease = min(lease, k.seconds)
	}
	if !b.Live {
		c.log.Info("registered", "aor", s.reg.series.AOR, "upstream", s.up.Name, "peer", s.from.addr,
			"alias", b.Alias, "lease", lease, "granted", granted)
	}
	c.metrics.Add(metrics.Registrations)
	b.Live, b.Element, b.URI, b.From = true, k.element, k.name.URI, s.from.source()
	b.Gen = s.up.flow.gen()
	b.Upstream = now.Add(time.Duration(granted) * time.Second)
	b.LAN = now.Add(time.Duration(lease) * time.Second)
	b.Old = ""
	if c.sweep.pos < 0 || b.Ends().Before(c.sweep.at) {
		c.arm(c.sweep, b.Ends())
	}
	return lease
}

func (p *Path) gen() uint64 {
	if p == nil {
		return 0
	}
	return p.Gen
}

// learnNumbers notes under which numbers the provider knows the account.
func (c *Core) learnNumbers(up *upstream, s *binding.Series, m *message.Message) {
	for el := range m.Elems(message.PAssociatedURI) {
		na, err := message.ParseNameAddr(m.Elem(el))
		if err != nil {
			continue
		}
		if uri, err := message.ParseURI(na.URI); err == nil && uri.User != "" && uri.User != s.User {
			c.bindings.Learn(up.Name, match.Normalise(uri.User), s.User)
		}
	}
}
