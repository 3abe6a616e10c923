package resolve

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// A server is a name server on the memory network, with a log of what it was
// asked.
type server struct {
	t    *testing.T
	pc   transport.PacketConn
	ln   transport.Listener
	over sync.WaitGroup

	mu      sync.Mutex
	zone    []dns.RR
	log     []string // "A sip.example.com", "tcp A …" over TCP
	rcode   int      // if not 0, the answer to everything
	noEDNS  bool     // FORMERR to EDNS
	cut     bool     // TC over UDP
	silent  bool
	deaf    uint16               // no answer to this type
	mute    string               // no answer to this name
	forge   bool                 // a wrong answer before each right one
	refuses int                  // SERVFAIL to so many queries
	spoof   transport.PacketConn // if not nil, says first from there that there is nothing
}

// world is a bubble with a gateway, name servers .53 and .54, and a log.
type world struct {
	t      *testing.T
	host   *memnet.Host
	a, b   *server
	logged strings.Builder
	r      *Resolver
}

func inWorld(t *testing.T, zone string, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		defer n.Close()
		wan := n.Segment("wan")
		w := &world{t: t, host: wan.Host("203.0.113.2", "2001:db8::2")}
		names := wan.Host("198.51.100.53", "198.51.100.54")
		w.a, w.b = serve(t, names, "198.51.100.53:53", zone), serve(t, names, "198.51.100.54:53", zone)
		w.r = New(w.host, []netip.AddrPort{ap("198.51.100.53:53"), ap("198.51.100.54:53")},
			slog.New(slog.NewTextHandler(&w.logged, nil)))
		w.r.Rand = func(int) int { return 0 }
		f(t, w)
		w.a.close()
		w.b.close()
	})
}

func serve(t *testing.T, h *memnet.Host, addr, zone string) *server {
	t.Helper()
	s := &server{t: t}
	s.set(zone)
	var err error
	if s.pc, err = h.ListenPacket(context.Background(), ap(addr)); err != nil {
		t.Fatal(err)
	}
	if s.ln, err = h.Listen(context.Background(), ap(addr)); err != nil {
		t.Fatal(err)
	}
	s.over.Go(s.serveUDP)
	s.over.Go(s.serveTCP)
	return s
}

func (s *server) close() {
	s.pc.Close()
	s.ln.Close()
	s.over.Wait()
}

// set replaces the zone, in master file format; names are absolute.
func (s *server) set(zone string) {
	s.t.Helper()
	p := dns.NewZoneParser(strings.NewReader(zone), ".", "")
	p.SetDefaultTTL(300)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = nil
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		s.zone = append(s.zone, rr)
	}
	if err := p.Err(); err != nil {
		s.t.Fatal(err)
	}
}

// do changes the server under its lock.
func (s *server) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// asked returns the log and empties it.
func (s *server) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.log
	s.log = nil
	return log
}

func (s *server) serveUDP() {
	b := make([]byte, 4096)
	for {
		n, from, err := s.pc.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		for _, out := range s.answer(b[:n], "") {
			if s.spoof != nil {
				none := new(dns.Msg)
				_ = none.Unpack(out)
				none.Answer = nil
				_, _ = s.spoof.WriteToUDPAddrPort(pack(none), from)
			}
			_, _ = s.pc.WriteToUDPAddrPort(out, from)
		}
	}
}

func (s *server) serveTCP() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		size := make([]byte, 2)
		_, _ = io.ReadFull(c, size)
		b := make([]byte, binary.BigEndian.Uint16(size))
		_, _ = io.ReadFull(c, b)
		for _, out := range s.answer(b, "tcp ") {
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
		}
		_ = c.Close()
	}
}

// answer returns the datagrams that answer the query b.
func (s *server) answer(b []byte, over string) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	query := new(dns.Msg)
	if err := query.Unpack(b); err != nil {
		s.t.Errorf("query %x: %v", b, err)
		return nil
	}
	q := query.Question[0]
	s.log = append(s.log, over+dns.TypeToString[q.Qtype]+" "+strings.TrimSuffix(q.Name, "."))
	if s.silent || q.Qtype == s.deaf || q.Name == s.mute {
		return nil
	}
	m := new(dns.Msg).SetReply(query)
	switch {
	case s.noEDNS && query.IsEdns0() != nil:
		m.Rcode = dns.RcodeFormatError
	case s.refuses > 0:
		s.refuses--
		m.Rcode = dns.RcodeServerFailure
	case s.rcode != 0:
		m.Rcode = s.rcode
	default:
		s.fill(m, q)
	}
	if s.cut && over == "" {
		m.Truncated, m.Answer = true, nil
	}
	var out [][]byte
	if s.forge {
		wrong := m.Copy()
		wrong.Id++
		out = append(out, []byte("garbage"), pack(wrong))
		wrong = m.Copy()
		wrong.Question[0].Name = "other.example."
		out = append(out, pack(wrong))
	}
	return append(out, pack(m))
}

func pack(m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// fill answers from the zone, along CNAMEs, with the SOA where there is none.
func (s *server) fill(m *dns.Msg, q dns.Question) {
	name := strings.ToLower(q.Name)
	for {
		next := ""
		for _, rr := range s.zone {
			if strings.ToLower(rr.Header().Name) != name {
				continue
			}
			if rr.Header().Rrtype == q.Qtype {
				m.Answer = append(m.Answer, rr)
			} else if c, ok := rr.(*dns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				next = c.Target
			}
		}
		if next == "" {
			break
		}
		name = strings.ToLower(next)
	}
	if len(m.Answer) == 0 {
		for _, rr := range s.zone {
			if rr.Header().Rrtype == dns.TypeSOA {
				m.Ns = append(m.Ns, rr)
			}
		}
	}
}

// resolve returns the targets as "UDP 198.51.100.1:5060 host", or the error.
func (w *world) resolve(host string, port int, proto string) ([]string, error) {
	targets, err := w.r.Targets(w.t.Context(), host, port, proto)
	var out []string
	for _, x := range targets {
		out = append(out, x.Proto.String()+" "+x.Addr.String()+" "+x.Host)
	}
	return out, err
}

// want resolves and compares targets, and what both servers were asked.
func (w *world) want(host string, port int, proto string, targets, asked []string) {
	w.t.Helper()
	got, err := w.resolve(host, port, proto)
	if err != nil || !slices.Equal(got, targets) {
		w.t.Errorf("%s %d %s: targets %q, %v, want %q", host, port, proto, got, err, targets)
	}
	if log := append(w.a.asked(), w.b.asked()...); !slices.Equal(log, asked) {
		w.t.Errorf("%s %d %s: asked %q, want %q", host, port, proto, log, asked)
	}
}

// took runs f and compares how long it took.
func (w *world) took(want time.Duration, f func()) {
	w.t.Helper()
	start := time.Now()
	f()
	if got := time.Since(start); got != want {
		w.t.Errorf("took %v, want %v", got, want)
	}
}
