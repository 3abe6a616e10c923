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
	var u URI
	if bad := u.read(s); bad != "" {
		return URI{}, fmt.Errorf("reading URI %q: bad %s", s, bad)
	}
	return u, nil
}

// read is ParseURI in place: it returns what is bad, "" if nothing.
func (u *URI) read(s string) (bad string) {
	*u = URI{}
	i := 4
	if len(s) < 4 || s[:4] != "sip:" {
		i = schemeEnd(s) + 1
	}
	if i == 0 {
		return "scheme"
	}
	u.Scheme = s[:i-1]
	if i != 4 && i != 5 || !EqualFold(u.Scheme, "sips"[:i-1]) {
		if !inURI(s) {
			return "octet"
		}
		return ""
	}
	if at := strings.IndexByte(s, '@'); at >= i {
		u.User, u.HasUser = s[i:at], true
		// Some take a bracket for the start of the host, wherever it is.
		if i = at + 1; u.User == "" || strings.IndexByte(u.User, '[') >= 0 || !inURI(u.User) {
			return "user"
		}
	}
	end, ok := hostEnd(s, i)
	if !ok {
		return "host"
	}
	u.Host, u.HostStart, u.HostEnd = s[i:end], i, end
	if end < len(s) && s[end] == ':' {
		i = end + 1
		end = digitsEnd(s, i)
		if u.Port, ok = parsePort(s[i:end]); !ok {
			return "port"
		}
	}
	if end == len(s) {
		return ""
	}
	u.Params = s[end:]
	if q := strings.IndexByte(u.Params, '?'); q >= 0 {
		if u.Params, u.Headers = u.Params[:q], u.Params[q+1:]; u.Headers == "" {
			return "headers"
		}
	}
	if u.Params != "" && u.Params[0] != ';' || !inURI(s[end:]) {
		return "octet"
	}
	return ""
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

// schemeEnd returns the offset of the colon after the scheme, ALPHA *( ALPHA /
// DIGIT / "+" / "-" / "." ), or -1.
func schemeEnd(s string) int {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if c == ':' && i > 0 {
			return i
		}
		if !letter && (i == 0 || c-'0' > 9 && c != '+' && c != '-' && c != '.') {
			return -1
		}
	}
	return -1
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

// digitsEnd returns the offset past the digits of s from i on.
func digitsEnd(s string, i int) int {
	for i < len(s) && s[i]-'0' <= 9 {
		i++
	}
	return i
}

// parsePort reads a port, 1 to 65535.
func parsePort(s string) (int, bool) {
	n, ok := ParseUint(s, 65535)
	return int(n), ok && n > 0
}
