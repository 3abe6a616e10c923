package message

import "strings"

// Classes of octets (RFC 3261 §25.1).
const (
	classBlank = 1 << iota // SP, HT and, as values are folded, CR and LF
	classToken             // token
	classHost              // host name or IPv4 address; also "_", which names in the field have
	classURI               // what may stand in a URI: no blanks, controls, quotes and angle brackets
	classPlain             // what may stand in a display name without quotes
)

var class = func() (t [256]uint8) {
	set := func(s string, c uint8) {
		for i := 0; i < len(s); i++ {
			t[s[i]] |= c
		}
	}
	const alphanum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	set(" \t\r\n", classBlank)
	set(alphanum+"-.!%*_+`'~", classToken)
	set(alphanum+"-._", classHost)
	for c := range 256 {
		if c > ' ' && c != 0x7f && c != '"' && c != '<' && c != '>' {
			t[c] |= classURI
		}
		if c != '"' && c != '<' && c != '>' && c != ',' && c != ';' {
			t[c] |= classPlain
		}
	}
	return t
}()

func isBlank(c byte) bool { return class[c]&classBlank != 0 }

// all tells whether s is not empty and all of class c.
func all(s string, c uint8) bool {
	for i := 0; i < len(s); i++ {
		if class[s[i]]&c == 0 {
			return false
		}
	}
	return s != ""
}

func isToken(s string) bool { return all(s, classToken) }

// skipBlanks returns the first offset from i on that is not blank.
func skipBlanks(s string, i int) int {
	for i < len(s) && isBlank(s[i]) {
		i++
	}
	return i
}

// trim narrows [start, end) of s by the blanks at both ends.
func trim(s string, start, end int) (int, int) {
	for start < end && isBlank(s[start]) {
		start++
	}
	for start < end && isBlank(s[end-1]) {
		end--
	}
	return start, end
}

// quotedEnd returns the offset past the quoted string that starts at s[i], or
// len(s)+1 when nothing closes it.
func quotedEnd(s string, i int) int {
	i++
	if n := strings.IndexByte(s[i:], '"'); n == 0 || n > 0 && s[i+n-1] != '\\' {
		return i + n + 1
	}
	for ; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(s) + 1
}

// EqualFold compares without regard to the case of ASCII letters.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
			return false
		}
	}
	return true
}

// Unfold returns v with each fold (CRLF and the blanks round it) as one space
// (RFC 3261 §7.3.1); v itself when it has none.
func Unfold(v string) string {
	if strings.IndexByte(v, '\n') < 0 && strings.IndexByte(v, '\r') < 0 {
		return v
	}
	b := make([]byte, 0, len(v))
	for i := 0; i < len(v); {
		if !isBlank(v[i]) {
			b = append(b, v[i])
			i++
			continue
		}
		j := skipBlanks(v, i)
		if run := v[i:j]; strings.IndexByte(run, '\n') < 0 && strings.IndexByte(run, '\r') < 0 {
			b = append(b, run...)
		} else {
			b = append(b, ' ')
		}
		i = j
	}
	return string(b)
}
