package peer

import (
	"context"
	"fmt"
)

// An Invite is what a call from outside is made of; options change it.
type Invite struct {
	URI     string // Request-URI
	From    string // the caller, a user of the provider's domain
	To      string // To URI
	Headers []string
	Binding *Binding // whose flow it goes on
	Late    bool     // no SDP in the INVITE: the answer goes in the ACK
	CallID  string
	FromTag string
}

// An Option changes a call from outside before it is sent.
type Option func(*Invite)

// ToURI sends the call with a literal Request-URI.
func ToURI(u string) Option { return func(i *Invite) { i.URI = u } }

// ToNumber puts a number (DID) in the place of the Contact's user.
func ToNumber(number string) Option {
	return func(i *Invite) {
		u := parseURI(i.URI)
		rest := i.URI[len(u.scheme)+1:]
		if u.user != "" {
			rest = rest[len(u.user)+1:]
		}
		i.URI = u.scheme + ":" + number + "@" + rest
	}
}

// ToHost puts another host (and port) in the place of the Contact's.
func ToHost(host string) Option {
	return func(i *Invite) {
		u := parseURI(i.URI)
		user := ""
		if u.user != "" {
			user = u.user + "@"
		}
		i.URI = u.scheme + ":" + user + host + u.params
	}
}

// ToAOR sends the call to the account's address of record.
func ToAOR() Option { return func(i *Invite) { i.URI = i.To } }

// WithoutParams cuts the Contact's URI parameters off.
func WithoutParams() Option { return func(i *Invite) { i.URI = trimURI(i.URI) } }

// WithFrom names the caller.
func WithFrom(user string) Option { return func(i *Invite) { i.From = user } }

// WithTo sets the To URI.
func WithTo(u string) Option { return func(i *Invite) { i.To = u } }

// WithHeaders adds header lines "Name: value".
func WithHeaders(lines ...string) Option {
	return func(i *Invite) { i.Headers = append(i.Headers, lines...) }
}

// WithLateOffer leaves the SDP out of the INVITE: the offer comes in the 200,
// the answer goes in the ACK.
func WithLateOffer() Option { return func(i *Invite) { i.Late = true } }

// WithBinding calls one certain binding.
func WithBinding(b *Binding) Option { return func(i *Invite) { i.Binding, i.URI = b, b.URI } }

// Call lets a caller outside call a user: an INVITE with SDP goes to the
// newest binding's Contact over the flow its REGISTER came on. It returns at
// once; Rings and Answered wait for what becomes of it.
func (p *Provider) Call(ctx context.Context, user string, opts ...Option) (*Call, error) {
	list := p.Bindings(user)
	if len(list) == 0 {
		return nil, fmt.Errorf("peer: %s has no binding at the provider", user)
	}
	return p.invite(ctx, user, list[len(list)-1], "", "", opts)
}

// CallAll lets one caller call all bindings of a user in parallel, with one
// Call-ID and From tag as a forking proxy does; when one answers, the others
// are cancelled. The calls are in the order of the bindings.
func (p *Provider) CallAll(ctx context.Context, user string, opts ...Option) ([]*Call, error) {
	callID, fromTag := random(20), random(10)
	var calls []*Call
	for _, b := range p.Bindings(user) {
		c, err := p.invite(ctx, user, b, callID, fromTag, opts)
		if err != nil {
			return calls, err
		}
		calls = append(calls, c)
	}
	if len(calls) == 0 {
		return nil, fmt.Errorf("peer: %s has no binding at the provider", user)
	}
	for _, c := range calls {
		p.spawn(func() {
			if c.Answered(p.ctx) != nil {
				return
			}
			for _, other := range calls {
				if other != c {
					_ = other.Cancel(p.ctx)
				}
			}
		})
	}
	return calls, nil
}

func (p *Provider) invite(ctx context.Context, user string, b *Binding, callID, fromTag string, opts []Option) (*Call, error) {
	inv := Invite{URI: b.URI, From: "+4930555", To: "sip:" + user + "@" + p.conf.Domain, Binding: b, CallID: callID, FromTag: fromTag}
	for _, o := range opts {
		o(&inv)
	}
	f := p.flowOf(inv.Binding)
	if f == nil {
		return nil, fmt.Errorf("peer: no connection to the binding %s", inv.Binding.Contact)
	}
	c, err := p.newCall(true)
	if err != nil {
		return nil, err
	}
	if c.callID = inv.CallID; c.callID == "" {
		c.callID = random(20)
	}
	if inv.FromTag != "" {
		c.localTag = inv.FromTag
	}
	c.uri, c.target, c.extra, c.fixed = inv.URI, inv.URI, inv.Headers, f
	c.late = inv.Late
	c.local = "<sip:" + inv.From + "@" + p.conf.Domain + ">;tag=" + c.localTag
	c.remote = "<" + inv.To + ">"
	return c, c.start(ctx)
}

// Request sends a request outside any dialog (OPTIONS, MESSAGE, NOTIFY …) to a
// user's newest binding and returns the final response; one that is not 2xx
// comes with a *StatusError.
func (p *Provider) Request(ctx context.Context, method, user string, extra []string, body string) (*Message, error) {
	list := p.Bindings(user)
	if len(list) == 0 {
		return nil, fmt.Errorf("peer: %s has no binding at the provider", user)
	}
	b := list[len(list)-1]
	f := p.flowOf(b)
	if f == nil {
		return nil, fmt.Errorf("peer: no connection to the binding %s", b.Contact)
	}
	q := form{
		method: method, uri: b.URI, from: "<sip:" + p.conf.Domain + ">;tag=" + random(8),
		to: "<sip:" + user + "@" + p.conf.Domain + ">", callID: random(20), contact: p.contact(f), extra: extra, body: body,
	}
	m, err := p.exchange(ctx, f, &q, nil)
	if err == nil && m.Status() >= 300 {
		err = &StatusError{m}
	}
	return m, err
}
