package proxy

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"pinhole/internal/message"
	"pinhole/internal/metrics"
	"pinhole/nat"
	"pinhole/rewrite"
)

// An upstream is one provider as the core knows it now.
type upstream struct {
	Upstream
	core    *Core
	flow    *Path          // the flow in use, nil while there is none
	local   netip.AddrPort // its local address, or that of the last one
	mapping nat.Mapping

	form     viaForm               // of our Via sent-by on plaintext flows
	learned  bool                  // the provider was seen to answer this form
	answers  bool                  // it was seen to answer OPTIONS
	floor    int                   // seconds: what a 423 taught us
	single   bool                  // it refuses a REGISTER with two Contacts
	waiting  []func(now time.Time) // for the mapped tuple
	waitOver *timer
	parked   []func(now time.Time) // for a flow
	parkOver *timer
	patient  bool // requests may still wait for the flow that is being made
	probe    *probe
	recovery recovery
}

func newUpstream(c *Core, u Upstream) *upstream {
	up := &upstream{Upstream: u, core: c, form: formOf(u.ViaHost)}
	up.waitOver = newTimer(up.release)
	up.parkOver = newTimer(func(now time.Time) {
		up.patient = false
		up.unpark(now)
	})
	up.patient = true
	up.recovery.slot = newTimer(func(now time.Time) { c.nextSlot(now, up) })
	return up
}

// FlowUp tells the core that an upstream's flow works: p is its path in a new
// generation. same says that it has the local port of the one before, so that
// the NAT may have kept the mapping.
func (c *Core) FlowUp(now time.Time, p Path, same bool) {
	up := c.upstreams[p.Upstream]
	if up == nil {
		return
	}
	if up.flow != nil {
		c.FlowDown(now, p.Upstream, up.flow.Gen, nil)
	}
	c.metrics.Add(metrics.FlowsUp)
	up.flow, up.local = &p, p.Local
	c.paths[p.ID] = up.flow
	if same {
		up.mapping.Renew()
	} else {
		up.mapping = nat.Mapping{}
	}
	c.tellMedia(up)
	c.save(nil)
	c.startProbe(now, up)
	const patience = 500 * time.Millisecond
	c.arm(up.waitOver, now.Add(patience))
	up.patient = true
	up.unpark(now)
}

// FlowDown tells the core that a flow is gone: what was sent on it has failed.
func (c *Core) FlowDown(now time.Time, name string, gen uint64, _ error) {
	up := c.upstreams[name]
	if up == nil || up.flow == nil || up.flow.Gen != gen {
		return
	}
	c.metrics.Add(metrics.FlowsDown)
	p := up.flow
	up.flow = nil
	delete(c.paths, p.ID)
	c.endProbe(up)
	c.failClients(now, p)
	up.release(now)
}

// Probed tells the core what STUN says of a flow's mapped tuple.
func (c *Core) Probed(now time.Time, name string, gen uint64, mapped netip.AddrPort) {
	up := c.upstreams[name]
	if up == nil || up.flow == nil || up.flow.Gen != gen {
		return
	}
	changed, note := up.mapping.Observe(nat.STUN, mapped, up.flow.Local, up.flow.Remote.Addr(), now)
	c.observed(now, up, changed, note)
	if note == nat.Doubt || changed && up.probe == nil {
		c.startProbe(now, up) // the provider's own word settles it
	}
}

// heard looks at any response on a flow: it proves life, and tells the tuple
// that the provider sees.
func (c *Core) heard(now time.Time, at endpoint, m *message.Message, cl *client) {
	up := c.upstreams[at.path.Upstream]
	if up == nil || up.flow != at.path {
		return
	}
	up.learned = true
	if _, ok := m.First(message.FlowTimer); ok && m.Status < 300 {
		if n, ok := message.ParseUint(m.Get(message.FlowTimer), 1<<31-1); ok && n > 0 {
			c.emit(Output{Kind: KeepAlive, Upstream: up.Name, Gen: at.path.Gen, Seconds: int(n)})
		}
	}
	if m.Status < 300 && m.HasToken(message.Require, "outbound") {
		c.emit(Output{Kind: Pongs, Upstream: up.Name, Gen: at.path.Gen})
	}
	ip, port := rewrite.SeenFrom(m)
	changed, note := up.mapping.Observe(nat.Response, netip.AddrPortFrom(ip, port), at.path.Local, at.path.Remote.Addr(), now)
	c.observed(now, up, changed, note)
	if tuple := up.mapping.Tuple(); up.mapping.Witness() == nat.Response && tuple != up.recovery.tuple {
		up.recovery.tuple = tuple
		c.recoverPhones(now, up)
	}
	c.lookForALG(up, m, cl)
}

// observed acts on a change of the mapped tuple.
func (c *Core) observed(now time.Time, up *upstream, changed bool, note nat.Note) {
	if note != 0 {
		c.log.Warn("mapped address", "upstream", up.Name, "cause", note.String())
	}
	if !changed {
		return
	}
	c.metrics.Add(metrics.MappingChanges)
	c.save(nil)
	c.log.Info("mapped address learned", "upstream", up.Name, "mapped", up.mapping.Tuple(),
		"witness", up.mapping.Witness().String())
	c.tellMedia(up)
	c.emit(Output{Kind: Behind, Upstream: up.Name, Gen: up.flow.Gen, NAT: up.mapping.NATed(up.flow.Local.Addr())})
	if up.probe == nil || up.mapping.Witness() == nat.Response {
		up.release(now)
	}
}

