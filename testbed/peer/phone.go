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

// PhoneConfig says who a phone is and how it behaves. Zero values are those of
// a plain desk phone.
type PhoneConfig struct {
	User     string
	Password string         // "ha1:HEX" for H(user:realm:password)
	AuthUser string         // "" is User
	Domain   string         // the registrar as the phone knows it
	Proxy    netip.AddrPort // where everything is sent: Pinhole, or the provider itself
	Proto    string         // UDP, TCP or TLS; "" is UDP
	Addr     netip.AddrPort // local address; zero: the system's choice and a free port
	TLS      *tls.Config    // for TLS

	Expires      time.Duration // asked for; 0 is an hour
	ExpiresParam bool          // ask in the Contact instead of an Expires header
	Refresh      bool          // register again at half of what was granted, and when the connection broke
	FreshAuth    bool          // send every request first without credentials

	// Contacts are the values of the REGISTER's Contact lines; {uri} stands for
	// the phone's URI, {addr} for its ip:port. nil is "<{uri}>". The first is
	// used in dialogs, without its header parameters.
	Contacts    []string
	ContactName string   // "" is Contact; "m" is the compact form
	ContactURI  string   // "" is sip:{user}@{addr}, with ;transport= but for UDP
	Headers     []string // further lines of every REGISTER
	Route       bool     // put <sip:PROXY;lr> in a Route header
	NoAudio     bool     // calls without SDP and RTP

	LateOffer  bool                // INVITE without SDP: the offer comes in the 200, the answer in the ACK
	Reliable   bool                // 100rel (RFC 3262)
	AutoAnswer bool                // ring and answer every call at once
	EditSDP    func(string) string // last word on every offer and answer
	Tap        func(*Message)      // every message sent or received, as it goes by

	// Handle sees every request first; true says that it has dealt with it. It
	// runs in the socket's reader and must not block.
	Handle func(*Request) bool
}

// A Phone is a SIP phone: it registers, calls and is called through one
// outbound proxy. Safe for concurrent use.
type Phone struct {
	ua
	conf PhoneConfig

	pmu     sync.Mutex
	pc      transport.PacketConn
	stream  *Flow
	dialing sync.Mutex
	creds   credentials
	callID  string
	seq     uint32
	fromTag string
	lease   chan time.Duration // what was granted last, for refresh
}

// NewPhone opens the phone's socket (UDP) on n and returns it; TCP and TLS are
// dialled when something is sent first.
func NewPhone(n transport.Net, conf PhoneConfig) (*Phone, error) {
	if conf.Proto == "" {
		conf.Proto = UDP
	}
	if conf.AuthUser == "" {
		conf.AuthUser = conf.User
	}
	if conf.Expires == 0 {
		conf.Expires = time.Hour
	}
	if !conf.Addr.IsValid() {
		src, err := n.Source(conf.Proxy.Addr())
		if err != nil {
			return nil, fmt.Errorf("finding the phone's address: %w", err)
		}
		conf.Addr = netip.AddrPortFrom(src, 0)
	}
	p := &Phone{conf: conf, callID: random(16) + "@" + hostText(conf.Addr.Addr()), fromTag: random(8)}
	p.creds = credentials{user: conf.AuthUser, password: conf.Password}
	p.lease = make(chan time.Duration, 1)
	p.ua = ua{
		endpoint: newEndpoint(n, p.request), name: "pinhole-testphone", mediaNet: n, editSDP: conf.EditSDP,
		path:    func(ctx context.Context, _ *Call) (*Flow, error) { return p.flow(ctx) },
		contact: p.dialogContact, reliable: conf.Reliable,
		mediaIP: func() netip.Addr {
			if conf.NoAudio {
				return netip.Addr{}
			}
			return conf.Addr.Addr()
		},
	}
	p.tap = conf.Tap
	if conf.Proto == UDP {
		pc, err := p.listenUDP(conf.Addr)
		if err != nil {
			return nil, fmt.Errorf("opening the phone's socket: %w", err)
		}
		p.pc = pc
	}
	if conf.Refresh {
		p.spawn(p.refresh)
	}
	return p, nil
}

// Close ends the phone's calls, sockets and goroutines, and waits for them; it
// sends nothing.
func (p *Phone) Close() { p.shut() }

// Flow returns the phone's path to its proxy; nil when its connection is not
// open.
func (p *Phone) Flow() *Flow {
	p.pmu.Lock()
	defer p.pmu.Unlock()
	if p.pc != nil {
		return p.udpFlow(p.pc, p.conf.Proxy)
	}
	if p.stream != nil && p.stream.Alive() {
		return p.stream
	}
	return nil
}

// flow returns the path to the proxy and dials it where needed.
func (p *Phone) flow(ctx context.Context) (*Flow, error) {
	p.dialing.Lock()
	defer p.dialing.Unlock()
	if f := p.Flow(); f != nil {
		return f, nil
	}
	f, err := p.dial(ctx, p.conf.Proto, p.conf.Addr, p.conf.Proxy, p.conf.TLS)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", p.conf.Proxy, err)
	}
	p.pmu.Lock()
	p.stream = f
	p.pmu.Unlock()
	return f, nil
}

