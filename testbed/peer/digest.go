package peer

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// hashes are the digest algorithms of RFC 7616 and 8760.
var hashes = map[string]func() hash.Hash{
	"": md5.New, "MD5": md5.New, "SHA-256": sha256.New, "SHA-512-256": sha512.New512_256,
}

// A digest is what the response to a challenge is computed from (RFC 7616 §3.4).
type digest struct {
	algorithm, qop             string
	user, realm, password, ha1 string // ha1 beats the password
	nonce, nc, cnonce          string
	method, uri, body          string
}

// response returns the value of the response parameter; "" when the algorithm
// is unknown.
func (d digest) response() string {
	name := strings.ToUpper(d.algorithm)
	session := strings.HasSuffix(name, "-SESS")
	newHash := hashes[strings.TrimSuffix(name, "-SESS")]
	if newHash == nil {
		return ""
	}
	h := func(s string) string {
		sum := newHash()
		sum.Write([]byte(s))
		return hex.EncodeToString(sum.Sum(nil))
	}
	ha1 := d.ha1
	if ha1 == "" {
		ha1 = h(d.user + ":" + d.realm + ":" + d.password)
	}
	if session {
		ha1 = h(ha1 + ":" + d.nonce + ":" + d.cnonce)
	}
	a2 := d.method + ":" + d.uri
	if d.qop == "auth-int" {
		a2 += ":" + h(d.body)
	}
	if d.qop == "" {
		return h(ha1 + ":" + d.nonce + ":" + h(a2))
	}
	return h(strings.Join([]string{ha1, d.nonce, d.nc, d.cnonce, d.qop, h(a2)}, ":"))
}

// HA1 returns H(user:realm:password) in MD5, to be used as "ha1:"+HA1(…) in
// ProviderConfig.Users.
func HA1(user, realm, password string) string {
	sum := md5.Sum([]byte(user + ":" + realm + ":" + password))
	return hex.EncodeToString(sum[:])
}

// authParams reads `Digest a=b, c="d"`; the values are unquoted. Scheme, blanks
// and case may be as odd as the grammar allows.
func authParams(v string) (scheme string, params map[string]string) {
	v = strings.Join(strings.Fields(v), " ")
	scheme, rest, _ := strings.Cut(v, " ")
	params = map[string]string{}
	for _, p := range splitList(rest, ',') {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			continue
		}
		params[strings.ToLower(strings.TrimSpace(name))] = unquote(strings.TrimSpace(value))
	}
	return strings.ToLower(scheme), params
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// credentials answers challenges for one user and counts the uses of a nonce.
type credentials struct {
	user, password string
	header         string // "Authorization" or "Proxy-Authorization"
	chal           map[string]string
	nc             int
}

// take picks the first challenge of a 401 or 407 that can be answered.
func (c *credentials) take(m *Message) error {
	name := "www-authenticate"
	c.header = "Authorization"
	if m.Status() == 407 {
		name, c.header = "proxy-authenticate", "Proxy-Authorization"
	}
	for _, v := range m.Values(name) {
		scheme, p := authParams(v)
		alg := strings.TrimSuffix(strings.ToUpper(p["algorithm"]), "-SESS")
		if scheme == "digest" && hashes[alg] != nil && p["nonce"] != "" {
			c.chal, c.nc = p, 0
			return nil
		}
	}
	return fmt.Errorf("%d holds no challenge that can be answered: %q", m.Status(), m.Values(name))
}

// line returns the header line that answers the last challenge taken.
func (c *credentials) line(method, uri, body string) string {
	c.nc++
	d := digest{
		algorithm: c.chal["algorithm"], user: c.user, realm: c.chal["realm"], password: c.password,
		nonce: c.chal["nonce"], nc: fmt.Sprintf("%08x", c.nc), cnonce: random(12), method: method, uri: uri, body: body,
	}
	for _, q := range splitList(c.chal["qop"], ',') {
		if q == "auth" || (q == "auth-int" && d.qop == "") {
			d.qop = q
		}
	}
	if strings.HasPrefix(c.password, "ha1:") {
		d.ha1 = strings.TrimPrefix(c.password, "ha1:")
	}
	s := fmt.Sprintf(`%s: Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s"`,
		c.header, d.user, d.realm, d.nonce, uri, d.response())
	if a := c.chal["algorithm"]; a != "" {
		s += ", algorithm=" + a
	}
	if d.qop != "" {
		s += fmt.Sprintf(`, qop=%s, nc=%s, cnonce="%s"`, d.qop, d.nc, d.cnonce)
	}
	if o, ok := c.chal["opaque"]; ok {
		s += fmt.Sprintf(`, opaque="%s"`, o)
	}
	return s
}
