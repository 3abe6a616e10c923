package message

import (
	"iter"
	"strings"
)

// paramEnd returns the offset of the first ';' of s from i on that is not in
// quotes, len(s) if there is none.
func paramEnd(s string, i int) int {
	for {
		i = special(s, i, ';')
		switch {
		case i >= len(s):
			return len(s)
		case s[i] == ';':
			return i
		case s[i] == '"':
			i = quotedEnd(s, i)
		default:
			i++
		}
	}
}

// scanParam reads the parameter that starts at s[i], which may lack its
// semicolon if it is the first one, and returns the offsets of its name and
// value and of the next one's semicolon. One inside quotes does not end it.
func scanParam(s string, i int) (nameStart, nameEnd, valStart, valEnd, end int) {
	if s[i] == ';' {
		i++
	}
	end = paramEnd(s, i)
	nameStart, valEnd = trim(s, i, end)
	nameEnd, valStart = valEnd, valEnd
	if eq := strings.IndexByte(s[nameStart:valEnd], '='); eq >= 0 {
		valStart = min(skipBlanks(s, nameStart+eq+1), valEnd)
		_, nameEnd = trim(s, nameStart, nameStart+eq)
	}
	return nameStart, nameEnd, valStart, valEnd, end
}

// Param returns the value of the parameter name (compared without case) of a
// list such as ";a=b;c", as written: quotes stay. ok tells whether it is there
// at all; a parameter without a value has "".
func Param(params, name string) (value string, ok bool) {
	for i := skipBlanks(params, 0); i < len(params); {
		ns, ne, vs, ve, end := scanParam(params, i)
		if ne-ns == len(name) && ne > ns && EqualFold(params[ns:ne], name) {
			return params[vs:ve], true
		}
		i = end
	}
	return "", false
}

// ParamSpan returns the offsets of the whole ";name=value" in params: from its
// semicolon up to the next one or the end, so that cutting it leaves a list.
func ParamSpan(params, name string) (start, end int, ok bool) {
	for i := skipBlanks(params, 0); i < len(params); i = end {
		var ns, ne int
		ns, ne, _, _, end = scanParam(params, i)
		if ne > ns && EqualFold(params[ns:ne], name) {
			return i, end, true
		}
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
		ns, ne, vs, ve, end := scanParam(params, i)
		if ns < ne && !yield(params[ns:ne], params[vs:ve]) {
			return
		}
		i = end
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
	var n uint64
	for i := 0; i < len(s); i++ {
		d := uint64(s[i] - '0')
		if d > 9 || d > max || n > (max-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, s != ""
}
