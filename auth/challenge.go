package auth

import (
	"fmt"
	"strings"

	"pinhole/internal/message"
)

// Challenge is one value of WWW-Authenticate or Proxy-Authenticate (RFC 3261
// §20.44, §20.27). Its strings are parts of the text it was read from. For
// schemes other than Digest, and for lines that cannot be read, Raw is what
// there is.
type Challenge struct {
	Scheme    string // as written; "" in a line that cannot be read
	Realm     string // quoted strings are without quotes and backslashes
	Nonce     string
	Opaque    string
	Algorithm string // as written, "" stands for MD5
	QOP       string // the list as written, "" for RFC 2069 style
	Stale     bool   // the credentials were right but for their nonce
	Proxy     bool   // from Proxy-Authenticate; set by ChallengesOf
	Raw       string // scheme and parameters as written
}

// Digest reports whether the scheme is Digest.
func (c Challenge) Digest() bool { return message.EqualFold(c.Scheme, schemeDigest) }

// Offers reports whether qop is among the qualities of protection offered.
func (c Challenge) Offers(qop string) bool {
	for q := range strings.SplitSeq(c.QOP, ",") {
		if message.EqualFold(strings.Trim(q, blanks), qop) {
			return true
		}
	}
	return false
}

// ParseChallenges reads one header value and appends its challenges to dst. It
// should hold one; servers that join several with commas, which RFC 3261 §7.3.1
// forbids, are understood too. On an error dst is returned as it was.
func ParseChallenges(dst []Challenge, v string) ([]Challenge, error) {
	all := dst
	start := 0 // of the last challenge
	for i := 0; ; {
		it, ok, err := nextItem(v, i)
		if err != nil {
			return dst, fmt.Errorf("reading challenge: %w", err)
		}
		if (it.scheme || !ok) && len(all) > len(dst) {
			all[len(all)-1].Raw = strings.TrimRight(v[start:it.start], blanks+",")
		}
		switch {
		case !ok:
			return all, nil
		case it.scheme:
			all, start = append(all, Challenge{Scheme: it.name}), it.start
		default:
			all[len(all)-1].set(it)
		}
		i = it.end
	}
}

// set takes a parameter; of a repeated one the first counts.
func (c *Challenge) set(it item) {
	var to *string
	switch {
	case message.EqualFold(it.name, "realm"):
		to = &c.Realm
	case message.EqualFold(it.name, "nonce"):
		to = &c.Nonce
	case message.EqualFold(it.name, "opaque"):
		to = &c.Opaque
	case message.EqualFold(it.name, "algorithm"):
		to = &c.Algorithm
	case message.EqualFold(it.name, "qop"):
		to = &c.QOP
	case message.EqualFold(it.name, "stale"):
		c.Stale = isTrue(it.value)
	}
	if to != nil && *to == "" {
		*to = message.Unquote(it.value)
	}
}

// ChallengesOf returns the challenges of a 401 or 407 in the order of the
// answerer's preference (RFC 8760 §2.3), nil without any. A line that cannot be
// read is there with Raw alone.
func ChallengesOf(m *message.Message) []Challenge {
	var all []Challenge
	for _, l := range m.Lines {
		if l.ID != message.WWWAuthenticate && l.ID != message.ProxyAuthenticate {
			continue
		}
		n := len(all)
		var err error
		if all, err = ParseChallenges(all, m.Value(l)); err != nil {
			all = append(all, Challenge{Raw: m.Value(l)})
		}
		for ; n < len(all); n++ {
			all[n].Proxy = l.ID == message.ProxyAuthenticate
		}
	}
	return all
}