// Reconnect gives the phone's connection up and opens another one, from
// another port; a UDP phone gets another socket.
func (p *Phone) Reconnect(ctx context.Context) error {
	if p.conf.Proto != UDP {
		if f := p.Flow(); f != nil {
			f.Close()
		}
		_, err := p.flow(ctx)
		return err
	}
	pc, err := p.listenUDP(netip.AddrPortFrom(p.conf.Addr.Addr(), 0))
	if err != nil {
		return fmt.Errorf("opening another socket: %w", err)
	}
	p.pmu.Lock()
	old := p.pc
	p.pc = pc
	p.pmu.Unlock()
	return old.Close()
}

// Ping sends CRLFCRLF on the phone's connection and waits for the CRLF.
func (p *Phone) Ping(ctx context.Context) error {
	f, err := p.flow(ctx)
	if err != nil {
		return err
	}
	before := f.Pongs()
	if err := f.Send([]byte("\r\n\r\n")); err != nil {
		return err
	}
	return wrap("waiting for the pong", p.wait(ctx, func() bool { return f.Pongs() > before || !f.Alive() }))
}

// URI returns the phone's Contact URI on a flow.
func (p *Phone) uri(f *Flow) string {
	form := p.conf.ContactURI
	if form == "" {
		form = "sip:{user}@{addr}"
		if p.conf.Proto != UDP {
			form += ";transport=" + p.conf.Proto
		}
	}
	return strings.NewReplacer("{user}", p.conf.User, "{addr}", f.local.String()).Replace(form)
}

func (p *Phone) dialogContact(f *Flow) string { return "<" + p.uri(f) + ">" }

func (p *Phone) aor() string { return "sip:" + p.conf.User + "@" + p.conf.Domain }

func (p *Phone) routes() []string {
	if !p.conf.Route {
		return nil
	}
	r := "<sip:" + p.conf.Proxy.String()
	if p.conf.Proto != UDP {
		r += ";transport=" + p.conf.Proto
	}
	return []string{r + ";lr>"}
}

// request handles what comes in.
func (p *Phone) request(r *Request) {
	if p.conf.Handle != nil && p.conf.Handle(r) {
		return
	}
	if tag(r.Get("to")) != "" {
		if c := p.call(r); c != nil {
			p.inDialog(c, r)
			return
		}
		if r.Method() != "ACK" {
			_ = r.Respond(481, "", nil, "")
		}
		return
	}
	if r.Method() != "INVITE" {
		p.outside(r)
		return
	}
	c, err := p.incoming(r)
	if err != nil {
		_ = r.Respond(500, "", nil, "")
		return
	}
	if p.conf.AutoAnswer {
		_ = c.Ring()
		_ = c.Answer()
	}
	p.offer(c)
}

// Expect waits for the next incoming call that was not expected before.
func (p *Phone) Expect(ctx context.Context) (*Call, error) { return p.expect(ctx) }

// Call sends an INVITE to a number (a user of the domain) or a SIP URI and
// returns at once; Rings and Answered wait for what becomes of it.
func (p *Phone) Call(ctx context.Context, number string, extra ...string) (*Call, error) {
	c, err := p.newCall(true)
	if err != nil {
		return nil, err
	}
	c.uri = number
	if u := parseURI(number); u.scheme == "" {
		c.uri = "sip:" + number + "@" + p.conf.Domain
	}
	c.callID = random(16) + "@" + hostText(p.conf.Addr.Addr())
	c.local = "<" + p.aor() + ">;tag=" + c.localTag
	c.remote = "<" + c.uri + ">"
	c.target, c.routes, c.extra, c.late = c.uri, p.routes(), extra, p.conf.LateOffer
	c.creds = &credentials{user: p.conf.AuthUser, password: p.conf.Password}
	return c, c.start(ctx)
}

// Request sends a request outside any dialog (MESSAGE, OPTIONS, SUBSCRIBE …) to
// a number or SIP URI, answers a challenge, and returns the final response;
// one that is not 2xx comes with a *StatusError.
func (p *Phone) Request(ctx context.Context, method, number string, extra []string, body string) (*Message, error) {
	f, err := p.flow(ctx)
	if err != nil {
		return nil, err
	}
	if parseURI(number).scheme == "" {
		number = "sip:" + number + "@" + p.conf.Domain
	}
	q := form{
		method: method, uri: number, from: "<" + p.aor() + ">;tag=" + random(8), to: "<" + number + ">",
		callID: random(16), contact: p.dialogContact(f), routes: p.routes(), extra: extra, body: body,
	}
	m, err := p.exchange(ctx, f, &q, &credentials{user: p.conf.AuthUser, password: p.conf.Password})
	if err == nil && m.Status() >= 300 {
		err = &StatusError{m}
	}
	return m, err
}
