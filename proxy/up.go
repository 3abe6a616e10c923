package proxy

import (
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"pinhole/internal/binding"
	"pinhole/internal/message"
	"pinhole/internal/transport"
	"pinhole/rewrite"
)

// forwardUp sends a phone's request to its provider on the flow.
func (c *Core) forwardUp(now time.Time, s *server) {
	up := s.up
	if up.flow == nil {
		c.noAnswer(now, s, statusUnavailable)
		return
	}
	if s.canceled {
		return
	}
	cl := c.newClient(endpoint{path: up.flow, addr: up.flow.Remote}, s.req.Method)
	cl.server, cl.index = s, s.fork.Add()
	s.branches = append(s.branches, cl)
	cl.via = up.via(cl.branch.String())
	c.edits.Reset()
	rewrite.MaxForwards(s.req, &c.edits)
	c.editRequestUp(now, up, s.from, s.req, cl.via)
	c.editSDP(s.req, upward(s.call, up, s.from), func(apply func()) { c.applyLater(s, apply) })
	c.attempted(s)
	c.start(now, cl, c.edits.Append(nil, s.req))
}

// editRequestUp makes the edits that every request of a phone needs but
// REGISTER: one Via, ours; no route through us; its Contact as an alias; nothing
// of the LAN.
func (c *Core) editRequestUp(now time.Time, up *upstream, from endpoint, m *message.Message, via string) {
	e := &c.edits
	rewrite.Via(m, e, via)
	rewrite.PopRoute(m, e, c.isOwn)
	veil := up.veil(from.addr.Addr(), m)
	c.aliasContacts(now, up, from, m, veil)
	c.hider.HideHeaders(m, e, veil)
}

// aliasContacts replaces the phone's own Contacts by aliases. A GRUU and a
// Contact at another host are not the phone's own address and stay (RFC 5627
// §4.4), as does what cannot be read; but they show nothing of the LAN.
func (c *Core) aliasContacts(now time.Time, up *upstream, from endpoint, m *message.Message, veil rewrite.Veil) {
	for el := range m.Elems(message.Contact) {
		na, err := message.ParseNameAddr(m.Elem(el))
		uri, bad := message.ParseURI(na.URI)
		if err != nil || bad != nil || !c.phoneOwns(from, m, uri) {
			c.hideElem(m, el, veil)
			continue
		}
		b := c.bindingFor(now, up, from, m, na.URI, uri.User)
		alias := up.alias(b.Series.User, b.Token, "")
		na.Params = veil.Hide(c.hider, na.Params)
		c.edits.Replace(el.Start, el.End, rewrite.DialogContact(na, alias))
	}
}

// hideElem hides the LAN in one element of a header.
func (c *Core) hideElem(m *message.Message, el message.Elem, veil rewrite.Veil) {
	if hidden := veil.Hide(c.hider, m.Elem(el)); hidden != m.Elem(el) {
		c.edits.Replace(el.Start, el.End, hidden)
	}
}

// phoneOwns reports whether a Contact URI is the address of the phone itself,
// and not a GRUU, another domain or a third party's.
func (c *Core) phoneOwns(from endpoint, m *message.Message, uri message.URI) bool {
	if uri.Scheme != "sip" && uri.Scheme != "sips" {
		return false
	}
	if _, gruu := message.Param(uri.Params, "gr"); gruu {
		return false
	}
	if ip, ok := uri.Addr(); ok {
		return ip == from.addr.Addr() || notPublic(ip)
	}
	via, _ := rewrite.TopVia(m)
	host := strings.ToLower(uri.Host)
	return m.IsRequest() && message.EqualFold(uri.Host, via.Host) || !strings.Contains(host, ".") ||
		strings.HasSuffix(host, ".invalid") || strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".lan")
}

