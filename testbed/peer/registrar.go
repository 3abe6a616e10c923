package peer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Binding is one Contact of a user as the registrar stored it.
type Binding struct {
	User    string
	Contact string // the element exactly as it was sent
	URI     string // its URI, exactly as it was sent
	Flow    *Flow  // what the REGISTER came on; its Remote is the source tuple
	CallID  string
	CSeq    uint32
	Expires time.Time
	Request *Message
}

// Bindings returns a user's live bindings, oldest first.
func (p *Provider) Bindings(user string) []*Binding {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*Binding
	for _, b := range p.usrloc[user] {
		dead := p.quirks.DropWithFlow && !b.Flow.Alive()
		if b.Expires.After(time.Now()) && !dead {
			out = append(out, b)
		}
	}
	return out
}

// WaitBinding waits until a user has n live bindings and returns them.
func (p *Provider) WaitBinding(ctx context.Context, user string, n int) ([]*Binding, error) {
	var out []*Binding
	err := p.wait(ctx, func() bool {
		out = p.Bindings(user)
		return len(out) == n
	})
	return out, wrap(fmt.Sprintf("waiting for %d bindings of %s, now %d", n, user, len(out)), err)
}

// Forget drops a user's bindings without telling anybody.
func (p *Provider) Forget(user string) {
	p.mu.Lock()
	delete(p.usrloc, user)
	p.mu.Unlock()
}

// register answers a REGISTER (RFC 3261 §10.3).
func (p *Provider) register(r *Request) {
	user := parseURI(aor(r.Get("to"))).user
	if p.quirk().Forbid[user] {
		_ = r.Respond(403, "", nil, "")
		return
	}
	authUser, ok := p.authorised(r, 401)
	if !ok {
		return
	}
	p.mu.Lock()
	_, known := p.users[user]
	p.mu.Unlock()
	if !known || (authUser != user && !p.quirk().AnyAuthUser) {
		_ = r.Respond(403, "", nil, "")
		return
	}
	if status, extra := p.refused(r); status != 0 {
		_ = r.Respond(status, "", extra, "")
		return
	}
	if status := p.store(user, r); status != 0 {
		_ = r.Respond(status, "", nil, "")
		return
	}
	_ = r.Respond(200, "", p.answerLines(user, r), "")
	p.ring()
}

// refused says with what a REGISTER is refused, 0 if it is not.
func (p *Provider) refused(r *Request) (status int, extra []string) {
	q := p.quirk()
	contacts := r.Elems("contact")
	if q.OneContact && len(contacts) > 1 {
		return 400, nil
	}
	for _, c := range contacts {
		_, _, params := nameAddr(c)
		if _, regID := param(params, "reg-id"); regID && q.Strict439 &&
			strings.Contains(strings.Join(r.Values("supported"), ","), "outbound") {
			return 439, nil
		}
		if e := p.asked(r, params); e > 0 && e < q.MinExpires {
			return 423, []string{"Min-Expires: " + strconv.Itoa(int(q.MinExpires/time.Second))}
		}
	}
	return 0, nil
}

// asked returns the lease asked for a Contact with these header parameters.
func (p *Provider) asked(r *Request, params string) time.Duration {
	v, ok := param(params, "expires")
	if !ok {
		v = r.Get("expires")
	}
	if v == "" {
		return time.Hour
	}
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		return time.Hour
	}
	return time.Duration(n) * time.Second
}

// store updates a user's bindings; it returns the status of a refusal or 0.
func (p *Provider) store(user string, r *Request) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	seq, _ := r.CSeq()
	contacts := r.Elems("contact")
	if len(contacts) == 1 && contacts[0] == "*" {
		if r.Get("expires") != "0" {
			return 400
		}
		delete(p.usrloc, user)
		return 0
	}
	for _, c := range contacts {
		_, u, _ := nameAddr(c)
		for _, b := range p.usrloc[user] {
			if sameURI(b.URI, u) && b.CallID == r.CallID() && b.CSeq >= seq {
				return 500 // out of order (§10.3-7)
			}
		}
	}
	for _, c := range contacts {
		_, u, params := nameAddr(c)
		lease := p.asked(r, params)
		if p.quirks.Expires > 0 && lease > p.quirks.Expires {
			lease = p.quirks.Expires
		}
		b := &Binding{
			User: user, Contact: c, URI: u, Flow: r.Flow, CallID: r.CallID(), CSeq: seq,
			Expires: time.Now().Add(lease), Request: r.Message,
		}
		p.usrloc[user] = replaceBinding(p.usrloc[user], b, lease > 0)
	}
	return 0
}

// replaceBinding puts b in the place of the one with its URI, or at the end;
// it only removes that one when keep is not set.
func replaceBinding(list []*Binding, b *Binding, keep bool) []*Binding {
	var out []*Binding
	for _, old := range list {
		if !sameURI(old.URI, b.URI) {
			out = append(out, old)
		} else if keep {
			out = append(out, b)
			keep = false
		}
	}
	if keep {
		out = append(out, b)
	}
	return out
}

// answerLines writes the header lines of the 200: all bindings of the user.
func (p *Provider) answerLines(user string, r *Request) []string {
	q := p.quirk()
	elems := append([]string(nil), q.Foreign...)
	lease := time.Duration(0)
	for _, b := range p.Bindings(user) {
		left := time.Until(b.Expires).Round(time.Second)
		lease = max(lease, left)
		elems = append(elems, q.contact(b, left))
	}
	var lines []string
	if q.OneLine && len(elems) > 0 {
		lines = append(lines, "Contact: "+strings.Join(elems, ", "))
	} else {
		for _, e := range elems {
			lines = append(lines, "Contact: "+e)
		}
	}
	if q.ExpiresHeader {
		lines = append(lines, "Expires: "+strconv.Itoa(int(lease/time.Second)))
	}
	return append(lines, q.Extra...)
}

// contact writes one stored Contact into a 200.
func (q Quirks) contact(b *Binding, left time.Duration) string {
	display, u, params := nameAddr(b.Contact)
	if q.ReOrder {
		u = reorder(u)
	}
	if q.ReCase {
		u = recase(u)
	}
	out := "<" + u + ">"
	if display != "" {
		out = display + " " + out
	}
	for _, p := range splitList(params, ';') {
		name, _, _ := strings.Cut(p, "=")
		if p != "" && !strings.EqualFold(strings.TrimSpace(name), "expires") {
			out += ";" + p
		}
	}
	if !q.ExpiresHeader {
		out += ";expires=" + strconv.Itoa(int(left/time.Second))
	}
	return out + q.Append
}

// reorder turns the parameters of a URI round.
func reorder(u string) string {
	parts := strings.Split(u, ";")
	for i, j := 1, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, ";")
}

// recase writes all of a URI but its user in capitals, which leaves it equal
// (RFC 3261 §19.1.4).
func recase(u string) string {
	scheme, rest, _ := strings.Cut(u, ":")
	user := ""
	if at := strings.IndexByte(rest, '@'); at >= 0 {
		user, rest = rest[:at+1], rest[at+1:]
	}
	return strings.ToUpper(scheme) + ":" + user + strings.ToUpper(rest)
}
