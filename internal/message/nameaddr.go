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
	i, end := trim(s, 0, len(s))
	start := i
	if i < end && s[i] == '"' {
		if i = quotedEnd(s, i); i > end {
			return a, fmt.Errorf("reading address %q: quote not closed", s)
		}
		a.Display = s[start:i]
		if i = skipBlanks(s, i); i >= end || s[i] != '<' {
			return a, fmt.Errorf("reading address %q: no < after the name", s)
		}
	}
	for i < end && class[s[i]]&classDisplay == 0 {
		i++
	}
	if i < end && s[i] == '<' {
		if a.Display == "" {
			_, e := trim(s, start, i)
			a.Display = s[start:e]
		}
		gt := strings.IndexByte(s[i:end], '>')
		if gt < 0 {
			return a, fmt.Errorf("reading address %q: no >", s)
		}
		a.Angle, a.URIStart, a.URIEnd = true, i+1, i+gt
		i = skipBlanks(s, i+gt+1)
	} else {
		_, e := trim(s, start, i)
		a.URIStart, a.URIEnd = start, e
	}
	a.URI = s[a.URIStart:a.URIEnd]
	if !a.wellFormed() {
		return a, fmt.Errorf("reading address %q: bad URI", s)
	}
	a.ParamsStart = min(i, end)
	if i < end {
		if s[i] != ';' || !quotesClosed(s[i:end]) {
			return a, fmt.Errorf("reading address %q: bad parameters", s)
		}
		a.Params = s[i:end]
	}
	return a, nil
}

// wellFormed checks the URI as far as every scheme goes.
func (a *NameAddr) wellFormed() bool {
	if a.URI == "*" {
		return !a.Angle
	}
	colon := strings.IndexByte(a.URI, ':')
	return colon > 0 && isScheme(a.URI[:colon]) && none(a.URI, classNotURI) &&
		(a.Angle || strings.IndexByte(a.URI, '?') < 0)
}

// quotesClosed tells whether every quoted string of s ends.
func quotesClosed(s string) bool {
	i := strings.IndexByte(s, '"')
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
