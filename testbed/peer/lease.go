package peer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Registration is what a REGISTER came to.
type Registration struct {
	Response *Message      // the final response
	Contact  string        // our own Contact as it stands in it
	Contacts []string      // all of them
	Expires  time.Duration // granted to our own Contact
	Tries    int           // REGISTERs sent
}

// Register registers the phone's contacts and answers a challenge. It fails
// when the registrar refuses (*StatusError) or when one of the phone's own
// Contacts is not in the 200, compared as RFC 3261 §19.1.4 says.
func (p *Phone) Register(ctx context.Context) (*Registration, error) {
	return p.register(ctx, p.conf.Expires)
}

// Unregister removes the phone's contacts.
func (p *Phone) Unregister(ctx context.Context) (*Registration, error) {
	return p.register(ctx, 0)
}

// UnregisterAll removes every binding of the account with "Contact: *".
func (p *Phone) UnregisterAll(ctx context.Context) (*Registration, error) {
	f, err := p.flow(ctx)
	if err != nil {
		return nil, err
	}
	return p.sendRegister(ctx, f, []string{"*"}, 0)
}

func (p *Phone) register(ctx context.Context, expires time.Duration) (*Registration, error) {
	f, err := p.flow(ctx)
	if err != nil {
		return nil, err
	}
	contacts := p.contacts(f)
	r, err := p.sendRegister(ctx, f, contacts, expires)
	if err != nil {
		return r, err
	}
	for i, own := range contacts {
		elem, ok := find(r.Contacts, own)
		if expires > 0 && !ok {
			return r, fmt.Errorf("registering %s: own contact %q is not in the answer: %q", p.conf.User, own, r.Contacts)
		}
		if expires == 0 && ok {
			return r, fmt.Errorf("unregistering %s: %q is still in the answer", p.conf.User, elem)
		}
		if i == 0 && ok {
			r.Contact, r.Expires = elem, granted(r.Response, elem, expires)
		}
	}
	select {
	case <-p.lease:
	default:
	}
	select {
	case p.lease <- r.Expires:
	default: // another Register was quicker
	}
	return r, nil
}

// sendRegister runs one REGISTER with its challenges.
func (p *Phone) sendRegister(ctx context.Context, f *Flow, contacts []string, expires time.Duration) (*Registration, error) {
	p.pmu.Lock()
	creds := p.creds
	q := form{
		method: "REGISTER", uri: "sip:" + p.conf.Domain, from: "<" + p.aor() + ">;tag=" + p.fromTag,
		to: "<" + p.aor() + ">", callID: p.callID, seq: p.seq, routes: p.routes(),
	}
	p.pmu.Unlock()
	if p.conf.FreshAuth {
		creds.chal = nil
	}
	name, seconds := p.conf.ContactName, strconv.Itoa(int(expires/time.Second))
	if name == "" {
		name = "Contact"
	}
	for _, c := range contacts {
		if p.conf.ExpiresParam && c != "*" {
			c += ";expires=" + seconds
		}
		q.extra = append(q.extra, name+": "+c)
	}
	if !p.conf.ExpiresParam || contacts[0] == "*" {
		q.extra = append(q.extra, "Expires: "+seconds)
	}
	q.extra = append(q.extra, p.conf.Headers...)
	before := q.seq
	m, err := p.exchange(ctx, f, &q, &creds)
	p.pmu.Lock()
	p.seq, p.creds = q.seq, creds
	p.pmu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("registering %s: %w", p.conf.User, err)
	}
	r := &Registration{Response: m, Contacts: m.Elems("contact"), Tries: int(q.seq - before)}
	if m.Status() >= 300 {
		return r, fmt.Errorf("registering %s: %w", p.conf.User, &StatusError{m})
	}
	return r, nil
}

// contacts returns the values of the Contact lines of a REGISTER.
func (p *Phone) contacts(f *Flow) []string {
	forms := p.conf.Contacts
	if forms == nil {
		forms = []string{"<{uri}>"}
	}
	out := make([]string, len(forms))
	for i, v := range forms {
		out[i] = strings.NewReplacer("{uri}", p.uri(f), "{user}", p.conf.User, "{addr}", f.local.String()).Replace(v)
	}
	return out
}

// find returns the element whose URI is that of own.
func find(contacts []string, own string) (string, bool) {
	_, want, _ := nameAddr(own)
	for _, c := range contacts {
		if _, u, _ := nameAddr(c); sameURI(u, want) {
			return c, true
		}
	}
	return "", false
}

// granted reads the lease of one Contact of a 200 (RFC 3261 §10.2.4).
func granted(m *Message, elem string, asked time.Duration) time.Duration {
	_, _, params := nameAddr(elem)
	v, ok := param(params, "expires")
	if !ok {
		v = m.Get("expires")
	}
	if n, err := strconv.Atoi(strings.Trim(v, `" `)); err == nil {
		return time.Duration(n) * time.Second
	}
	return asked
}

// refresh registers again at half of each lease, and at once when the
// connection broke; a failure is tried again after five seconds.
func (p *Phone) refresh() {
	var lease time.Duration
	select {
	case lease = <-p.lease:
	case <-p.ctx.Done():
		return
	}
	failed := false
	for lease > 0 {
		var broke <-chan struct{}
		p.pmu.Lock()
		if p.stream != nil {
			broke = p.stream.Closed()
		}
		p.pmu.Unlock()
		wait := lease / 2
		if failed {
			wait = 5 * time.Second
			broke = nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-broke:
		case lease = <-p.lease:
			timer.Stop()
			continue
		case <-p.ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
		ctx, cancel := context.WithTimeout(p.ctx, 40*time.Second)
		_, err := p.Register(ctx)
		cancel()
		if errors.Is(err, context.Canceled) {
			return
		}
		failed = err != nil
	}
}
