package rewrite

import (
	"net/netip"
	"strconv"
	"strings"

	"pinhole/internal/message"
)

// TokenParam is the URI parameter that carries a binding's token.
const TokenParam = "b"

// An Alias is a Contact URI that stands for a phone at the provider.
type Alias struct {
	User      string         // the AOR's user part, as written
	Token     string         // the binding's token
	Host      string         // where the provider reaches us, when Addr is not known: a name
	Addr      netip.AddrPort // the mapped tuple; the zero value: Host
	Transport string         // "udp", "tcp" or "tls"
	Placement string         // where the token stands: "param" (default), "user" or "both"
	Push      string         // RFC 8599 parameters of the phone's own URI, ";pn-…=…"
}

// String returns the URI, without brackets.
func (a Alias) String() string {
	var b strings.Builder
	b.WriteString("sip:")
	if a.Placement == "user" || a.Placement == "both" || a.User == "" {
		b.WriteString(a.Token)
	} else {
		b.WriteString(a.User)
	}
	b.WriteByte('@')
	if a.Addr.IsValid() {
		b.WriteString(a.Addr.String())
	} else {
		b.WriteString(a.Host)
	}
	if a.Transport != "udp" {
		b.WriteString(";transport=" + a.Transport)
	}
	if a.Placement != "user" {
		b.WriteString(";" + TokenParam + "=" + a.Token)
	}
	b.WriteString(a.Push)
	return b.String()
}

// PushParams returns the RFC 8599 parameters of a URI's parameter list, which
// the registrar needs and so stay in the alias.
func PushParams(params string) string {
	var b strings.Builder
	for name, value := range message.Params(params) {
		if !strings.HasPrefix(strings.ToLower(name), "pn-") {
			continue
		}
		b.WriteString(";" + name)
		if value != "" {
			b.WriteString("=" + value)
		}
	}
	return b.String()
}

// TokenOf returns the token that a URI may carry: the user part and the b
// parameter, in lower case, "" where absent. Whether either is a token of ours
// is for the binding table to say.
func TokenOf(uri message.URI) (user, param string) {
	if p, ok := message.Param(uri.Params, TokenParam); ok {
		param = strings.ToLower(p)
	}
	return strings.ToLower(uri.User), param
}

// RegisterContact returns the Contact element that goes upstream for one that
// the phone registers: the alias in brackets and the phone's header parameters
// as they came, but reg-id, which asks for outbound support that only a first
// hop with Path can give (RFC 5626 §6).
func RegisterContact(na message.NameAddr, alias string) string {
	return "<" + alias + ">" + dropParam(message.Unfold(na.Params), "reg-id")
}

// DialogContact returns the Contact element of a request or response inside a
// dialog for the phone's own one.
func DialogContact(na message.NameAddr, alias string) string {
	params := dropParam(message.Unfold(na.Params), "reg-id")
	return "<" + alias + ">" + dropParam(params, "expires")
}

// PhoneContact returns the element that the phone gets back for its own Contact
// (element, as it sent it): its bytes, with expires set to lease seconds and
// what the registrar added (granted, the parameters of the element that came
// back) behind. A negative lease leaves expires alone.
func PhoneContact(element, granted string, lease int) string {
	element = message.Unfold(element)
	na, err := message.ParseNameAddr(element)
	if err != nil {
		return element
	}
	head, params := element[:na.ParamsStart], element[na.ParamsStart:]
	if lease >= 0 {
		params = setParam(params, "expires", strconv.Itoa(lease))
	}
	for name, value := range message.Params(message.Unfold(granted)) {
		if _, own := message.Param(params, name); own {
			continue
		}
		params += ";" + name
		if value != "" {
			params += "=" + value
		}
	}
	return head + params
}

// setParam sets the value of a parameter where it stands, or adds it.
func setParam(params, name, value string) string {
	start, end, ok := message.ParamSpan(params, name)
	if !ok {
		return params + ";" + name + "=" + value
	}
	old := params[start:end]
	if eq := strings.IndexByte(old, '='); eq >= 0 {
		return params[:start] + old[:eq+1] + value + params[end:]
	}
	return params[:end] + "=" + value + params[end:]
}

// ContactExpiry returns what a Contact's own parameters ask for in seconds: its
// expires parameter, 3600 where that is malformed (RFC 3261 §10.2.1.1), and
// false where there is none.
func ContactExpiry(params string) (int, bool) {
	v, ok := message.Param(params, "expires")
	if !ok {
		return 0, false
	}
	return expiry(v), true
}

// HeaderExpiry returns the value of the Expires header in the same way.
func HeaderExpiry(m *message.Message) (int, bool) {
	l, ok := m.First(message.Expires)
	if !ok {
		return 0, false
	}
	return expiry(m.Value(l)), true
}

func expiry(v string) int {
	const malformed = 3600
	n, ok := message.ParseUint(strings.TrimSpace(v), 1<<32-1)
	if !ok {
		return malformed
	}
	return int(n)
}

// TargetURI returns a phone's Contact URI as a Request-URI: without a method
// parameter and without URI headers, which must not stand there (RFC 3261
// §19.1.1).
func TargetURI(uri string) string {
	if i := strings.IndexByte(uri, '?'); i >= 0 {
		uri = uri[:i]
	}
	return dropURIParam(uri, "method")
}

// dropURIParam removes a parameter from the parameters of a whole URI.
func dropURIParam(uri, name string) string {
	u, err := message.ParseURI(uri)
	if err != nil || u.Params == "" {
		return uri
	}
	head := strings.TrimSuffix(uri, u.Params)
	return head + dropParam(u.Params, name)
}

// SameURI compares two SIP URIs as RFC 3261 §19.1.4 does, but for escapes and
// URI headers: user (case counts), host, port, and every parameter that both
// have; transport, user, ttl, method and maddr must be in both or in none.
func SameURI(a, b string) bool {
	if a == b {
		return true
	}
	ua, errA := message.ParseURI(a)
	ub, errB := message.ParseURI(b)
	if errA != nil || errB != nil {
		return false
	}
	return ua.User == ub.User && message.EqualFold(ua.Host, ub.Host) && ua.Port == ub.Port &&
		message.EqualFold(ua.Scheme, ub.Scheme) && agree(ua.Params, ub.Params) && agree(ub.Params, ua.Params)
}

// agree reports whether each parameter of one URI is the same in the other one
// or may be missing there.
func agree(params, other string) bool {
	for name, value := range message.Params(params) {
		v, ok := message.Param(other, name)
		switch strings.ToLower(name) {
		case "transport", "user", "ttl", "method", "maddr":
			if !ok {
				return false
			}
		}
		if ok && !message.EqualFold(v, value) {
			return false
		}
	}
	return true
}

// SetExpires sets the expires parameter of a Contact element.
func SetExpires(element string, n int) string {
	na, err := message.ParseNameAddr(element)
	if err != nil {
		return element
	}
	return element[:na.ParamsStart] + setParam(element[na.ParamsStart:], "expires", strconv.Itoa(n))
}
