package message

import (
	"fmt"
	"net/netip"
)

// A ViaValue is one Via value (RFC 3261 §20.42) taken apart.
type ViaValue struct {
	Transport string // as written
	Host      string // of sent-by; an IPv6 address in its brackets
	Port      int    // of sent-by; 0: none
	Params    string // from the first ';', "" if none

	ParamsStart int // Params in the string given; its end when there are none
}

// ParseVia takes one Via value (see Message.Elems) apart. It fails when the
// protocol is not SIP/2.0 or the sent-by is not a host with at most a port;
// any transport will do (RFC 4475 §3.1.1.10).
func ParseVia(s string) (ViaValue, error) {
	var v ViaValue
	if bad := v.read(s); bad != "" {
		return ViaValue{}, fmt.Errorf("reading Via %q: bad %s", s, bad)
	}
	return v, nil
}

// read is ParseVia in place: it returns what is bad, "" if nothing.
func (v *ViaValue) read(s string) (bad string) {
	*v = ViaValue{}
	i, ok := sentProtocol(s)
	if !ok {
		return "protocol"
	}
	start := i
	for i < len(s) && class[s[i]]&classToken != 0 {
		i++
	}
	v.Transport = s[start:i]
	start = skipBlanks(s, i)
	if start == i || v.Transport == "" {
		return "transport"
	}
	if i, ok = hostEnd(s, start); !ok {
		return "host"
	}
	v.Host = s[start:i]
	i = skipBlanks(s, i)
	if i < len(s) && s[i] == ':' {
		start = skipBlanks(s, i+1)
		i = digitsEnd(s, start)
		if v.Port, ok = parsePort(s[start:i]); !ok {
			return "port"
		}
		i = skipBlanks(s, i)
	}
	_, end := trim(s, i, len(s))
	v.ParamsStart = i
	if i < end {
		v.Params = s[i:end]
		if s[i] != ';' || !quotesClosed(v.Params) {
			return "parameters"
		}
	}
	return ""
}

// sentProtocol reads "SIP/2.0/", blanks allowed round the slashes, and returns
// the offset of the transport.
func sentProtocol(s string) (int, bool) {
	const usual = "SIP/2.0/"
	if len(s) > len(usual) && s[:len(usual)] == usual {
		return skipBlanks(s, len(usual)), true
	}
	i := skipBlanks(s, 0)
	for _, part := range [2]string{"SIP", "2.0"} {
		if len(s)-i < len(part) || !EqualFold(s[i:i+len(part)], part) {
			return 0, false
		}
		i = skipBlanks(s, i+len(part))
		if i >= len(s) || s[i] != '/' {
			return 0, false
		}
		i = skipBlanks(s, i+1)
	}
	return i, true
}

// Addr returns Host as an IP address, if it is one: without brackets, an
// IPv4-mapped one as IPv4.
func (v ViaValue) Addr() (netip.Addr, bool) { return hostAddr(v.Host) }
