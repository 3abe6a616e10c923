package flow

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"pinhole/internal/resolve"
	"pinhole/internal/transport"
	"pinhole/nat"
	"pinhole/testbed/memnet"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

const (
	local  = "192.168.1.2"
	public = "203.0.113.2"
	one    = "198.51.100.10" // the provider's servers
	two    = "198.51.100.11"
	stun1  = "198.51.100.20:3478"
	names  = "198.51.100.53:53"
)

// A world is a bubble with a gateway host behind a NAT, a provider with two
// addresses, a name server and a STUN server, and one flow.
type world struct {
	t        *testing.T
	lan, wan *memnet.Segment
	nat      *memnet.Gateway
	host     *memnet.Host
	provider *memnet.Host
	others   *memnet.Host // the name server and the STUN servers

	flow   *Flow
	events chan Event
	log    lockedLog
	zone   map[string]string // a question, as "A example.com", to one record a line; guarded by zoneMu
	zoneMu sync.Mutex
	stop   context.CancelFunc // ends the flow
	over   chan error         // Run's result
	tasks  sync.WaitGroup     // of the helpers
	ends   []io.Closer        // what makes them end
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// inWorld runs f in a world whose NAT is cfg. When f is done the flow must end
// without a goroutine left.
func inWorld(t *testing.T, cfg memnet.NAT, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		w := &world{t: t, wan: n.Segment("wan"), lan: n.Segment("lan", netip.MustParsePrefix("192.168.1.0/24")), zone: map[string]string{}}
		cfg.Inside, cfg.Outside, cfg.InsideAddr, cfg.OutsideAddr = w.lan, w.wan, "192.168.1.1", public
		w.nat = n.NAT(cfg)
		w.host = w.lan.Host(local)
		w.provider = w.wan.Host(one, two)
		w.others = w.wan.Host("198.51.100.20", "198.51.100.21", "198.51.100.53")
		defer func() {
			if w.flow != nil {
				w.end()
			}
			for _, c := range w.ends {
				_ = c.Close()
			}
			n.Close()
			w.tasks.Wait()
			if t.Failed() {
				t.Logf("log:\n%s", w.log.String())
			}
		}()
		f(t, w)
	})
}

// make makes the flow, which tells its events to f. Unless cfg says otherwise
// rand is 0.5.
func (w *world) make(cfg Config, f func(Event)) *Flow {
	if cfg.Rand == nil {
		cfg.Rand = func() float64 { return 0.5 }
	}
	if cfg.Name == "" {
		cfg.Name = "main"
	}
	if cfg.Domain == "" {
		cfg.Domain = "example.com"
	}
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.events = make(chan Event, 4096)
	return New(cfg, w.host, resolve.New(w.host, []netip.AddrPort{ap(names)}, log), f, log)
}

// run makes the flow, if that was not done, and starts it.
func (w *world) run(cfg Config) {
	if w.flow == nil {
		w.flow = w.make(cfg, func(e Event) { w.events <- e })
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop, w.over = cancel, make(chan error, 1)
	go func() { w.over <- w.flow.Run(ctx) }()
}

// end stops the flow.
func (w *world) end() {
	w.t.Helper()
	w.stop()
	if err := <-w.over; !errors.Is(err, context.Canceled) {
		w.t.Errorf("Run returns %v", err)
	}
	w.flow = nil
}

// next returns the next event, which must be of kind k (0: any) and come within d.
func (w *world) next(k Kind, d time.Duration) Event {
	w.t.Helper()
	select {
	case e := <-w.events:
		if k != 0 && e.Kind != k {
			w.t.Fatalf("event %+v, want kind %d\n%s", e, k, w.log.String())
		}
		return e
	case <-time.After(d):
		w.t.Fatalf("no event of kind %d within %v\n%s", k, d, w.log.String())
	}
	panic("unreachable")
}

// at is next for an event that must come exactly after d.
func (w *world) at(k Kind, d time.Duration) Event {
	w.t.Helper()
	start := time.Now()
	e := w.next(k, d+time.Hour)
	if got := time.Since(start); got != d {
		w.t.Errorf("event %d after %v, want %v", k, got, d)
	}
	return e
}

// none checks that no event comes within d.
func (w *world) none(d time.Duration) {
	w.t.Helper()
	select {
	case e := <-w.events:
		w.t.Fatalf("event %+v\n%s", e, w.log.String())
	case <-time.After(d):
	}
}

// closeLater ends a helper by closing c after the test.
func (w *world) closeLater(c io.Closer) { w.ends = append(w.ends, c) }

// A server is a provider's TCP or TLS port.
type server struct {
	w     *world
	ln    transport.Listener
	conns chan *conn
}

// A conn is a connection that a server accepted.
type conn struct {
	net.Conn
	tcp transport.Conn

	mu    sync.Mutex
	got   bytes.Buffer
	pings []time.Time
	pong  bool // answer pings
	ended chan struct{}
}

// serve opens a server that takes every connection; config is nil for TCP.
func (w *world) serve(addr string, config *tls.Config, pong bool) *server {
	w.t.Helper()
	ln, err := w.provider.Listen(context.Background(), ap(addr))
	if err != nil {
		w.t.Fatal(err)
	}
	s := &server{w: w, ln: ln, conns: make(chan *conn, 64)}
	w.closeLater(ln)
	w.tasks.Go(func() {
		for {
			tcp, err := ln.Accept()
			if err != nil {
				return
			}
			c := &conn{Conn: tcp, tcp: tcp, pong: pong, ended: make(chan struct{})}
			if config != nil {
				c.Conn = tls.Server(tcp, config)
			}
			w.tasks.Go(c.read)
			s.conns <- c
		}
	})
	return s
}

// accepted returns the next connection.
func (s *server) accepted() *conn {
	s.w.t.Helper()
	select {
	case c := <-s.conns:
		return c
	case <-time.After(time.Hour):
		s.w.t.Fatalf("no connection\n%s", s.w.log.String())
	}
	panic("unreachable")
}

// read takes in all that comes; "\r\n\r\n" by itself is a ping.
func (c *conn) read() {
	defer close(c.ended)
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.got.Write(b[:n])
		ping := string(b[:n]) == "\r\n\r\n"
		if ping {
			c.pings = append(c.pings, time.Now())
		}
		pong := c.pong
		c.mu.Unlock()
		if ping && pong {
			_, _ = c.Write([]byte("\r\n"))
		}
	}
}

