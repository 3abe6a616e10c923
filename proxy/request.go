package proxy

import (
	"net/netip"
	"strings"
	"time"

	"pinhole/internal/dialog"
	"pinhole/internal/message"
	"pinhole/internal/metrics"
	"pinhole/rewrite"
)

// request takes a request that is neither ACK nor CANCEL, in the order of RFC
// 3261 §16.3.
func (c *Core) request(now time.Time, at endpoint, m *message.Message) {
	s := c.serve(now, at, m)
	if s == nil {
		c.metrics.Add(metrics.Retransmissions)
		return
	}
	c.metrics.Add(metrics.RequestsIn)
	uri, err := message.ParseURI(m.URI)
	if err != nil {
		c.answer(now, s, 400, "Bad Request-URI")
		return
	}
	if uri.Scheme != "sip" && uri.Scheme != "sips" && uri.Scheme != "tel" {
		c.answer(now, s, 416, "Unsupported URI Scheme")
		return
	}
	if m.Method == "OPTIONS" && at.path.Side == LAN && c.isOwn(uri) && uri.User == "" {
		c.answer(now, s, 200, "OK", "Accept: application/sdp")
		return
	}
	if l, ok := m.First(message.MaxForwards); ok {
		if n, valid := message.ParseUint(m.Value(l), 255); valid && n == 0 {
			c.answer(now, s, 483, "Too Many Hops")
			return
		}
	}
	if tags := proxyRequired(m); tags != "" {
		c.answer(now, s, 420, "Bad Extension", "Unsupported: "+tags)
		return
	}
	switch {
	case at.path.Side == WAN:
		c.inbound(now, s)
	case m.Method == "REGISTER":
		c.register(now, s, uri)
	default:
		c.outbound(now, s, uri)
	}
}

// hazard returns what is wrong with a phone's message that our own parser
// forgives but a provider's may not, nil if nothing: it would hang up, and so on
// all phones. From and To must hold a URI, of octets that a URI may have (RFC
// 3986 §2; "#" is what many dial).
func hazard(m *message.Message) error {
	for _, h := range []message.Header{message.From, message.To} {
		na, err := message.ParseNameAddr(m.Get(h))
		if err == nil {
			_, err = message.ParseURI(na.URI)
		}
		if err != nil || strings.ContainsAny(na.URI, "\\^`{|}") {
			return &message.Error{Status: 400, Reason: "Bad " + h.String()}
		}
	}
	return nil
}

// proxyRequired returns the option tags of Proxy-Require; we implement none.
func proxyRequired(m *message.Message) string {
	var tags []string
	for el := range m.Elems(message.ProxyRequire) {
		tags = append(tags, message.Unfold(m.Elem(el)))
	}
	return strings.Join(tags, ", ")
}

// outbound takes a request of a phone and finds the upstream it is for.
func (c *Core) outbound(now time.Time, s *server, uri message.URI) {
	m := s.req
	s.call = c.callOf(now, c.lanKey(m))
	up := c.upstreamFor(s, uri)
	if up == nil {
		c.refuseForeign(now, s, uri)
		return
	}
	s.up = up
	up.whenUp(now, func(now time.Time) {
		c.prepareMedia(now, s, func(now time.Time) { c.forwardUp(now, s) })
	})
}

// refuseForeign answers a request that is for none of our providers.
func (c *Core) refuseForeign(now time.Time, s *server, uri message.URI) {
	reason := "No Upstream For " + uri.Host
	cause := "its domain is none of the configured upstreams"
	if c.isOwn(uri) || c.isOwnHost(uri) {
		reason = "Set The Domain To The Provider And Keep This As Outbound Proxy"
		cause = "the phone takes us for its provider"
	}
	if c.firstRefusal(now, s.from.addr.Addr()) {
		c.log.Warn("request refused", "method", s.req.Method, "peer", s.from.addr, "uri_host", uri.Host,
			"cause", cause, "remedy", c.remedy())
	}
	c.answer(now, s, 403, reason)
}

// firstRefusal reports whether the log has not heard of a peer for a while: a
// phone that is set up wrongly tries for ever.
func (c *Core) firstRefusal(now time.Time, peer netip.Addr) bool {
	const while, most = time.Minute, 4096
	if last, ok := c.refused[peer]; ok && now.Sub(last) < while {
		return false
	}
	if len(c.refused) >= most {
		clear(c.refused)
	}
	c.refused[peer] = now
	return true
}

