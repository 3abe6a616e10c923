package proxy

import (
	"net/netip"
	"strconv"

	"pinhole/internal/message"
	"pinhole/internal/transport"
	"pinhole/nat"
)

// A viaForm is what our Via names as sent-by upstream. An ALG that finds the
// flow's own tuple there rewrites it, and makes received lie; so on plaintext it
// is something else. Responses find us by the connection and rport all the same
// (RFC 3581 §4).
type viaForm uint8

const (
	viaInvalid viaForm = iota // a name under .invalid (RFC 6761), as WebSocket clients use
	viaPort                   // the mapped address with another port
	viaMapped                 // the mapped tuple
)

var viaNames = map[string]viaForm{"invalid": viaInvalid, "port": viaPort, "mapped": viaMapped}

func formOf(name string) viaForm { return viaNames[name] }

func (f viaForm) String() string {
	return [...]string{"invalid", "port", "mapped"}[f]
}

// via returns the value of our Via on an upstream's flow.
func (up *upstream) via(branch string) string {
	return "SIP/2.0/" + up.flow.Proto.String() + " " + up.sentBy() + ";branch=" + branch + ";rport"
}

func (up *upstream) sentBy() string {
	tuple := up.mapping.Tuple()
	if !tuple.IsValid() {
		return up.core.label + ".invalid"
	}
	switch {
	case up.flow.Proto == transport.TLS && up.ViaHost == "auto", up.form == viaMapped:
		return tuple.String()
	case up.form == viaPort:
		const away = 1 // any port but the tuple's own
		port := 1024 + (int(tuple.Port())+away)%(65536-1024)
		return netip.AddrPortFrom(tuple.Addr(), uint16(port)).String()
	}
	return up.core.label + ".invalid"
}

// lanVia returns the value of our Via towards a phone.
func lanVia(p *Path, branch string) string {
	return "SIP/2.0/" + p.Proto.String() + " " + p.Local.String() + ";branch=" + branch + ";rport"
}

// recordRoute returns the URI that keeps us on the path of a dialog with the
// phone: it leads back to the socket it talks to, and names the upstream.
func recordRoute(p *Path, up *upstream) string {
	uri := "<sip:" + up.Name + "@" + p.Local.String()
	switch p.Proto {
	case transport.TCP:
		uri += ";transport=tcp"
	case transport.TLS:
		uri += ";transport=tls"
	}
	return uri + ";lr>"
}

// isOwn reports whether a URI names us on the LAN.
func (c *Core) isOwn(uri message.URI) bool {
	ip, ok := uri.Addr()
	if !ok {
		return false
	}
	port := uri.Port
	if port == 0 {
		port = 5060
		if uri.Scheme == "sips" {
			port = 5061
		}
	}
	return c.own[netip.AddrPortFrom(ip, uint16(port))]
}

// lookForALG compares what came back with what we sent: only bytes of ours that
// were changed on the way prove an ALG.
func (c *Core) lookForALG(up *upstream, m *message.Message, cl *client) {
	for el := range m.Elems(message.Via) {
		returned := m.Elem(el)
		if note := up.mapping.Prove(nat.ALGInVia(cl.via, returned)); note != 0 {
			c.log.Warn("a router edits our SIP messages", "upstream", up.Name,
				"sent", cl.via, "returned", returned, "cause", note.String())
		}
		return
	}
}

// seconds formats a number of seconds for a header.
func seconds(n int) string { return strconv.Itoa(n) }
