//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// A site says where a generator's sockets are.
type site struct {
	inside   func(func() error) error // opens sockets where the peers are
	phone    func(n int) netip.AddrPort
	provider netip.AddrPort // UDP and TCP; TLS is one port higher
	cert     tls.Certificate
}

// A generator is the phones on one side of a proxy and the provider on the
// other. One lock guards all of it: it runs on one CPU.
type generator struct {
	site
	proxy netip.AddrPort // where the phones send
	wan   string         // the proxy's address in a Contact that the provider may see, "" for a relay that changes nothing
	hides string         // text that no message to the provider may hold, "" if it may hold anything

	mu       sync.Mutex // guards following
	tally    tally
	phones   []*phone
	bindings map[string]*binding
	paths    map[netip.AddrPort]*party // the proxy's UDP addresses, as the provider sees them
	calls    map[string]*call
	open     map[*ask]bool
	serial   int
	closed   bool

	done    chan struct{}
	closers []func() error
	work    sync.WaitGroup
}

// A party is an end that signals: a phone, or the provider on one path.
type party struct {
	proto string // as in a Via
	addr  string // its own host:port
	peer  string // where its messages come from
	media string
	phone *phone // nil: the provider
	send  func(text string)
}

func (p *party) contact() string {
	user := "gw"
	if p.phone != nil {
		user = p.phone.user
	}
	uri := "sip:" + user + "@" + p.addr
	if p.proto != "UDP" {
		uri += ";transport=" + strings.ToLower(p.proto)
	}
	return uri
}

// open opens the sockets of the provider and of n phones and serves them. The
// proxy's address may be set until the first unit begins.
func open(s site, n int) (*generator, error) {
	g := &generator{
		site: s, bindings: map[string]*binding{}, paths: map[netip.AddrPort]*party{},
		calls: map[string]*call{}, open: map[*ask]bool{}, done: make(chan struct{}),
	}
	err := s.inside(func() error {
		if err := g.openProvider(); err != nil {
			return err
		}
		for i := range n {
			if err := g.openPhone(i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, g.close())
	}
	g.work.Go(g.repeat)
	return g, nil
}

// close ends everything and waits for it.
func (g *generator) close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	close(g.done)
	var errs []error
	for _, c := range g.closers {
		errs = append(errs, c())
	}
	g.work.Wait()
	return errors.Join(errs...)
}

// readUDP hands each datagram of a socket over until it is closed.
func (g *generator) readUDP(pc *net.UDPConn, at func(from netip.AddrPort) *party) {
	buf := make([]byte, 8192)
	for {
		n, from, err := pc.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if n < 12 { // an error of a datagram sent earlier, or a keep-alive
			continue
		}
		g.mu.Lock()
		g.message(at(from), string(buf[:n]))
		g.mu.Unlock()
	}
}

// message takes in what came to a party.
func (g *generator) message(at *party, m string) {
	if g.closed {
		return
	}
	if at.phone == nil && g.hides != "" && strings.Contains(m, g.hides) {
		g.leaked(m)
		return
	}
	if status := statusOf(m); status != 0 {
		g.response(at, m, status)
		return
	}
	method, _ := startLine(m)
	switch method {
	case "REGISTER":
		g.registrar(at, m)
	case "OPTIONS":
		at.send(respond(m, "200 OK", "o", at.peer, "", ""))
	default:
		c := g.calls[field(m, "Call-ID")]
		if c == nil {
			g.tally.repeated++ // of a call that is over
			return
		}
		c.request(at, m, method)
	}
}

func (g *generator) response(at *party, m string, status int) {
	if _, method := cseqOf(m); method == "REGISTER" && at.phone != nil {
		at.phone.registerAnswer(m, status)
		return
	}
	if c := g.calls[field(m, "Call-ID")]; c != nil {
		c.response(at, m, status)
	}
}

// leaked fails the unit of a message that named an address of the LAN.
func (g *generator) leaked(m string) {
	u := &unit{counted: g.tally.counting}
	if c := g.calls[field(m, "Call-ID")]; c != nil {
		u = &c.unit
	} else if b := g.bindings[userOf(uriOf(field(m, "From")))]; b != nil {
		u = &b.phone.unit
	}
	g.fail(u, "a LAN address reached the provider", m)
}

// next returns a number that was not used before, as text.
func (g *generator) next() string {
	g.serial++
	return fmt.Sprintf("%d", g.serial)
}

// after runs f under the lock when d is over.
func (g *generator) after(d time.Duration, f func()) {
	g.work.Add(1)
	time.AfterFunc(d, func() {
		defer g.work.Done()
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.closed {
			f()
		}
	})
}

// An ask is a message that waits for its answer.
type ask struct {
	text     string
	via      *party
	next     time.Time // of the next repetition
	step     time.Duration
	late     time.Time
	reliable bool
	unit     *unit
}

const (
	firstRepeat = 500 * time.Millisecond // T1
	patience    = 4 * time.Second        // then the unit has failed
)

// ask sends a message and repeats it until heard. Over a stream it is not
// repeated.
func (g *generator) ask(a *ask, via *party, text string, u *unit) {
	now := time.Now()
	*a = ask{text: text, via: via, next: now.Add(firstRepeat), step: firstRepeat, late: now.Add(patience), reliable: via.proto != "UDP", unit: u}
	g.open[a] = true
	via.send(text)
}

// heard ends the waiting; it reports whether there was any.
func (g *generator) heard(a *ask) bool {
	was := g.open[a]
	delete(g.open, a)
	return was
}

// repeat sends again what was not answered, until the generator is closed.
func (g *generator) repeat() {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-g.done:
			return
		case now := <-ticker.C:
			g.mu.Lock()
			g.repeatDue(now)
			g.mu.Unlock()
		}
	}
}

func (g *generator) repeatDue(now time.Time) {
	for a := range g.open {
		switch {
		case a.unit.over:
			delete(g.open, a)
		case now.After(a.late):
			delete(g.open, a)
			g.fail(a.unit, "no answer", a.text)
		case !a.reliable && now.After(a.next):
			a.step *= 2
			a.next = now.Add(a.step)
			g.tally.resent++
			a.via.send(a.text)
		}
	}
}
