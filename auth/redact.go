package auth

import (
	"strings"

	"pinhole/internal/message"
)

const mask = "***"

// Parameters that are masked, by the ends of their names: cnonce and nextnonce
// are nonces too.
var secretNames = []string{"nonce", "response", "rspauth", "password", "passwd", "pwd", "secret", "_token"}

// Redact masks what a log must not hold, in any text (RFC 3261 §26.1.4): nonces
// and responses of the authentication headers, credentials of schemes other
// than Digest, values of password-like names, passwords in SIP URIs, and the
// keys of SDP (a=crypto, a=ice-pwd, a=key-mgmt, k=). Text that was quoted (a
// string within a string, JSON) is understood. It masks too much rather than
// too little, and s itself is returned when there is nothing to mask.
func Redact(s string) string {
	var out strings.Builder
	done := 0 // of s is written
	for i := 0; i < len(s); i++ {
		if s[i] != '=' && s[i] != ':' {
			continue
		}
		start, end := secretAt(s, i)
		if start == end {
			continue
		}
		out.WriteString(s[done:start])
		out.WriteString(mask)
		done, i = end, end-1
	}
	if done == 0 {
		return s
	}
	out.WriteString(s[done:])
	return out.String()
}

// secretAt returns the span to mask after the separator at i, empty for none.
func secretAt(s string, i int) (start, end int) {
	name, quoted := nameBefore(s, i)
	after := skipFolds(s, i+1)
	switch {
	case strings.HasSuffix(name, "authorization"):
		return schemeSecret(s, after)
	case (s[i] == '=' || quoted) && isSecretName(name):
		return valueSpan(s, after)
	case s[i] == '=' && i > 0 && s[i-1] == 'k' && lineStart(s, i-1):
		return after, lineEnd(s, after)
	case s[i] == '=':
		return 0, 0
	case name == "inline", name == "ice-pwd", name == "key-mgmt":
		return after, lineEnd(s, after)
	case name == "sip", name == "sips":
		return uriPassword(s, i+1)
	}
	return 0, 0
}

// nameBefore returns the name that ends before the separator at i, blanks
// between, in lower case, and whether it is quoted.
func nameBefore(s string, i int) (name string, quoted bool) {
	i = len(strings.TrimRight(s[:i], blanks))
	if i > 0 && s[i-1] == '"' {
		quoted = true
		i = len(strings.TrimRight(s[:i-1], `\`))
	}
	start := i
	for start > 0 && isNameByte(s[start-1]) {
		start--
	}
	return strings.ToLower(s[start:i]), quoted
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '*'
}

func isSecretName(name string) bool {
	for _, end := range secretNames {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// skipFolds skips blanks, and line ends only where the next line goes on.
func skipFolds(s string, i int) int {
	for i < len(s) {
		switch {
		case s[i] == ' ', s[i] == '\t', folded(s, i):
			i++
		case s[i] == '\r' && folded(s, i+1):
			i += 2
		default:
			return i
		}
	}
	return i
}

// folded reports whether there is a newline at i after which the line goes on.
func folded(s string, i int) bool {
	return i+1 < len(s) && s[i] == '\n' && (s[i+1] == ' ' || s[i+1] == '\t')
}

// schemeSecret masks credentials whole, unless they are Digest's, whose
// parameters are masked one by one.
func schemeSecret(s string, i int) (start, end int) {
	i = skip(s, i, `\"`)
	for start = i; i < len(s) && isNameByte(s[i]); {
		i++
	}
	if message.EqualFold(s[start:i], schemeDigest) {
		return 0, 0
	}
	if rest := skipFolds(s, i); rest > i && rest < lineEnd(s, i) {
		start = rest // the scheme stays
	}
	return start, lineEnd(s, start)
}

// valueSpan is the value at i: a quoted string without its quotes, or all up to
// a blank or a delimiter. A quote that is not closed ends with its line, so that
// it does not turn the quotes of the next line inside out.
func valueSpan(s string, i int) (start, end int) {
	start = skip(s, i, `\`)
	if start == len(s) || s[start] != '"' {
		if j := strings.IndexAny(s[i:], blanks+`,;"'\<>&)]}`); j >= 0 {
			return i, i + j
		}
		return i, len(s)
	}
	level := start - i // backslashes before the quote: the text was quoted itself
	start++
	run := 0
	for end = start; end < len(s); end++ {
		switch s[end] {
		case '\\':
			run++
			continue
		case '\r', '\n':
			if endsLine(s, end) {
				return start, end
			}
		case '"':
			// Each quoting doubles the backslashes and adds one, so an end has
			// level of them and pairs of escaped ones.
			if run%(2*level+2) == level {
				return start, end - level
			}
		}
		run = 0
	}
	return start, end
}

// uriPassword is the password of the URI whose scheme ends before i: what
// stands between a colon and an at sign.
func uriPassword(s string, i int) (start, end int) {
	const most = 256 // keeps the whole scan linear
	for last := min(len(s), i+most); i < last; i++ {
		switch c := s[i]; {
		case c == '@' && start > 0:
			return start, i
		case c == ':' && start == 0:
			start = i + 1
		case c == '@', strings.IndexByte(blanks+`<>"\`, c) >= 0:
			return 0, 0
		}
	}
	return 0, 0
}

// lineStart reports whether i begins a line, also in text where line ends are
// written as \r and \n.
func lineStart(s string, i int) bool {
	return i == 0 || s[i-1] == '\n' || strings.HasSuffix(s[:i], `\n`)
}

// endsLine reports whether the line ends with the octet at i.
func endsLine(s string, i int) bool {
	return s[i] == '\n' && !folded(s, i) || s[i] == '\r' && !folded(s, i+1)
}

// lineEnd returns the end of the line that holds i, its folds included.
func lineEnd(s string, i int) int {
	for ; i < len(s); i++ {
		switch {
		case endsLine(s, i):
			return i
		case strings.HasPrefix(s[i:], `\r\n `), strings.HasPrefix(s[i:], `\r\n\t`):
			i += len(`\r\n`)
		case strings.HasPrefix(s[i:], `\r`), strings.HasPrefix(s[i:], `\n`):
			return i
		}
	}
	return i
}
