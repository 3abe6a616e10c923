package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// The addresses of the world.
var (
	boxLAN   = netip.MustParseAddr("192.168.1.2") // Pinhole, behind the router
	publicIP = netip.MustParseAddr("203.0.113.2")
	phoneIP  = netip.MustParseAddr("192.168.1.10")
	sipIP    = netip.MustParseAddr("198.51.100.10") // the provider's SIP
	mediaIP  = netip.MustParseAddr("198.51.100.11") // and its media
)

// plainNAT is the common home router.
var plainNAT = memnet.NAT{Filtering: memnet.AddressAndPortDependent, PreservePort: true}

// A world is Pinhole's host and a phone behind a NAT, the provider and others
// outside.
type world struct {
	*testing.T
	nat             *memnet.Gateway
	lan, wan        *memnet.Segment
	box, phone      *memnet.Host
	provider, other *memnet.Host
	stun            *end
	relay           *Relay
	ends            []*end
	ctx             context.Context
}

// inWorld runs f in a bubble with a relay that runs.
func inWorld(t *testing.T, nat memnet.NAT, change func(*Config), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		w := &world{T: t, lan: n.Segment("lan", netip.MustParsePrefix("192.168.1.0/24")), wan: n.Segment("wan")}
		nat.Inside, nat.Outside, nat.InsideAddr, nat.OutsideAddr = w.lan, w.wan, "192.168.1.1", publicIP.String()
		w.nat = n.NAT(nat)
		w.box, w.phone = w.lan.Host(boxLAN.String()), w.lan.Host(phoneIP.String())
		w.provider = w.wan.Host(sipIP.String(), mediaIP.String())
		w.other = w.wan.Host("198.51.100.66", "198.51.100.67")
		w.stun = w.end(w.wan.Host("198.51.100.20"), "198.51.100.20:3478")
		cfg := Config{Ports: [2]uint16{20000, 29999}, Net: w.box, STUN: w.ask}
		if change != nil {
			change(&cfg)
		}
		w.relay = New(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		w.ctx = ctx
		ran := make(chan error, 1)
		go func() { ran <- w.relay.Run(ctx) }()
		defer func() { // after a Fatal too
			cancel()
			if err := <-ran; !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
			if l := w.relay.Load(); l.Sessions != 0 || l.Used != 0 || l.Pooled != 0 {
				t.Errorf("after Run: %+v", l)
			}
			n.Close() // and the bubble panics if a goroutine stays
		}()
		f(w)
	})
}

// ask is the STUN of this world: the server answers with the source it saw.
func (w *world) ask(ctx context.Context, pc transport.PacketConn) (netip.AddrPort, error) {
	if _, err := pc.WriteToUDPAddrPort([]byte("who am I"), w.stun.addr); err != nil {
		return netip.AddrPort{}, err
	}
	if d, ok := ctx.Deadline(); ok {
		_ = pc.SetReadDeadline(d)
	}
	b := make([]byte, 100)
	for {
		n, from, err := pc.ReadFromUDPAddrPort(b)
		if err != nil {
			return netip.AddrPort{}, err
		}
		if from == w.stun.addr {
			return netip.ParseAddrPort(string(b[:n]))
		}
	}
}

// open opens a session or fails.
func (w *world) open(streams int) *Session {
	w.Helper()
	s, err := w.relay.Open(w.ctx, streams, boxLAN, boxLAN)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// call opens a session between the phone and the provider's media, punched.
func (w *world) call(phone, provider *end) *Session {
	w.Helper()
	s := w.open(1)
	s.SetRemote(LAN, 0, phone.addr, netip.AddrPort{}, offerPTs, phoneIP, false)
	s.SetRemote(WAN, 0, provider.addr, netip.AddrPort{}, offerPTs, sipIP, false)
	s.Punch(0)
	time.Sleep((punchCount - 1) * punchGap)
	provider.heard()
	return s
}

// An end is a UDP socket that sends RTP and remembers what comes.
type end struct {
	w    *world
	conn transport.PacketConn
	addr netip.AddrPort
	ssrc uint32
	seq  uint16

	mu  sync.Mutex // guards following
	got []heard
}

type heard struct {
	text string
	from netip.AddrPort
	at   time.Time
}

func (w *world) end(h *memnet.Host, addr string) *end {
	w.Helper()
	c, err := h.ListenPacket(context.Background(), ap(addr))
	if err != nil {
		w.Fatal(err)
	}
	e := &end{w: w, conn: c, addr: ap(addr), ssrc: uint32(len(w.ends) + 1)}
	w.ends = append(w.ends, e)
	go e.listen()
	return e
}

func (e *end) listen() {
	b := make([]byte, 4000)
	for {
		n, from, err := e.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if e == e.w.stun {
			_, _ = e.conn.WriteToUDPAddrPort([]byte(from.String()), from)
		}
		e.mu.Lock()
		e.got = append(e.got, heard{describe(b[:n]), from, time.Now()})
		e.mu.Unlock()
	}
}

// describe names a packet: the payload of RTP, else its kind.
func describe(b []byte) string {
	h, ok := readRTP(b)
	switch {
	case ok && len(b) == 12:
		return fmt.Sprintf("punch %d", h.payload)
	case ok:
		return string(b[12:])
	case isRTCP(b) && len(b) == 8:
		return "empty report"
	case isRTCP(b):
		return string(b[8:])
	}
	return string(b)
}

// voice is an RTP packet that carries text.
func (e *end) voice(text string) []byte {
	e.seq++
	b := append(punchRTP(8, e.seq, e.ssrc), text...)
	binary.BigEndian.PutUint32(b[4:], uint32(e.seq)*160)
	return b
}

// report is an RTCP packet that carries text.
func (e *end) report(text string) []byte { return append(punchRTCP(e.ssrc), text...) }

// send sends bytes and lets them arrive.
func (e *end) send(b []byte, to netip.AddrPort) {
	e.w.Helper()
	if _, err := e.conn.WriteToUDPAddrPort(b, to); err != nil {
		e.w.Fatal(err)
	}
	synctest.Wait()
}

// say sends n packets of voice, 20 ms apart.
func (e *end) say(n int, text string, to netip.AddrPort) {
	e.w.Helper()
	for i := range n {
		if i > 0 {
			time.Sleep(20 * time.Millisecond)
		}
		e.send(e.voice(text), to)
	}
}

// heard returns and forgets what has come.
func (e *end) heard() []heard {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	got := e.got
	e.got = nil
	return got
}

// hears expects exactly these texts.
func (e *end) hears(want ...string) {
	e.w.Helper()
	var got []string
	for _, h := range e.heard() {
		got = append(got, h.text)
	}
	if !slices.Equal(got, want) {
		e.w.Errorf("%v heard %q, want %q", e.addr, got, want)
	}
}

// goroutines counts those of all sessions.
func goroutines() int {
	synctest.Wait()
	b := make([]byte, 1<<22)
	b = b[:runtime.Stack(b, true)]
	return bytes.Count(b, []byte("media.(*leg).read(")) + bytes.Count(b, []byte("media.(*Session).keep("))
}

func repeat(text string, n int) []string { return slices.Repeat([]string{text}, n) }
