package rewrite

import (
	"net/netip"
	"strings"
)

// nextIn returns the next IPv4 address at or after from that stands in s as an
// address of its own and lies in one of the prefixes, and where; start is -1
// without one. Its dots may be escaped (%2E).
func nextIn(s string, from int, prefixes []netip.Prefix) (ip netip.Addr, start, end int) {
	for _, p := range prefixes {
		if !p.Addr().Is4() || !mayHold(s[from:], p) {
			continue
		}
		for i := from; i < len(s); i++ {
			if s[i] < '0' || s[i] > '9' || addrChar(s, i-1, -1) {
				continue
			}
			ip, n := quad(s[i:])
			if n > 0 && p.Contains(ip) && !addrChar(s, i+n, +1) {
				return ip, i, i + n
			}
		}
	}
	return netip.Addr{}, -1, -1
}

// mayHold is a quick look whether s can hold an address of a prefix: its whole
// octets stand there, or an escaped dot does.
func mayHold(s string, p netip.Prefix) bool {
	return strings.Contains(s, lead(p)) || strings.Contains(s, "%2")
}

// lead returns how every address of a prefix begins: its whole octets, "" where
// it has none.
func lead(p netip.Prefix) string {
	text := p.Addr().String()
	end := len(text)
	for octets := p.Bits() / 8; octets < 4; octets++ {
		if end = strings.LastIndexByte(text[:end], '.'); end < 0 {
			return ""
		}
	}
	return text[:end]
}

// quad reads a dotted quad at the start of s and returns how long it is, 0 where
// there is none.
func quad(s string) (netip.Addr, int) {
	var b [4]byte
	i := 0
	for n := range b {
		if n > 0 {
			switch {
			case strings.HasPrefix(s[i:], "."):
				i++
			case strings.HasPrefix(s[i:], "%2E"), strings.HasPrefix(s[i:], "%2e"):
				i += 3
			default:
				return netip.Addr{}, 0
			}
		}
		v, digits := 0, 0
		for ; i < len(s) && s[i] >= '0' && s[i] <= '9' && digits < 4; i++ {
			v = v*10 + int(s[i]-'0')
			digits++
		}
		if digits == 0 || digits > 3 || v > 255 {
			return netip.Addr{}, 0
		}
		b[n] = byte(v)
	}
	return netip.AddrFrom4(b), i
}
