package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/message"
	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

const server = "192.168.1.2:5060"

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// options is a whole request; id tells it from others, body is its body.
func options(id, body string) string {
	return "OPTIONS sip:b@example.com SIP/2.0\r\n" +
		"Via: SIP/2.0/TCP 192.168.1.10;branch=z9hG4bK" + id + "\r\n" +
		"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\n" +
		"Call-ID: " + id + "\r\nCSeq: 1 OPTIONS\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body
}

// An owner is a Handler that writes down what it hears, a line an event.
type owner struct {
	mu      sync.Mutex
	heard   []string
	sockets []transport.Socket
	closed  map[transport.Socket]error
	answer  string                 // sent for each message
	opened  func(transport.Socket) // where not nil
}

func (o *owner) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heard = append(o.heard, fmt.Sprintf(format, args...))
}

func (o *owner) Opened(s transport.Socket) {
	o.mu.Lock()
	o.sockets = append(o.sockets, s)
	o.mu.Unlock()
	o.note("opened %v", s.Proto())
	if o.opened != nil {
		o.opened(s)
	}
}

func (o *owner) Message(s transport.Socket, from netip.AddrPort, m *message.Message, err error) {
	var e *message.Error
	switch {
	case errors.As(err, &e):
		o.note("broken %d close=%t", e.Status, e.Close)
	default:
		o.note("%s %s body=%d", m.Method, m.Get(message.CallID), len(m.Body()))
	}
	if o.answer != "" {
		_ = s.Send([]byte(o.answer), from)
	}
}

func (o *owner) STUN(_ transport.Socket, _ netip.AddrPort, b []byte) { o.note("stun %d", len(b)) }

func (o *owner) Pong(transport.Socket) { o.note("pong") }

func (o *owner) Closed(s transport.Socket, err error) {
	o.mu.Lock()
	if o.closed == nil {
		o.closed = make(map[transport.Socket]error)
	}
	if _, twice := o.closed[s]; twice {
		o.heard = append(o.heard, "closed twice")
	}
	o.closed[s] = err
	o.mu.Unlock()
	o.note("closed: %s", reason(err))
}

// events returns what was heard since the last call, without "opened".
func (o *owner) events() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := strings.Join(o.heard, "; ")
	o.heard = nil
	all = strings.TrimPrefix(all, "opened TCP")
	return strings.TrimPrefix(all, "; ")
}

// socket returns the i-th socket that was opened.
func (o *owner) socket(i int) transport.Socket {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sockets[i]
}

// reason names an error briefly.
func reason(err error) string {
	var e *message.Error
	switch {
	case errors.As(err, &e):
		return "framing"
	case errors.Is(err, net.ErrClosed):
		return "closed"
	case err == nil:
		return "nil"
	}
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err.Error()
}

// A lan is a server at 192.168.1.2:5060 and a phone, on one segment.
type lan struct {
	t      *testing.T
	seg    *memnet.Segment
	server *memnet.Host
	phone  *memnet.Host
	lim    transport.Limits
	owner  *owner
	allow  func(netip.Addr) bool
	ctx    context.Context
	stop   context.CancelFunc
	done   chan error
}

// onLAN runs f in a bubble of its own.
func onLAN(t *testing.T, f func(l *lan)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		defer n.Close()
		l := &lan{t: t, seg: n.Segment("lan"), lim: transport.DefaultLimits(), owner: &owner{}, done: make(chan error, 1)}
		l.server, l.phone = l.seg.Host("192.168.1.2"), l.seg.Host("192.168.1.10")
		l.ctx, l.stop = context.WithCancel(context.Background())
		defer l.stop()
		f(l)
	})
}

// serve starts ServeStream over TCP.
func (l *lan) serve() { l.serveListener(l.listen()) }

func (l *lan) listen() transport.Listener {
	l.t.Helper()
	ln, err := l.server.Listen(l.ctx, ap(server))
	if err != nil {
		l.t.Fatal(err)
	}
	return ln
}

func (l *lan) serveListener(ln transport.Listener) {
	go func() {
		l.done <- transport.ServeStream(l.ctx, ln, transport.TCP, nil, l.allow, l.lim, l.owner)
	}()
}

// serveUDP starts ServeUDP.
func (l *lan) serveUDP() {
	l.t.Helper()
	pc, err := l.server.ListenPacket(l.ctx, ap(server))
	if err != nil {
		l.t.Fatal(err)
	}
	go func() { l.done <- transport.ServeUDP(l.ctx, pc, l.allow, l.lim, l.owner) }()
	synctest.Wait()
}

// dial connects the phone.
func (l *lan) dial() transport.Conn {
	l.t.Helper()
	c, err := l.phone.Dial(l.ctx, netip.AddrPort{}, ap(server))
	if err != nil {
		l.t.Fatal(err)
	}
	synctest.Wait()
	return c
}

// count has refusals counted, by what they are called and from where.
func (l *lan) count() func() string {
	var mu sync.Mutex
	var all []string
	l.lim.Refused = func(why transport.Refusal, from netip.Addr) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, why.String()+" "+from.String())
	}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(all, ", ")
	}
}

// says writes to the server, piece by piece, and returns what its owner hears.
func (l *lan) says(c io.Writer, pieces ...string) string {
	l.t.Helper()
	for _, p := range pieces {
		if _, err := c.Write([]byte(p)); err != nil {
			l.t.Fatal(err)
		}
		synctest.Wait()
	}
	return l.owner.events()
}

// hears returns what has arrived at the phone, or the error's reason.
func (l *lan) hears(c net.Conn) string {
	l.t.Helper()
	synctest.Wait()
	b := make([]byte, 64<<10)
	_ = c.SetReadDeadline(time.Now().Add(time.Nanosecond))
	n, err := c.Read(b)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ""
	case err != nil:
		return reason(err)
	}
	return string(b[:n])
}

// end ends the server and returns ServeStream's or ServeUDP's error.
func (l *lan) end() error {
	l.stop()
	return <-l.done
}

func (l *lan) want(what, got, want string) {
	l.t.Helper()
	if got != want {
		l.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
