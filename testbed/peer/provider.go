package peer

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"pinhole/internal/transport"
)

// Listen is one socket of a provider.
type Listen struct {
	Proto string // UDP, TCP or TLS
	Addr  netip.AddrPort
}

// ProviderConfig says what a provider serves. Domain, Users and Listen are
// needed.
type ProviderConfig struct {
	Domain string
	Users  map[string]string // name → password, or "ha1:HEX" for HA1(name, realm, password)
	Listen []Listen
	TLS    *tls.Config // for TLS listeners: see CA.Server

	Auth    Auth
	Quirks  Quirks
	Numbers map[string]Answer // numbers that the provider answers itself

	// Media is where the callers outside send and receive audio; zero is the
	// first listener's address. MediaNet is the network they are on, nil the
	// provider's: set both to have media on a host other than SIP's.
	Media    netip.Addr
	MediaNet transport.Net
	NoLatch  bool                // callers send to the SDP's address only
	EditSDP  func(string) string // last word on every offer and answer
	Tap      func(*Message)      // every message sent or received, as it goes by
	Reliable bool                // callers and numbers use 100rel (RFC 3262)

	// Handle sees every request first; true says that it has dealt with it. It
	// runs in the socket's reader and must not block.
	Handle func(*Request) bool
}

// An Answer is what a number of the provider's own does.
type Answer string

// The answers a number can have.
const (
	AnswerNow   Answer = "answer" // 200 at once; talks when the test says so
	AnswerEcho  Answer = "echo"   // 200 at once, sends audio back
	AnswerRings Answer = "ring"   // 180, answered by the test: see Provider.Expect
	AnswerLate  Answer = "late"   // 180 and, a second later, 200
	AnswerEarly Answer = "early"  // 183 with SDP and echo, and, a second later, 200
	AnswerBusy  Answer = "busy"   // 486
)

// A Provider is a registrar and proxy with callers outside. Safe for
// concurrent use.
type Provider struct {
	ua
	conf ProviderConfig

	mu      sync.Mutex
	auth    Auth
	quirks  Quirks
	users   map[string]string
	numbers map[string]Answer
	nonces  map[string]*nonce
	usrloc  map[string][]*Binding // by user
	socks   map[string]transport.PacketConn
}

