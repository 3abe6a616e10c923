package message

import (
	"fmt"
	"strings"
)

// A NameAddr is one value of From, To, Contact, Route and their like
// (RFC 3261 §20.10), taken apart.
type NameAddr struct {
	Display string // as written, quotes included; "" if none
	URI     string // "*" in a Contact that means all
	Params  string // the header's own parameters, from the first ';' after the URI; "" if none
	Angle   bool   // the URI is in angle brackets

	// Offsets in the string given. ParamsStart is where a parameter may be
	// put: before Params, or past the value when there are none.
	URIStart, URIEnd, ParamsStart int
}

// ParseNameAddr takes one value (see Message.Elems for lists) apart. Without
// angle brackets everything after the first ';' is a header parameter, and a
// '?' is an error (RFC 3261 §20.10). Folds count as blanks. A display name
// without quotes may hold more than the grammar's tokens, but nothing that
// changes where the URI is taken to start.
func ParseNameAddr(s string) (NameAddr, error) {
	var a NameAddr
	if bad := a.read(s); bad != "" {
		return NameAddr{}, fmt.Errorf("reading address %q: bad %s", s, bad)
	}
	return a, nil
}

// read is ParseNameAddr in place: it returns what is bad, "" if nothing.
func (a *NameAddr) read(s string) (bad string) {
	i, bad := a.head(s, 0)
	if bad != "" {
		return bad
	}
	if !a.wellFormed() {
		return "URI"
	}
	_, end := trim(s, i, len(s))
	if a.ParamsStart = i; i < end {
		a.Params = s[i:end]
		if s[i] != ';' || !quotesClosed(a.Params) {
			return "parameters"
		}
	}
	return ""
}

// head reads the display name and the URI of the value that starts at s[i],
// without looking closely at the URI, and returns the offset past it and the
// blanks after it.
func (a *NameAddr) head(s string, i int) (next int, bad string) {
	*a = NameAddr{}
	i = skipBlanks(s, i)
	start := i
	if i < len(s) && s[i] == '"' {
		if i = quotedEnd(s, i); i > len(s) {
			return 0, "quotes"
		}
		a.Display = s[start:i]
		if i = skipBlanks(s, i); i >= len(s) || s[i] != '<' {
			return 0, "display name"
		}
	}
	for i < len(s) && class[s[i]]&classPlain != 0 {
		i++
	}
	if i >= len(s) || s[i] != '<' {
		_, end := trim(s, start, i)
		a.URI, a.URIStart, a.URIEnd = s[start:end], start, end
		return end + skipBlanks(s[end:], 0), ""
	}
	if a.Display == "" {
		_, end := trim(s, start, i)
		a.Display = s[start:end]
	}
	gt := strings.IndexByte(s[i:], '>')
	if gt < 0 {
		return 0, "angle brackets"
	}
	a.Angle, a.URI, a.URIStart, a.URIEnd = true, s[i+1:i+gt], i+1, i+gt
	return skipBlanks(s, i+gt+1), ""
}

// wellFormed checks the URI as far as every scheme goes.
func (a *NameAddr) wellFormed() bool {
	if !a.Angle && (a.URI == "*" || strings.IndexByte(a.URI, '?') >= 0) {
		return a.URI == "*"
	}
	if len(a.URI) > 4 && a.URI[:4] == "sip:" {
		return inURI(a.URI[4:])
	}
	return schemeEnd(a.URI) > 0 && inURI(a.URI)
}

// quotesClosed tells whether every quoted string of s ends.
func quotesClosed(s string) bool {
	i := strings.IndexByte(s, '"')
	if i < 0 {
		return true
	}
	if strings.IndexByte(s[i:], '\\') < 0 {
		return strings.Count(s[i:], `"`)%2 == 0
	}
	for i >= 0 && i < len(s) {
		if i = quotedEnd(s, i); i > len(s) {
			return false
		}
		next := strings.IndexByte(s[i:], '"')
		if next < 0 {
			break
		}
		i += next
	}
	return true
}
