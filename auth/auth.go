// Package auth says what challenges and refusals mean (RFC 3261 §22, RFC 7616,
// RFC 8760): it reads the values of the authentication headers, explains in an
// admin's words why a provider refuses a phone, and masks credentials in
// whatever may be logged. It never changes or answers a challenge: those pass
// through byte for byte. It owns nothing: values, no I/O.
package auth

import (
	"errors"
	"strings"

	"pinhole/internal/message"
)

// The only scheme whose parameters are understood; others pass too.
const schemeDigest = "Digest"

var (
	errScheme = errors.New("no authentication scheme")
	errQuote  = errors.New("quote not closed")
)

const blanks = " \t\r\n"

// An item is what a list of challenges is made of: a scheme, or a parameter
// with its value as written.
type item struct {
	name, value string
	scheme      bool
	start, end  int // in the text scanned
}

// nextItem reads the item of s at or after i. Folds count as blanks. A name is
// a scheme when blanks and no '=' follow it, or nothing at all where it comes
// first: what is no scheme there is an error. ok is false at the end.
func nextItem(s string, i int) (it item, ok bool, err error) {
	first := i == 0
	i = skip(s, i, blanks+",")
	it.start, it.end = i, nameEnd(s, i)
	it.name = s[i:it.end]
	i = skip(s, it.end, blanks)
	switch {
	case first && (it.name == "" || i == it.end && i < len(s)):
		return it, false, errScheme
	case it.start == len(s):
		return it, false, nil
	case first, i > it.end && i < len(s) && s[i] != '=' && s[i] != ',':
		it.scheme = true
		return it, true, nil
	case i == len(s) || s[i] != '=':
		it.end = max(it.end, it.start+1) // a stray quote has no name
		return it, true, nil
	}
	i = skip(s, i+1, blanks)
	if it.end = valueEnd(s, i); it.end < 0 {
		return it, false, errQuote
	}
	it.value = strings.TrimRight(s[i:it.end], blanks)
	return it, true, nil
}

// nameEnd returns the end of the scheme or parameter name at i.
func nameEnd(s string, i int) int {
	if j := strings.IndexAny(s[i:], "=,\""+blanks); j >= 0 {
		return i + j
	}
	return len(s)
}

// valueEnd returns the end of the parameter value at i, up to the comma when it
// is not quoted; -1 where a quote is not closed.
func valueEnd(s string, i int) int {
	if i == len(s) || s[i] != '"' {
		if j := strings.IndexByte(s[i:], ','); j >= 0 {
			return i + j
		}
		return len(s)
	}
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func skip(s string, i int, set string) int {
	for i < len(s) && strings.IndexByte(set, s[i]) >= 0 {
		i++
	}
	return i
}

// isTrue reads stale and userhash, which are written with and without quotes.
func isTrue(v string) bool { return message.EqualFold(message.Unquote(v), "true") }
