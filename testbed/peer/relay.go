package peer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A hop is where a proxied request goes next.
type hop struct {
	flow *Flow
	uri  string
}

// A fork is one request proxied to one or more hops (RFC 3261 §16.7).
type fork struct {
	p   *Provider
	req *Request

	mu       sync.Mutex
	branches []*clientTx
	finals   []*Message // by branch, nil while it is pending
	answered bool
}

// fork sends a request to all bindings of a user in parallel.
func (p *Provider) fork(r *Request, targets []*Binding) {
	var hops []hop
	for _, b := range targets {
		if f := p.flowOf(b); f != nil {
			hops = append(hops, hop{f, b.URI})
		}
	}
	p.proxy(r, hops, r.Method() == "INVITE" && !p.quirk().NoRecordRoute)
}

// relay sends a request inside a dialog where its Route or Request-URI says.
func (p *Provider) relay(r *Request) {
	routes := p.routesAfterUs(r)
	next := r.URI()
	if len(routes) > 0 {
		next = aor(routes[0])
	}
	f := p.flowTo(next)
	if r.Method() == "ACK" {
		if f != nil {
			_ = p.sendRaw(f, p.onward(r, hop{f, r.URI()}, false))
		}
		return
	}
	if f == nil {
		_ = r.Respond(481, "", nil, "")
		return
	}
	p.proxy(r, []hop{{f, r.URI()}}, false)
}

// proxy sends a request to hops and its responses back.
func (p *Provider) proxy(r *Request, hops []hop, record bool) {
	fk := &fork{p: p, req: r}
	if r.Method() == "INVITE" {
		_ = r.Respond(100, "", nil, "")
		r.onCancel(func(*Message) { fk.cancel(nil) })
	}
	for _, h := range hops {
		if tx, err := p.send(h.flow, p.onward(r, h, record), fk.repeat); err == nil {
			fk.branches = append(fk.branches, tx)
		}
	}
	if len(fk.branches) == 0 {
		_ = r.Respond(480, "", nil, "")
		return
	}
	fk.finals = make([]*Message, len(fk.branches))
	for i := range fk.branches {
		p.spawn(func() { fk.follow(i) })
	}
}

// onward writes the request as it leaves: our Via and Record-Route on top, our
// own Route value gone, one hop less.
func (p *Provider) onward(r *Request, h hop, record bool) string {
	t, _ := split(r.Raw)
	t.start = r.Method() + " " + h.uri + " SIP/2.0"
	via := fmt.Sprintf("SIP/2.0/%s %s;branch=z9hG4bK%s;rport", strings.ToUpper(h.flow.proto), h.flow.local, random(16))
	fields := []field{{"Via", via}}
	if record {
		fields = append(fields, field{"Record-Route", "<" + p.ownURI("sip:", r.Flow) + ";lr>"})
	}
	first := true
	for _, f := range t.fields {
		switch canonical(f.name) {
		case "via":
			if first {
				f.value = r.stampVia(f.value)
			}
			first = false
		case "max-forwards":
			if n, err := strconv.Atoi(f.value); err == nil {
				f.value = strconv.Itoa(n - 1)
			}
		case "proxy-authorization", "route":
			continue
		}
		fields = append(fields, f)
	}
	for _, route := range p.routesAfterUs(r) {
		fields = slices.Insert(fields, 1, field{"Route", route})
	}
	t.fields = fields
	return t.String()
}

// routesAfterUs returns the request's route set without values that name us.
func (p *Provider) routesAfterUs(r *Request) []string {
	routes := r.Elems("route")
	for len(routes) > 0 && p.names(aor(routes[0])) {
		routes = routes[1:]
	}
	return routes
}

// names says whether a URI is one of our own addresses or our domain.
func (p *Provider) names(s string) bool {
	u := parseURI(s)
	if strings.EqualFold(u.host, p.conf.Domain) {
		return true
	}
	a, ok := hostPort(u)
	return ok && slices.ContainsFunc(p.conf.Listen, func(l Listen) bool {
		return l.Addr == a || (l.Addr.Addr().IsUnspecified() && l.Addr.Port() == a.Port())
	})
}

// hostPort returns a URI's address, if its host is one.
func hostPort(u uri) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(strings.Trim(u.host, "[]"))
	if err != nil {
		return netip.AddrPort{}, false
	}
	port := u.port
	if port == 0 {
		port = 5060
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(port)), true
}

// follow takes the responses of one branch.
func (fk *fork) follow(i int) {
	tx := fk.branches[i]
	for {
		m, err := tx.next(fk.p.ctx)
		if err != nil {
			fk.over(i, nil)
			return
		}
		switch status := m.Status(); {
		case status == 100:
		case status < 200:
			_ = fk.req.respondRaw(downward(m))
		case status < 300:
			fk.won(i, m)
			return
		default:
			fk.over(i, m)
			return
		}
	}
}

