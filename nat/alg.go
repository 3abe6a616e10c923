package nat

import (
	"net/netip"

	"pinhole/internal/message"
)

// ALG says which bytes of ours came back changed: the one proof that an
// application-level gateway edits SIP on the way. A bit set; 0 proves nothing.
type ALG uint8

// What came back changed.
const (
	ALGSentBy  ALG = 1 << iota // the sent-by of our Via
	ALGBranch                  // the branch of our Via
	ALGContact                 // the host and port of our Contact
)

// ALGInVia compares our topmost Via as it was sent with the one in the answer.
// Providers echo sent-by and branch (RFC 3261 §8.2.6.2) and may only add
// parameters; that one writes the host in other case, or the default port out,
// proves nothing, nor does a Via that cannot be read.
func ALGInVia(sent, returned string) ALG {
	s, err := message.ParseVia(sent)
	if err != nil {
		return 0
	}
	r, err := message.ParseVia(returned)
	if err != nil {
		return 0
	}
	var a ALG
	if !message.EqualFold(s.Host, r.Host) || sentByPort(s) != sentByPort(r) {
		a |= ALGSentBy
	}
	sb, _ := message.Param(s.Params, "branch")
	rb, _ := message.Param(r.Params, "branch")
	if sb != rb {
		a |= ALGBranch
	}
	return a
}

// sentByPort is the port of sent-by with the transport's default.
func sentByPort(v message.ViaValue) int {
	switch {
	case v.Port != 0:
		return v.Port
	case message.EqualFold(v.Transport, "TLS"):
		return 5061
	}
	return 5060
}

// ALGInContact judges the URI of our own Contact, found by its token, in an
// answer of the provider: a URI that was sent with another host or port and
// names the flow's local address and port now was changed on the way in, for
// the provider cannot know these.
func ALGInContact(sent, returned string, local netip.AddrPort) ALG {
	s, ok := hostPort(sent)
	if !ok || s == unmap(local) {
		return 0
	}
	if r, ok := hostPort(returned); ok && r == unmap(local) {
		return ALGContact
	}
	return 0
}

// hostPort reads a sip URI whose host is an IP address.
func hostPort(uri string) (netip.AddrPort, bool) {
	u, err := message.ParseURI(uri)
	if err != nil {
		return netip.AddrPort{}, false
	}
	ip, ok := u.Addr()
	port := u.Port
	if port == 0 {
		port = 5060
		if transport, _ := message.Param(u.Params, "transport"); message.EqualFold(transport, "tls") {
			port = 5061
		}
	}
	return netip.AddrPortFrom(ip, uint16(port)), ok
}

// Prove keeps the proof a with the mapping and returns the note for the log
// when it is the first of this flow.
func (m *Mapping) Prove(a ALG) Note {
	m.alg |= a
	if a == 0 {
		return 0
	}
	return m.once(RouterEdits)
}

// ALG returns all proofs on this flow so far.
func (m *Mapping) ALG() ALG { return m.alg }