// bindingFor returns the binding whose alias stands for a phone's Contact in a
// dialog: its registration where it has one with this Contact, else a transient
// one that lives as long as dialogs may need it.
func (c *Core) bindingFor(now time.Time, up *upstream, from endpoint, m *message.Message, uri, user string) *binding.Binding {
	const life = 12 * time.Hour
	who := message.From
	if !m.IsRequest() {
		who = message.To
	}
	aor, _ := rewrite.HeaderURI(m, who)
	for _, b := range c.bindings.ByUser(up.Name, aor.User) {
		if rewrite.SameURI(b.URI, uri) && b.From.Addr.Addr() == from.addr.Addr() {
			return b
		}
	}
	for _, b := range c.bindings.ByUser(up.Name, aor.User) {
		if b.From.Path == uint32(from.path.ID) && b.From.Addr == from.addr {
			b := c.bindings.Dialog(up.Name, b.Series.User, uri, from.source(), now.Add(life))
			return b
		}
	}
	if aor.User != "" && up.domainIs(aor.Host) {
		user = aor.User
	}
	return c.bindings.Dialog(up.Name, user, uri, from.source(), now.Add(life))
}

// forwardACK sends the ACK of a 2xx on its way, without a transaction: the
// branch is made of the received one, so that repeats look alike (RFC 3261
// §16.11).
func (c *Core) forwardACK(now time.Time, at endpoint, m *message.Message) {
	via, ok := rewrite.TopVia(m)
	if !ok {
		return
	}
	received, _ := message.Param(via.Params, "branch")
	branch := statelessBranch(received + m.Get(message.CallID) + via.Host)
	c.edits.Reset()
	if !rewrite.MaxForwards(m, &c.edits) {
		return
	}
	if at.path.Side == LAN {
		c.ackUp(now, at, m, branch)
		return
	}
	c.ackDown(now, at, m, branch)
}

func (c *Core) ackUp(now time.Time, at endpoint, m *message.Message, branch string) {
	call := c.callOf(now, c.lanKey(m))
	uri, _ := message.ParseURI(m.URI)
	up := c.upstreamFor(&server{req: m, from: at, call: call}, uri)
	if up == nil || up.flow == nil {
		return
	}
	c.editRequestUp(now, up, at, m, up.via(branch))
	c.editSDP(m, upward(call, up, at), apply)
	c.transmit(endpoint{path: up.flow, addr: up.flow.Remote}, c.edits.Append(nil, m))
}

func (c *Core) ackDown(now time.Time, at endpoint, m *message.Message, branch string) {
	up := c.upstreams[at.path.Upstream]
	call := c.callOf(now, c.wanKey(m))
	to, target, ok := c.inDialog(now, up, m, call)
	if !ok {
		return
	}
	c.editRequestDown(up, to, m, target, lanVia(to.path, branch))
	c.editSDP(m, downward(call), apply)
	c.transmit(to, c.edits.Append(nil, m))
}

// statelessBranch is the branch of a request without a transaction.
func statelessBranch(seed string) string {
	h := fnv.New64a()
	h.Write([]byte(seed))
	return "z9hG4bKack" + strconv.FormatUint(h.Sum64(), 36)
}

// answerToPhone makes the edits of a provider's response on its way to the
// phone.
func (c *Core) answerToPhone(s *server, m *message.Message) {
	e := &c.edits
	e.Reset()
	rewrite.RestoreVias(m, e, s.vias)
	c.hider.RevealHeaders(m, e)
	if m.Status > 100 && m.Status < 300 && recordsRoute(s.req) {
		rewrite.RecordRouteLast(m, e, recordRoute(s.from.path, s.up))
	}
}

// recordsRoute reports whether we stay in the route of what a request starts:
// every dialog, and requests of unknown kind (RFC 3261 §16.6-4).
func recordsRoute(m *message.Message) bool {
	switch m.Method {
	case "REGISTER", "MESSAGE", "OPTIONS", "PUBLISH", "BYE", "CANCEL", "ACK", "PRACK", "INFO":
		return false
	}
	return true
}

// reachable reports whether an upstream has a flow.
func (up *upstream) reachable() bool { return up != nil && up.flow != nil }

// plaintext reports whether routers can read a flow.
func plaintext(p *Path) bool { return p.Proto != transport.TLS }