// NewProvider opens the provider's sockets on n and serves them until Close.
// A listener with port 0 gets a free port: see Addr.
func NewProvider(n transport.Net, conf ProviderConfig) (*Provider, error) {
	if len(conf.Listen) == 0 || conf.Domain == "" {
		return nil, fmt.Errorf("peer: a provider needs a domain and a listener")
	}
	p := &Provider{
		conf: conf, auth: conf.Auth, quirks: conf.Quirks, users: map[string]string{}, numbers: map[string]Answer{},
		nonces: map[string]*nonce{}, usrloc: map[string][]*Binding{},
		socks: map[string]transport.PacketConn{},
	}
	for name, password := range conf.Users {
		p.users[name] = password
	}
	for number, answer := range conf.Numbers {
		p.numbers[number] = answer
	}
	media := conf.MediaNet
	if media == nil {
		media = n
	}
	p.ua = ua{
		endpoint: newEndpoint(n, p.request), name: "pinhole-testprovider", mediaNet: media, latch: !conf.NoLatch,
		editSDP: conf.EditSDP, path: p.pathOf, mediaIP: p.mediaAddr,
		reliable: conf.Reliable, record: func() []string { return p.quirk().RecordRoute },
		contact: func(f *Flow) string { return "<" + p.ownURI("sip:gw@", f) + ">" },
	}
	p.tap = conf.Tap
	p.keep = func() int { return p.quirk().Keep }
	p.pong = func() PongMode { return p.quirk().Pong }
	p.plainVia = func() bool { return p.quirk().PlainVia }
	if err := p.open(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// open opens the listeners, port 0 becoming a fixed one.
func (p *Provider) open() error {
	for i := range p.conf.Listen {
		l := &p.conf.Listen[i]
		switch l.Proto {
		case UDP:
			pc, err := p.listenUDP(l.Addr)
			if err != nil {
				return fmt.Errorf("opening the provider's socket: %w", err)
			}
			l.Addr = addrPort(pc.LocalAddr())
			p.mu.Lock()
			p.socks[l.Addr.String()] = pc
			p.mu.Unlock()
		case TCP, TLS:
			ln, err := p.listen(l.Proto, l.Addr, p.conf.TLS)
			if err != nil {
				return fmt.Errorf("opening the provider's listener: %w", err)
			}
			l.Addr = addrPort(ln.Addr())
		default:
			return fmt.Errorf("peer: no transport %q", l.Proto)
		}
	}
	return nil
}

// Addr returns the address of the first listener of a transport, zero if there
// is none.
func (p *Provider) Addr(proto string) netip.AddrPort {
	for _, l := range p.conf.Listen {
		if l.Proto == proto {
			return l.Addr
		}
	}
	return netip.AddrPort{}
}

// Close ends the provider and waits for its goroutines; it sends nothing.
func (p *Provider) Close() { p.shut() }

// Kill closes every stream connection with a reset; UDP and the listeners stay.
func (p *Provider) Kill() {
	for _, f := range p.streams() {
		f.Abort()
	}
}

// Hangups closes every stream connection in the usual way.
func (p *Provider) Hangups() {
	for _, f := range p.streams() {
		f.Close()
	}
}

// BlackHole makes the provider deaf and mute on all its flows, those to come
// included, without closing any, until it is called with false.
func (p *Provider) BlackHole(on bool) {
	p.emu.Lock()
	p.deaf = on
	flows := make([]*Flow, 0, len(p.flows))
	for f := range p.flows {
		flows = append(flows, f)
	}
	p.emu.Unlock()
	for _, f := range flows {
		f.BlackHole(on)
	}
}

// Stop closes all sockets, as a provider does that goes down; with reset its
// connections are reset.
func (p *Provider) Stop(reset bool) { p.shutSockets(reset) }

// Restart stops the provider and starts it again on the same addresses.
// Nonces are forgotten; bindings only when forget is set.
func (p *Provider) Restart(forget bool) error {
	p.Stop(true)
	p.mu.Lock()
	p.nonces = map[string]*nonce{}
	if forget {
		p.usrloc = map[string][]*Binding{}
	}
	p.mu.Unlock()
	return p.open()
}

// Set changes the provider's quirks while it runs.
func (p *Provider) Set(change func(*Quirks)) {
	p.mu.Lock()
	change(&p.quirks)
	p.mu.Unlock()
}

// SetAuth changes how the provider challenges.
func (p *Provider) SetAuth(change func(*Auth)) {
	p.mu.Lock()
	change(&p.auth)
	p.mu.Unlock()
}

// SetUser adds a user or changes a password; "" removes the user.
func (p *Provider) SetUser(name, password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if password == "" {
		delete(p.users, name)
		return
	}
	p.users[name] = password
}

// SetNumber says what a number does.
func (p *Provider) SetNumber(number string, a Answer) {
	p.mu.Lock()
	p.numbers[number] = a
	p.mu.Unlock()
}

// ExpireNonces makes every nonce given out so far stale.
func (p *Provider) ExpireNonces() {
	p.mu.Lock()
	for _, n := range p.nonces {
		n.old = true
	}
	p.mu.Unlock()
}

func (p *Provider) quirk() Quirks {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.quirks
}

func (p *Provider) mediaAddr() netip.Addr {
	if p.conf.Media.IsValid() {
		return p.conf.Media
	}
	return p.conf.Listen[0].Addr.Addr()
}

// ownURI writes prefix and our own address as a flow's peer sees it.
func (p *Provider) ownURI(prefix string, f *Flow) string {
	u := prefix + f.local.String()
	if f.proto != UDP {
		u += ";transport=" + f.proto
	}
	return u
}

// Flows returns the open stream connections.
func (p *Provider) Flows() []*Flow { return p.streams() }

// SendRaw sends bytes as they are over a flow and records them.
func (p *Provider) SendRaw(f *Flow, raw string) error {
	if newMessage(raw) == nil {
		return f.Send([]byte(raw))
	}
	return p.sendRaw(f, raw)
}

// Expect waits for the next call to one of the provider's own numbers.
func (p *Provider) Expect(ctx context.Context) (*Call, error) { return p.expect(ctx) }

// request handles what comes in.
func (p *Provider) request(r *Request) {
	if p.conf.Handle != nil && p.conf.Handle(r) {
		return
	}
	q := p.quirk()
	if q.Ignore[r.Method()] {
		r.Drop()
		return
	}
	if code := q.Refuse[r.Method()]; code != 0 && r.Method() != "ACK" {
		_ = r.Respond(code, "", nil, "")
		return
	}
	if tag(r.Get("to")) != "" {
		if q.ChallengeAll && r.Method() != "ACK" {
			if _, ok := p.authorised(r, 407); !ok {
				return
			}
		}
		if c := p.call(r); c != nil {
			p.inDialog(c, r)
			return
		}
		p.relay(r)
		return
	}
	switch r.Method() {
	case "REGISTER":
		p.register(r)
	case "INVITE":
		p.invited(r)
	case "ACK":
	case "OPTIONS":
		_ = r.Respond(200, "", []string{"Allow: " + allow}, "")
	default:
		if user, ok := p.authorised(r, 407); ok {
			p.route(r, user)
		}
	}
}

// invited handles an INVITE outside a dialog.
func (p *Provider) invited(r *Request) {
	if !p.quirk().OpenInvite {
		if _, ok := p.authorised(r, 407); !ok {
			return
		}
	}
	p.route(r, "")
}

// route sends a request to one of our numbers or to a user's bindings.
func (p *Provider) route(r *Request, _ string) {
	user := parseURI(r.URI()).user
	p.mu.Lock()
	answer, own := p.numbers[user]
	p.mu.Unlock()
	targets := p.Bindings(user)
	switch {
	case own && r.Method() == "INVITE":
		p.own(r, answer)
	case own:
		p.outside(r)
	case len(targets) > 0:
		p.fork(r, targets)
	default:
		_ = r.Respond(404, "", nil, "")
	}
}

// own answers a call to one of our numbers.
func (p *Provider) own(r *Request, answer Answer) {
	if answer == AnswerBusy {
		_ = r.Respond(486, "", nil, "")
		return
	}
	c, err := p.incoming(r)
	if err != nil {
		_ = r.Respond(500, "", nil, "")
		return
	}
	switch answer {
	case AnswerEcho:
		c.Media().Echo(true)
		_ = c.Answer()
	case AnswerNow:
		_ = c.Answer()
	case AnswerRings:
		_ = c.Ring()
	case AnswerLate:
		_ = c.Ring()
		p.later(c)
	case AnswerEarly:
		c.Media().Echo(true)
		_ = c.Progress(183, true)
		p.later(c)
	}
	p.offer(c)
}

// later answers a call after a second, unless it is over by then.
func (p *Provider) later(c *Call) {
	p.spawn(func() {
		ctx, cancel := context.WithTimeout(p.ctx, time.Second)
		defer cancel()
		if c.Ended(ctx) != nil && p.ctx.Err() == nil {
			_ = c.Answer()
		}
	})
}

// trimURI cuts the parameters of a SIP URI off.
func trimURI(u string) string {
	u, _, _ = strings.Cut(u, ";")
	return u
}
