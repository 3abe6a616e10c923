package message

import (
	"iter"
	"strings"
)

// A param is one ";name=value" of a list, as offsets: start is its semicolon,
// end the next one or the end of the list.
type param struct {
	start, end         int
	nameStart, nameEnd int
	valStart, valEnd   int
}

// scanParam reads the parameter that starts at s[i]; a first one may lack its
// semicolon. A semicolon inside quotes does not end it.
func scanParam(s string, i int) param {
	p := param{start: i}
	if i < len(s) && s[i] == ';' {
		i++
	}
	eq := -1
	j := i
scan:
	for j < len(s) {
		switch s[j] {
		case ';':
			break scan
		case '=':
			if eq < 0 {
				eq = j
			}
		case '"':
			j = quotedEnd(s, j) - 1
		}
		j++
	}
	j = min(j, len(s))
	p.end = j
	if eq < 0 {
		p.nameStart, p.nameEnd = trim(s, i, j)
		p.valStart, p.valEnd = p.nameEnd, p.nameEnd
		return p
	}
	p.nameStart, p.nameEnd = trim(s, i, eq)
	p.valStart, p.valEnd = trim(s, eq+1, j)
	return p
}

// Param returns the value of the parameter name (compared without case) of a
// list such as ";a=b;c", as written: quotes stay. ok tells whether it is there
// at all; a parameter without a value has "".
func Param(params, name string) (value string, ok bool) {
	for i := skipBlanks(params, 0); i < len(params); {
		p := scanParam(params, i)
		if EqualFold(params[p.nameStart:p.nameEnd], name) && name != "" {
			return params[p.valStart:p.valEnd], true
		}
		i = p.end
	}
	return "", false
}

// ParamSpan returns the offsets of the whole ";name=value" in params: from its
// semicolon up to the next one or the end, so that cutting it leaves a list.
func ParamSpan(params, name string) (start, end int, ok bool) {
	for i := skipBlanks(params, 0); i < len(params); {
		p := scanParam(params, i)
		if EqualFold(params[p.nameStart:p.nameEnd], name) && name != "" {
			return p.start, p.end, true
		}
		i = p.end
	}
	return 0, 0, false
}

// Params ranges over the names and values of a list such as ";a=b;c", in
// order and as written; empty parameters are left out.
func Params(params string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		eachParam(params, yield)
	}
}

func eachParam(params string, yield func(string, string) bool) {
	for i := skipBlanks(params, 0); i < len(params); {
		p := scanParam(params, i)
		if p.nameStart < p.nameEnd && !yield(params[p.nameStart:p.nameEnd], params[p.valStart:p.valEnd]) {
			return
		}
		i = p.end
	}
}

// Unquote returns the text of a quoted string without its quotes and
// backslashes (RFC 3261 §25.1), and anything else as it is.
func Unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// ParseUint reads a strict decimal number of at most max: digits only, at
// least one; leading zeros count for nothing.
func ParseUint(s string, max uint64) (uint64, bool) {
	if s == "" {
		return 0, false
	}
	var n uint64
	for i := 0; i < len(s); i++ {
		d := uint64(s[i] - '0')
		if d > 9 || n > (max-d)/10 || d > max {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}