// tellMedia tells the relay how the provider sees our address, for the ports
// that STUN cannot tell.
func (c *Core) tellMedia(up *upstream) {
	c.emit(Output{Kind: MediaPublic, Media: mediaWork{WAN: up.flow.Local.Addr(), Public: up.publicAddr()}})
}

// whenUp runs then as soon as there is a flow; where one is being made for too
// long already, at once, to be answered without it.
func (up *upstream) whenUp(now time.Time, then func(now time.Time)) {
	if up.flow != nil || !up.patient {
		then(now)
		return
	}
	const patience = 3 * time.Second
	if up.parkOver.pos < 0 {
		up.core.arm(up.parkOver, now.Add(patience))
	}
	up.parked = append(up.parked, then)
}

// unpark lets everything go that waited for a flow.
func (up *upstream) unpark(now time.Time) {
	up.core.arm(up.parkOver, time.Time{})
	parked := up.parked
	up.parked = nil
	for _, then := range parked {
		then(now)
	}
}

// whenMapped runs then as soon as the mapped tuple is known well enough for a
// Contact, or has been waited for long enough.
func (up *upstream) whenMapped(now time.Time, then func(now time.Time)) {
	if up.waitOver.pos < 0 || up.mapping.Witness() == nat.Response {
		then(now)
		return
	}
	up.waiting = append(up.waiting, then)
}

// release lets everything go that waited for the mapped tuple.
func (up *upstream) release(now time.Time) {
	up.core.arm(up.waitOver, time.Time{})
	waiting := up.waiting
	up.waiting = nil
	for _, then := range waiting {
		then(now)
	}
}

// contactAddr returns the tuple that our Contacts name, and a host name where
// none is known.
func (up *upstream) contactAddr() (netip.AddrPort, string) {
	tuple := up.mapping.Tuple()
	switch up.Advertise {
	case "private":
		return up.flow.Local, ""
	case "address":
		if !tuple.IsValid() {
			tuple = up.flow.Local
		}
		return netip.AddrPortFrom(up.Address, tuple.Port()), ""
	}
	if tuple.IsValid() && !(up.Advertise == "public" && notPublic(tuple.Addr())) {
		return tuple, ""
	}
	return netip.AddrPort{}, up.core.label + ".invalid"
}

// alias returns the Contact URI that stands for a binding on the current flow.
func (up *upstream) alias(user, token, push string) string {
	addr, host := up.contactAddr()
	return rewrite.Alias{
		User: user, Token: token, Host: host, Addr: addr, Push: push,
		Transport: strings.ToLower(up.flow.Proto.String()), Placement: up.Placement,
	}.String()
}

// domainIs reports whether host names this upstream.
func (up *upstream) domainIs(host string) bool {
	if strings.HasPrefix(host, "[") { // an IPv6 address has many spellings
		ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
		own, ownErr := netip.ParseAddr(up.Domain)
		return err == nil && ownErr == nil && ip == own
	}
	return host != "" && (message.EqualFold(host, up.Domain) || message.EqualFold(host, up.Server))
}

// veil returns what a message of the phone at an endpoint must not show
// upstream: the phone's address, others that it names as its own, and ours.
func (up *upstream) veil(phone netip.Addr, m *message.Message) rewrite.Veil {
	v := rewrite.Veil{Local: up.flow.Local, Mapped: up.mapping.Tuple()}
	for _, p := range up.core.lan {
		if !p.Contains(up.flow.Remote.Addr()) && !p.Contains(v.Mapped.Addr()) {
			v.LAN = append(v.LAN, p)
		}
	}
	hide := func(ip netip.Addr) {
		if ip.IsValid() && ip != v.Mapped.Addr() && ip.Is4() == ip.Unmap().Is4() && !slices.Contains(v.Phone, ip) &&
			!slices.Contains(v.Own, ip) && !ip.IsUnspecified() {
			v.Phone = append(v.Phone, ip)
		}
	}
	for _, ip := range append([]netip.Addr{up.flow.Local.Addr()}, up.core.ownIPs...) {
		if ip != v.Mapped.Addr() && !slices.Contains(v.Own, ip) {
			v.Own = append(v.Own, ip)
		}
	}
	hide(phone)
	if m == nil {
		return v
	}
	for el := range m.Elems(message.Contact) {
		if na, err := message.ParseNameAddr(m.Elem(el)); err == nil {
			if uri, err := message.ParseURI(na.URI); err == nil {
				if ip, ok := uri.Addr(); ok && notPublic(ip) {
					hide(ip)
				}
			}
		}
	}
	if via, ok := rewrite.TopVia(m); ok && m.IsRequest() {
		if ip, err := netip.ParseAddr(strings.Trim(via.Host, "[]")); err == nil && notPublic(ip.Unmap()) {
			hide(ip.Unmap())
		}
	}
	return v
}

// notPublic reports whether an address means nothing outside its own network.
func notPublic(ip netip.Addr) bool {
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()
}
