package rewrite

import (
	"net/netip"
	"strings"
)

// longestAddr is the length of the longest text of an IPv6 address.
const longestAddr = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")

// A scrubber takes given addresses out of SDP text.
type scrubber struct {
	private4 []string // as text
	private6 []netip.Addr
	v4, v6   string // what replaces them
}

// newScrubber puts the origin, else a relay address of the same family, else
// the unspecified address, where a private one stood.
func newScrubber(o SDPOptions, addrs []StreamAddr) scrubber {
	var c scrubber
	for _, a := range o.Private {
		if a = a.Unmap().WithZone(""); a.Is4() {
			c.private4 = append(c.private4, a.String())
		} else if a.Is6() {
			c.private6 = append(c.private6, a)
		}
	}
	candidates := []netip.Addr{o.Origin.Unmap()}
	for _, a := range addrs {
		candidates = append(candidates, a.RTP.Addr().Unmap())
	}
	for _, a := range append(candidates, netip.IPv4Unspecified(), netip.IPv6Unspecified()) {
		if c.v4 == "" && a.Is4() {
			c.v4 = a.String()
		}
		if c.v6 == "" && a.Is6() {
			c.v6 = a.WithZone("").String()
		}
	}
	return c
}

// scrub returns the text without the private addresses.
func (c *scrubber) scrub(text string) string {
	for _, p := range c.private4 {
		text = replaceDotted(text, p, c.v4)
	}
	if len(c.private6) > 0 && strings.Count(text, ":") > 1 {
		text = c.scrub6(text)
	}
	return text
}

// replaceDotted replaces old where no digit stands beside it: 192.168.1.5 is
// not in 192.168.1.50.
func replaceDotted(text, old, by string) string {
	var b strings.Builder
	for from := 0; ; {
		i := strings.Index(text[from:], old)
		if i < 0 {
			if b.Len() == 0 {
				return text
			}
			return b.String() + text[from:]
		}
		i += from
		end := i + len(old)
		b.WriteString(text[from:i])
		if i > 0 && isDigit(text[i-1]) || end < len(text) && isDigit(text[end]) {
			b.WriteString(old)
		} else {
			b.WriteString(by)
		}
		from = end
	}
}

// scrub6 looks at every text that can be an IPv6 address, since each has many
// forms. A percent escape separates: %5Bfd00::1%5D is [fd00::1].
func (c *scrubber) scrub6(text string) string {
	var b strings.Builder
	done := 0
	for i := 0; i < len(text); {
		switch {
		case text[i] == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			i += 3
		case isHex(text[i]) || text[i] == ':':
			if end := c.private6At(text, i); end > i {
				b.WriteString(text[done:i])
				b.WriteString(c.v6)
				i, done = end, end
				break
			}
			// Another address can begin at a colon or a group only.
			for i++; i < len(text) && isHex(text[i]) && isHex(text[i-1]); {
				i++
			}
		default:
			i++
		}
	}
	if done == 0 {
		return text
	}
	return b.String() + text[done:]
}

// private6At returns the end of a private address that begins at i, 0 if none
// does. The longest text wins; fd00::1:5060 is more likely fd00::1 with a port.
func (c *scrubber) private6At(text string, i int) int {
	end := i
	for end < len(text) && end-i < longestAddr && (isHex(text[end]) || text[end] == ':' || text[end] == '.') {
		end++
	}
	for ; end > i+1; end-- {
		if end < len(text) && isHex(text[end]) && isHex(text[end-1]) {
			continue // within a group
		}
		a, err := netip.ParseAddr(text[i:end])
		if err != nil {
			continue
		}
		for _, p := range c.private6 {
			if a == p {
				return end
			}
		}
	}
	return 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