func (c *Core) isOwnHost(uri message.URI) bool {
	ip, ok := uri.Addr()
	if !ok {
		return false
	}
	for _, own := range c.ownIPs {
		if own == ip {
			return true
		}
	}
	return false
}

// remedy is what a phone's admin is to enter.
func (c *Core) remedy() string {
	domains, listen := []string{}, ""
	for _, up := range c.order {
		domains = append(domains, up.Domain)
	}
	for addr := range c.own {
		if listen == "" || addr.String() < listen {
			listen = addr.String()
		}
	}
	return "in the phone: registrar (domain) " + strings.Join(domains, " or ") + ", outbound proxy " + listen
}

// upstreamFor finds the provider of a phone's request: the one its route set,
// its call or its target names, else that of its sender.
func (c *Core) upstreamFor(s *server, uri message.URI) *upstream {
	m := s.req
	for el := range m.Elems(message.Route) {
		na, err := message.ParseNameAddr(m.Elem(el))
		if err != nil {
			break
		}
		route, err := message.ParseURI(na.URI)
		if err != nil {
			break
		}
		if up := c.upstreams[route.User]; up != nil && c.isOwn(route) {
			return up
		}
		if up := c.byDomain(route.Host); up != nil {
			return up
		}
	}
	if s.call != nil {
		return c.upstreams[s.call.Upstream]
	}
	if up := c.byDomain(uri.Host); up != nil {
		return up
	}
	if c.isOwn(uri) || c.isOwnHost(uri) {
		return nil
	}
	from, _ := rewrite.HeaderURI(m, message.From)
	if up := c.byDomain(from.Host); up != nil {
		return up
	}
	if b := c.bindings.At(s.from.source(), from.User); b != nil {
		return c.upstreams[b.Series.Upstream]
	}
	if len(c.order) == 1 && rewrite.Tag(m, message.To) != "" {
		return c.order[0] // a dialog from before a restart
	}
	return nil
}

func (c *Core) byDomain(host string) *upstream {
	for _, up := range c.order {
		if up.domainIs(host) {
			return up
		}
	}
	return nil
}

// lanKey names the dialog of a request from a phone, wanKey that of one from the
// provider.
func (c *Core) lanKey(m *message.Message) dialog.Key {
	return dialog.Key{
		CallID: m.Get(message.CallID),
		Phone:  rewrite.Tag(m, message.From), Remote: rewrite.Tag(m, message.To),
	}
}

func (c *Core) wanKey(m *message.Message) dialog.Key {
	return dialog.Key{
		CallID: c.hider.Reveal(m.Get(message.CallID)),
		Phone:  rewrite.Tag(m, message.To), Remote: rewrite.Tag(m, message.From),
	}
}

// broken answers a message that cannot be read: a peer on the LAN gets what
// RFC 3261 asks for, as long as it does not send many; nobody else gets a byte.
func (c *Core) broken(now time.Time, at endpoint, m *message.Message, err error) {
	c.metrics.Add(metrics.BrokenMessages)
	problem, ok := err.(*message.Error)
	if !ok || problem.Status == 0 || m == nil || !m.IsRequest() || m.Method == "ACK" || at.path.Side != LAN {
		return
	}
	if m.Count(message.Via) == 0 || !c.mayAnswer(now, at.addr.Addr()) {
		return
	}
	raw := m.AppendResponseVia(nil, rewrite.ReceivedVias(m, at.addr), problem.Status, problem.Reason, c.tag())
	c.transmit(at, raw)
}

// A bucket limits the answers to broken messages of one address.
type bucket struct {
	tokens int
	filled time.Time
}

// mayAnswer takes a token of an address: ten at once, one a second after that.
func (c *Core) mayAnswer(now time.Time, ip netip.Addr) bool {
	const burst, most = 10, 1024
	b := c.answers[ip]
	if b == nil {
		if len(c.answers) >= most {
			clear(c.answers)
		}
		b = &bucket{tokens: burst, filled: now}
		c.answers[ip] = b
	}
	if n := int(now.Sub(b.filled) / time.Second); n > 0 {
		b.tokens = min(burst, b.tokens+n)
		b.filled = now
	}
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}
