package auth

import (
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"

	"pinhole/internal/message"
)

// Credentials is one value of Authorization or Proxy-Authorization (RFC 3261
// §20.7, §20.28). Its strings are parts of the text it was read from. Printed or
// logged it shows no secret.
type Credentials struct {
	Scheme    string // as written; "" in a line that cannot be read
	Username  string // quoted strings are without quotes and backslashes; username* decoded
	Realm     string
	Nonce     string
	URI       string // what was signed in the place of the Request-URI
	Response  string
	CNonce    string
	Opaque    string
	Algorithm string // as written, "" stands for MD5
	QOP       string // "" for RFC 2069 style
	NC        uint32 // nonce count, 0 without one
	Userhash  bool   // Username is a hash (RFC 7616 §3.4.4)
	Proxy     bool   // from Proxy-Authorization; set by CredentialsOf
}

// Digest reports whether the scheme is Digest.
func (c Credentials) Digest() bool { return message.EqualFold(c.Scheme, schemeDigest) }

// String names the user and realm, and nothing that could be replayed.
func (c Credentials) String() string {
	return fmt.Sprintf("%s username=%q realm=%q", c.Scheme, c.Username, c.Realm)
}

// LogValue keeps slog from printing the fields.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// ParseCredentials reads one header value. Of schemes other than Digest only
// the scheme is sure to be there.
func ParseCredentials(v string) (Credentials, error) {
	var c Credentials
	for i := 0; ; {
		it, ok, err := nextItem(v, i)
		switch {
		case err != nil:
			return Credentials{}, fmt.Errorf("reading credentials: %w", err)
		case !ok:
			return c, nil
		case i == 0:
			c.Scheme = it.name
		default:
			c.set(it)
		}
		i = it.end
	}
}

// set takes a parameter; of a repeated one the first counts.
func (c *Credentials) set(it item) {
	value := message.Unquote(it.value)
	var to *string
	switch strings.ToLower(it.name) {
	case "username":
		to = &c.Username
	case "username*":
		to, value = &c.Username, extValue(value)
	case "realm":
		to = &c.Realm
	case "nonce":
		to = &c.Nonce
	case "uri":
		to = &c.URI
	case "response":
		to = &c.Response
	case "cnonce":
		to = &c.CNonce
	case "opaque":
		to = &c.Opaque
	case "algorithm":
		to = &c.Algorithm
	case "qop":
		to = &c.QOP
	case "nc":
		if n, err := strconv.ParseUint(value, 16, 32); err == nil && c.NC == 0 {
			c.NC = uint32(n)
		}
	case "userhash":
		c.Userhash = isTrue(it.value)
	}
	if to != nil && *to == "" {
		*to = value
	}
}

// extValue decodes an extended value in UTF-8, with percent signs (RFC 8187
// §3.2); another is kept.
func extValue(v string) string {
	charset, rest, ok := strings.Cut(v, "'")
	_, text, ok2 := strings.Cut(rest, "'")
	if !ok || !ok2 || !message.EqualFold(charset, "UTF-8") {
		return v
	}
	if s, err := url.PathUnescape(text); err == nil {
		return s
	}
	return v
}

// CredentialsOf returns the credentials of a request in order, nil without any.
// A line that cannot be read is there without a scheme.
func CredentialsOf(m *message.Message) []Credentials {
	var all []Credentials
	for _, l := range m.Lines {
		if l.ID != message.Authorization && l.ID != message.ProxyAuthorization {
			continue
		}
		c, err := ParseCredentials(m.Value(l))
		if err != nil {
			c = Credentials{}
		}
		c.Proxy = l.ID == message.ProxyAuthorization
		all = append(all, c)
	}
	return all
}
