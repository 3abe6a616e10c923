package message

import (
	"fmt"
	"net/netip"
	"strings"
)

// A URI is a sip or sips URI taken apart (RFC 3261 §19.1); of other schemes
// only Scheme is set. All parts are as written: nothing is unescaped.
type URI struct {
	Scheme  string
	User    string // with the password, if any
	Host    string // an IPv6 address in its brackets
	Port    int    // 0: none
	Params  string // from the first ';', "" if none
	Headers string // after the '?'
	HasUser bool

	HostStart, HostEnd int // Host in the string given
}

// ParseURI takes a URI without its angle brackets apart. It fails on one with
// blanks, controls, quotes or angle brackets, without a scheme, or, if sip or
// sips, with a host or port that is not one.
func ParseURI(s string) (URI, error) {
	colon := strings.IndexByte(s, ':')
	if colon <= 0 || !isScheme(s[:colon]) || !none(s, classNotURI) {
		return URI{}, fmt.Errorf("reading URI %q", s)
	}
	u := URI{Scheme: s[:colon]}
	if !EqualFold(u.Scheme, "sip") && !EqualFold(u.Scheme, "sips") {
		return u, nil
	}
	i := colon + 1
	if at := strings.IndexByte(s[i:], '@'); at >= 0 {
		u.User, u.HasUser = s[i:i+at], true
		i += at + 1
		if u.User == "" {
			return URI{}, fmt.Errorf("reading URI %q: empty user", s)
		}
	}
	end, ok := hostEnd(s, i)
	if !ok {
		return URI{}, fmt.Errorf("reading URI %q: bad host", s)
	}
	u.Host, u.HostStart, u.HostEnd = s[i:end], i, end
	if end < len(s) && s[end] == ':' {
		i, end = end+1, end+1
		for end < len(s) && s[end]-'0' <= 9 {
			end++
		}
		if u.Port, ok = parsePort(s[i:end]); !ok {
			return URI{}, fmt.Errorf("reading URI %q: bad port", s)
		}
	}
	if end < len(s) && s[end] == ';' {
		i = end
		if end = strings.IndexByte(s[i:], '?'); end >= 0 {
			end += i
		} else {
			end = len(s)
		}
		u.Params = s[i:end]
	}
	if end < len(s) {
		if s[end] != '?' {
			return URI{}, fmt.Errorf("reading URI %q: bad host", s)
		}
		u.Headers = s[end+1:]
	}
	return u, nil
}

// Addr returns Host as an IP address, if it is one: without brackets, an
// IPv4-mapped one as IPv4. The third colon of RFC 5118 §4.10 is forgiven.
func (u URI) Addr() (netip.Addr, bool) { return hostAddr(u.Host) }

func hostAddr(host string) (netip.Addr, bool) {
	if len(host) > 2 && host[0] == '[' {
		host = strings.Replace(host[1:len(host)-1], ":::", "::", 1)
	}
	a, err := netip.ParseAddr(host)
	return a.Unmap(), err == nil
}

// isScheme tells whether s is ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ).
func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c-'0' > 9 && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return true
}

// hostEnd returns the offset past the host that starts at s[i]. What is in
// brackets is not read closely, as RFC 5118 §4.10 wants one colon too many
// tolerated.
func hostEnd(s string, i int) (end int, ok bool) {
	if i < len(s) && s[i] == '[' {
		j := i + 1
		for j < len(s) && (s[j] == ':' || s[j] == '.' || s[j]-'0' <= 9 || s[j]|0x20 >= 'a' && s[j]|0x20 <= 'f') {
			j++
		}
		return j + 1, j < len(s) && s[j] == ']' && j > i+2
	}
	j := i
	for j < len(s) && class[s[j]]&classHost != 0 {
		j++
	}
	return j, j > i
}

// parsePort reads a port, 1 to 65535.
func parsePort(s string) (int, bool) {
	n, ok := ParseUint(s, 65535)
	return int(n), ok && n > 0
}