// won forwards a 2xx and cancels the other branches.
func (fk *fork) won(i int, m *Message) {
	fk.mu.Lock()
	fk.finals[i] = m
	fk.answered = true
	fk.mu.Unlock()
	_ = fk.req.respondRaw(downward(m))
	fk.cancel(fk.branches[i])
}

// repeat forwards a further 2xx.
func (fk *fork) repeat(m *Message) { _ = fk.req.respondRaw(downward(m)) }

// over notes the failure of a branch, nil for no answer, and forwards the best
// response once all have failed.
func (fk *fork) over(i int, m *Message) {
	if m == nil {
		m = newMessage(fk.req.answer(408, "", nil, ""))
	} else {
		m = newMessage(downward(m))
	}
	fk.mu.Lock()
	fk.finals[i] = m
	best := fk.finals[0]
	for _, f := range fk.finals {
		if f == nil || fk.answered {
			fk.mu.Unlock()
			return
		}
		if better(f.Status(), best.Status()) {
			best = f
		}
	}
	fk.mu.Unlock()
	_ = fk.req.respondRaw(best.Raw)
}

// better orders final responses as RFC 3261 §16.7-6 does: 6xx, then the lower
// class; 487 and 408 only for want of another.
func better(a, b int) bool {
	rank := func(s int) int {
		switch {
		case s >= 600:
			return 0
		case s == 408 || s == 487:
			return 90
		}
		return s / 100
	}
	return rank(a) < rank(b)
}

// cancel cancels all pending branches but one.
func (fk *fork) cancel(but *clientTx) {
	fk.mu.Lock()
	var pending []*clientTx
	for i, tx := range fk.branches {
		if tx != but && (i >= len(fk.finals) || fk.finals[i] == nil) {
			pending = append(pending, tx)
		}
	}
	fk.mu.Unlock()
	if fk.req.Method() != "INVITE" {
		return
	}
	for _, tx := range pending {
		fk.p.spawn(func() {
			if tx.provisional(fk.p.ctx) {
				_, _ = fk.p.send(tx.flow, cancelText(tx.sent), nil)
			}
		})
	}
}

// downward returns a response without its top Via.
func downward(m *Message) string {
	t, _ := split(m.Raw)
	for i, f := range t.fields {
		if canonical(f.name) != "via" {
			continue
		}
		if rest := splitList(f.value, ',')[1:]; len(rest) > 0 {
			t.fields[i].value = strings.Join(rest, ", ")
		} else {
			t.fields = slices.Delete(t.fields, i, i+1)
		}
		break
	}
	return t.String()
}

// flowOf returns the path to a binding: what its REGISTER came on, or a newer
// connection from the same tuple (RFC 3261 §18), or with the quirk ByURI where
// its Contact points.
func (p *Provider) flowOf(b *Binding) *Flow {
	if p.quirk().ByURI {
		return p.flowTo(b.URI)
	}
	if b.Flow.Alive() {
		return b.Flow
	}
	for _, f := range p.streams() {
		if f.remote == b.Flow.remote && f.proto == b.Flow.proto {
			return f
		}
	}
	return nil
}

// flowTo returns the path to a URI's address: an open connection whose other
// end it is, or for UDP one of our sockets; nil if there is none.
func (p *Provider) flowTo(s string) *Flow {
	u := parseURI(s)
	a, ok := hostPort(u)
	if !ok {
		return nil
	}
	proto, _ := param(u.params, "transport")
	proto = strings.ToLower(proto)
	for _, f := range p.streams() {
		if f.remote == a && (proto == "" || proto == f.proto || f.proto == TLS) {
			return f
		}
	}
	if proto != "" && proto != UDP {
		return nil
	}
	for _, l := range p.conf.Listen {
		p.mu.Lock()
		pc := p.socks[l.Addr.String()]
		p.mu.Unlock()
		if l.Proto == UDP && pc != nil {
			return p.udpFlow(pc, a)
		}
	}
	return nil
}

// pathOf returns where a caller's request inside a dialog goes: to the route
// set or the other side's Contact, else the way the last request came.
func (p *Provider) pathOf(_ context.Context, c *Call) (*Flow, error) {
	c.mu.Lock()
	target, last := c.target, c.last
	if len(c.routes) > 0 {
		target = aor(c.routes[0])
	}
	c.mu.Unlock()
	if f := p.flowTo(target); f != nil {
		return f, nil
	}
	if last != nil && last.Alive() {
		return last, nil
	}
	return nil, fmt.Errorf("peer: the provider has no path to %s", target)
}
