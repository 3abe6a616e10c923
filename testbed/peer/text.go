package peer

import (
	"strconv"
	"strings"
)

// A field is one header line: its name and value as written, blanks round the
// value removed, folding kept.
type field struct{ name, value string }

// A text is a message split into its parts and nothing more: no value is
// interpreted, so that what a peer stores or echoes stays byte for byte.
type text struct {
	start  string
	fields []field
	body   string
}

// compact maps the compact header names to the long ones (RFC 3261 §7.3.3).
var compact = map[string]string{
	"a": "accept-contact", "b": "referred-by", "c": "content-type", "e": "content-encoding",
	"f": "from", "i": "call-id", "k": "supported", "l": "content-length", "m": "contact",
	"o": "event", "r": "refer-to", "s": "subject", "t": "to", "u": "allow-events",
	"v": "via", "x": "session-expires",
}

// canonical returns the long name of a header in lower case.
func canonical(name string) string {
	n := strings.ToLower(strings.TrimSpace(name))
	if long, ok := compact[n]; ok {
		return long
	}
	return n
}

// split takes raw apart; ok is false when it has no start line or a line that
// is no header.
func split(raw string) (t text, ok bool) {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	t.body = body
	lines := strings.Split(head, "\r\n")
	t.start = lines[0]
	for _, line := range lines[1:] {
		if line != "" && (line[0] == ' ' || line[0] == '\t') && len(t.fields) > 0 {
			t.fields[len(t.fields)-1].value += "\r\n" + line
			continue
		}
		name, value, found := strings.Cut(line, ":")
		if !found {
			return t, false
		}
		t.fields = append(t.fields, field{strings.TrimRight(name, " \t"), strings.Trim(value, " \t")})
	}
	return t, t.start != ""
}

// String puts the message together again.
func (t text) String() string {
	var b strings.Builder
	b.WriteString(t.start + "\r\n")
	for _, f := range t.fields {
		b.WriteString(f.name + ": " + f.value + "\r\n")
	}
	b.WriteString("\r\n" + t.body)
	return b.String()
}

// values returns the values of all lines of a header, in order.
func (t text) values(name string) []string {
	var out []string
	for _, f := range t.fields {
		if canonical(f.name) == canonical(name) {
			out = append(out, f.value)
		}
	}
	return out
}

// first returns the value of the first line of a header, "" if there is none.
func (t text) first(name string) string {
	for _, f := range t.fields {
		if canonical(f.name) == canonical(name) {
			return f.value
		}
	}
	return ""
}

// elems returns the comma-separated elements of all lines of a header.
func (t text) elems(name string) []string {
	var out []string
	for _, v := range t.values(name) {
		out = append(out, splitList(v, ',')...)
	}
	return out
}

// splitList cuts v at each sep outside quotes and angle brackets, and trims
// the pieces, folding included.
func splitList(v string, sep byte) []string {
	var out []string
	quoted, angle, start := false, 0, 0
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			angle++
		case c == '>':
			angle--
		case c == sep && angle == 0:
			out = append(out, strings.Trim(v[start:i], " \t\r\n"))
			start = i + 1
		}
	}
	return append(out, strings.Trim(v[start:], " \t\r\n"))
}

// nameAddr cuts one element into display name, URI and header parameters. The
// parameters start with their ';' or are empty.
func nameAddr(elem string) (display, uri, params string) {
	open := indexOutside(elem, '<')
	if open < 0 {
		uri, params = elem, ""
		if semi := strings.IndexByte(elem, ';'); semi >= 0 {
			uri, params = elem[:semi], elem[semi:]
		}
		return "", strings.TrimSpace(uri), params
	}
	end := strings.IndexByte(elem[open:], '>')
	if end < 0 {
		return "", strings.TrimSpace(elem[open+1:]), ""
	}
	end += open
	params = strings.Trim(elem[end+1:], " \t\r\n")
	return strings.TrimSpace(elem[:open]), elem[open+1 : end], params
}

// indexOutside finds the first c that stands outside quotes.
func indexOutside(s string, c byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == c && !quoted:
			return i
		}
	}
	return -1
}

// param returns the value of a parameter in a ";a=b;c" list, quotes kept.
func param(params, name string) (value string, ok bool) {
	for _, p := range splitList(params, ';') {
		n, v, _ := strings.Cut(p, "=")
		if p != "" && strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

// tag returns the tag of a From or To value.
func tag(value string) string {
	_, _, params := nameAddr(value)
	t, _ := param(params, "tag")
	return t
}

// A uri is a SIP URI cut at its delimiters, nothing unescaped.
type uri struct {
	scheme, user, host string
	port               int
	params, headers    string
}

// parseURI cuts s; a URI of another scheme has only its scheme and host.
func parseURI(s string) uri {
	var u uri
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok {
		return u
	}
	u.scheme = strings.ToLower(scheme)
	if u.scheme != "sip" && u.scheme != "sips" {
		u.host = rest
		return u
	}
	if at := strings.IndexByte(rest, '@'); at >= 0 {
		u.user, rest = rest[:at], rest[at+1:]
	}
	rest, u.headers, _ = strings.Cut(rest, "?")
	if semi := strings.IndexByte(rest, ';'); semi >= 0 {
		rest, u.params = rest[:semi], rest[semi:]
	}
	u.host = rest
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, ']') {
		u.host = rest[:colon]
		u.port, _ = strconv.Atoi(rest[colon+1:])
	}
	return u
}

// sameURI compares two URIs as RFC 3261 §19.1.4 says.
func sameURI(a, b string) bool {
	x, y := parseURI(a), parseURI(b)
	if x.scheme != y.scheme || x.user != y.user || !strings.EqualFold(x.host, y.host) || x.port != y.port {
		return false
	}
	if !strings.EqualFold(x.headers, y.headers) {
		return false
	}
	return paramsCover(x.params, y.params) && paramsCover(y.params, x.params)
}

// paramsCover says whether each parameter of a agrees with b: equal where both
// have it; user, ttl, method, maddr and transport must be in both.
func paramsCover(a, b string) bool {
	for _, p := range splitList(a, ';') {
		if p == "" {
			continue
		}
		name, value, _ := strings.Cut(p, "=")
		other, has := param(b, name)
		switch strings.ToLower(name) {
		case "user", "ttl", "method", "maddr", "transport":
			if !has {
				return false
			}
		}
		if has && !strings.EqualFold(value, other) {
			return false
		}
	}
	return true
}