func (c *conn) set(pong bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pong = pong
}

func (c *conn) received() string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.String()
}

// pinged returns when pings came.
func (c *conn) pinged() []time.Time {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pings
}

// from is the address the provider sees.
func (c *conn) from() netip.AddrPort { return addrPort(c.tcp.RemoteAddr()) }

// udp opens a UDP socket whose datagrams go to got.
func (w *world) udp(h *memnet.Host, addr string, got func(pc transport.PacketConn, b []byte, from netip.AddrPort)) transport.PacketConn {
	w.t.Helper()
	pc, err := h.ListenPacket(context.Background(), ap(addr))
	if err != nil {
		w.t.Fatal(err)
	}
	w.closeLater(pc)
	w.tasks.Go(func() {
		b := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			got(pc, b[:n], from)
		}
	})
	return pc
}

// stun opens a STUN server over UDP.
func (w *world) stun(addr string) transport.PacketConn {
	return w.udp(w.others, addr, func(pc transport.PacketConn, b []byte, from netip.AddrPort) {
		if out, ok := nat.Answer(b, from); ok {
			_, _ = pc.WriteToUDPAddrPort(out, from)
		}
	})
}

// stunTCP opens a STUN server over TCP.
func (w *world) stunTCP(addr string) {
	w.t.Helper()
	ln, err := w.others.Listen(context.Background(), ap(addr))
	if err != nil {
		w.t.Fatal(err)
	}
	w.closeLater(ln)
	w.tasks.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 28)
			_, _ = io.ReadFull(c, b)
			out, _ := nat.Answer(b, addrPort(c.RemoteAddr()))
			_, _ = c.Write(out)
		}
	})
}

// names opens the name server, which knows w.zone.
func (w *world) names() {
	w.udp(w.others, names, func(pc transport.PacketConn, b []byte, from netip.AddrPort) {
		query := new(dns.Msg)
		if err := query.Unpack(b); err != nil {
			return
		}
		q := query.Question[0]
		m := new(dns.Msg).SetReply(query)
		w.zoneMu.Lock()
		records := w.zone[dns.TypeToString[q.Qtype]+" "+strings.TrimSuffix(q.Name, ".")]
		w.zoneMu.Unlock()
		for line := range strings.Lines(records) {
			rr, err := dns.NewRR(fmt.Sprintf("%s 60 IN %s %s", q.Name, dns.TypeToString[q.Qtype], strings.TrimSpace(line)))
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		out, _ := m.Pack()
		_, _ = pc.WriteToUDPAddrPort(out, from)
	})
}

func (w *world) record(question, records string) {
	w.zoneMu.Lock()
	defer w.zoneMu.Unlock()
	w.zone[question] = records
}

// dials collects when SYNs leave the gateway's host for addr.
func (w *world) dials(addr string) func() []time.Duration {
	var mu sync.Mutex
	var at []time.Duration
	start := time.Now()
	seen := map[netip.AddrPort]bool{}
	w.lan.Tap(func(p memnet.Packet) {
		mu.Lock()
		defer mu.Unlock()
		if p.Flags == "S" && p.Dst == ap(addr) && !seen[p.Src] {
			at = append(at, time.Since(start))
		}
	})
	return func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return at
	}
}

// saw checks that the log has all of these.
func (w *world) saw(texts ...string) {
	w.t.Helper()
	for _, s := range texts {
		if !strings.Contains(w.log.String(), s) {
			w.t.Errorf("%q is not in the log", s)
		}
	}
}

const options = "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP main.invalid;branch=z9hG4bK1;rport\r\n" +
	"From: <sip:ping@example.com>;tag=1\r\nTo: <sip:example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"

var answer = strings.Replace(options, "OPTIONS sip:example.com SIP/2.0", "SIP/2.0 200 OK", 1)
