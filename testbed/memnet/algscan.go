package memnet

import (
	"net/netip"
	"strconv"
	"strings"
)

// A span is part of a message.
type span struct{ start, end int }

// fields returns the values of the header fields of that name. The first line
// is none, and the header ends at the empty line.
func fields(msg, name, compact string) []span {
	var all []span
	for at := 0; ; {
		nl := strings.IndexByte(msg[at:], '\n')
		if nl < 0 {
			return all
		}
		at += nl + 1
		line := msg[at:]
		if strings.HasPrefix(line, "\r\n") {
			return all
		}
		n := 0
		switch {
		case prefixFold(line, name):
			n = len(name)
		case compact != "" && prefixFold(line, compact) && len(line) > 1 && !isAlpha(line[1]):
			n = len(compact)
		default:
			continue
		}
		value := strings.TrimLeft(line[n:], " \t")
		if !strings.HasPrefix(value, ":") {
			continue
		}
		value = strings.TrimLeft(value[1:], " \t")
		start := at + len(line) - len(value)
		all = append(all, span{start, fieldEnd(msg, start)})
	}
}

// fieldEnd returns where the header field that goes on at from ends.
func fieldEnd(msg string, from int) int {
	for i := from; ; i++ {
		nl := strings.IndexByte(msg[i:], '\n')
		if nl < 0 {
			return len(msg)
		}
		i += nl
		if i+1 >= len(msg) || msg[i+1] != ' ' && msg[i+1] != '\t' {
			return i
		}
	}
}

// valueEnd returns where the header value that goes on at from ends: at a
// comma or with the field.
func valueEnd(msg string, from int) int {
	end := fieldEnd(msg, from)
	if comma := strings.IndexByte(msg[from:end], ','); comma >= 0 {
		return from + comma
	}
	return end
}

// afterUser returns where the host begins of the URI that goes on at from: past
// an @ in the same line.
func afterUser(msg string, from int) int {
	line := msg[from:]
	if end := strings.IndexAny(line, "\r\n"); end >= 0 {
		line = line[:end]
	}
	return from + strings.IndexByte(line, '@') + 1
}

// hostPort reads an IPv4 address and a port, 5060 where there is none; bad is a
// port below 1024 or above 65535.
func hostPort(msg string, from int) (s span, addr netip.AddrPort, ok, bad bool) {
	end := from
	for end < len(msg) && (msg[end] == '.' || msg[end] >= '0' && msg[end] <= '9') {
		end++
	}
	a, err := netip.ParseAddr(msg[from:end])
	if err != nil {
		return span{}, netip.AddrPort{}, false, false
	}
	port := sipPort
	if end < len(msg) && msg[end] == ':' {
		digits := leadingDigits(msg[end+1:])
		port, _ = strconv.Atoi(digits)
		end += 1 + len(digits)
		if port < 1024 || port > 65535 {
			return span{}, netip.AddrPort{}, false, true
		}
	}
	return span{from, end}, netip.AddrPortFrom(a, uint16(port)), true, false
}

func leadingDigits(s string) string {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return s[:i]
		}
	}
	return s
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func prefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// cutFold is strings.Cut without regard to case.
func cutFold(s, sep string) (before, after string, found bool) {
	for i := 0; i+len(sep) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(sep)], sep) {
			return s[:i], s[i+len(sep):], true
		}
	}
	return s, "", false
}
