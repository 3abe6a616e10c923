package peer

import (
	"fmt"
	"strings"
	"time"
)

// Auth says how a provider challenges. The zero value is one MD5 challenge with
// qop=auth and a fresh nonce for each challenge.
type Auth struct {
	Off        bool          // nobody is challenged
	Realm      string        // "" is the provider's domain
	Algorithms []string      // one challenge line each, in this order; nil is MD5
	QOP        string        // "" is auth; "none" leaves it out (RFC 2069)
	NonceLife  time.Duration // an older nonce is refused with stale=true; 0: lives for ever
	NonceUses  int           // how many requests a nonce serves; 0: any number
	ReplayOK   bool          // accept a nonce count that was seen before
	Opaque     string        // "" leaves it out

	// Lines replaces the challenge lines by literal ones: header values with
	// {realm} and {nonce} in them, for odd spacing, case, order and schemes.
	Lines []string
}

// A nonce is one challenge given out.
type nonce struct {
	made time.Time
	old  bool // expired by hand
	uses int
	nc   map[string]bool
}

// challenge answers r with a 401 or 407.
func (p *Provider) challenge(r *Request, status int, stale bool) {
	p.mu.Lock()
	auth := p.auth
	value := random(24)
	p.nonces[value] = &nonce{made: time.Now(), nc: map[string]bool{}}
	p.mu.Unlock()
	name := "WWW-Authenticate"
	if status == 407 {
		name = "Proxy-Authenticate"
	}
	var lines []string
	for _, v := range auth.lines(p.realm(), value, stale) {
		lines = append(lines, name+": "+v)
	}
	_ = r.Respond(status, "", lines, "")
}

// lines returns the values of the challenge lines.
func (a Auth) lines(realm, value string, stale bool) []string {
	if a.Lines != nil {
		var out []string
		for _, l := range a.Lines {
			out = append(out, strings.NewReplacer("{realm}", realm, "{nonce}", value).Replace(l))
		}
		return out
	}
	algorithms := a.Algorithms
	if algorithms == nil {
		algorithms = []string{"MD5"}
	}
	var out []string
	for _, alg := range algorithms {
		s := fmt.Sprintf(`Digest realm="%s", nonce="%s", algorithm=%s`, realm, value, alg)
		if a.QOP != "none" {
			qop := a.QOP
			if qop == "" {
				qop = "auth"
			}
			s += fmt.Sprintf(`, qop="%s"`, qop)
		}
		if a.Opaque != "" {
			s += fmt.Sprintf(`, opaque="%s"`, a.Opaque)
		}
		if stale {
			s += ", stale=true"
		}
		out = append(out, s)
	}
	return out
}

func (p *Provider) realm() string {
	if r := p.auth.Realm; r != "" {
		return r
	}
	return p.conf.Domain
}

// authorised checks the request's credentials. It returns the user, or false
// after it has answered with a challenge or a 403.
func (p *Provider) authorised(r *Request, status int) (user string, ok bool) {
	p.mu.Lock()
	off := p.auth.Off
	p.mu.Unlock()
	if off {
		return parseURI(aor(r.Get("from"))).user, true
	}
	name := "authorization"
	if status == 407 {
		name = "proxy-authorization"
	}
	for _, v := range r.Values(name) {
		scheme, params := authParams(v)
		if scheme != "digest" || params["realm"] != p.realm() {
			continue
		}
		switch p.verify(r, params) {
		case authGood:
			return params["username"], true
		case authStale:
			p.challenge(r, status, true)
			return "", false
		case authForbidden:
			_ = r.Respond(403, "", nil, "")
			return "", false
		}
	}
	p.challenge(r, status, false)
	return "", false
}

type verdict uint8

const (
	authBad verdict = iota
	authGood
	authStale
	authForbidden
)

// verify checks one set of digest parameters against users and nonces.
func (p *Provider) verify(r *Request, params map[string]string) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quirks.Forbid[params["username"]] {
		return authForbidden
	}
	n := p.nonces[params["nonce"]]
	password, known := p.users[params["username"]]
	if n == nil || !known {
		return authBad
	}
	d := digest{
		algorithm: params["algorithm"], qop: params["qop"], user: params["username"], realm: params["realm"],
		password: password, nonce: params["nonce"], nc: params["nc"], cnonce: params["cnonce"],
		method: r.Method(), uri: params["uri"], body: r.Body(),
	}
	if ha1, ok := strings.CutPrefix(password, "ha1:"); ok {
		d.ha1 = ha1
	}
	if d.response() != params["response"] || params["response"] == "" {
		return authBad
	}
	n.uses++
	replay := d.nc != "" && n.nc[d.nc] && !p.auth.ReplayOK
	n.nc[d.nc] = true
	old := n.old || p.auth.NonceLife > 0 && time.Since(n.made) > p.auth.NonceLife
	worn := p.auth.NonceUses > 0 && n.uses > p.auth.NonceUses
	if replay || old || worn {
		return authStale
	}
	return authGood
}

// aor returns the URI of a From or To value.
func aor(value string) string {
	_, u, _ := nameAddr(value)
	return u
}
