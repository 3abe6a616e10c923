package nat

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v2"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// A world is a gateway behind a NAT, and STUN servers on the internet.
type world struct {
	t       *testing.T
	gateway *memnet.Host
	stun    *memnet.Host // has .20 and .21
	nat     *memnet.Gateway
	wan     *memnet.Segment
}

func inWorld(t *testing.T, cfg memnet.NAT, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		defer n.Close()
		lan := n.Segment("lan", netip.MustParsePrefix("192.168.1.0/24"))
		w := &world{t: t, wan: n.Segment("wan")}
		cfg.Inside, cfg.Outside = lan, w.wan
		cfg.InsideAddr, cfg.OutsideAddr = "192.168.1.1", "203.0.113.2"
		w.nat = n.NAT(cfg)
		w.gateway = lan.Host("192.168.1.2")
		w.stun = w.wan.Host("198.51.100.20", "198.51.100.21")
		f(t, w)
	})
}

// serve answers datagrams at addr after a delay, with what answer makes of
// them (nil: silence), until the socket it returns is closed.
func (w *world) serve(addr string, delay time.Duration, answer func(b []byte, from netip.AddrPort) []byte) transport.PacketConn {
	w.t.Helper()
	pc, err := w.stun.ListenPacket(context.Background(), ap(addr))
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if out := answer(b[:n], from); out != nil {
				time.AfterFunc(delay, func() { _, _ = pc.WriteToUDPAddrPort(out, from) })
			}
		}
	}()
	return pc
}

func right(b []byte, from netip.AddrPort) []byte {
	out, _ := Answer(b, from)
	return out
}

func silent([]byte, netip.AddrPort) []byte { return nil }

func refuse(b []byte, _ netip.AddrPort) []byte {
	m, err := decode(b)
	if err != nil {
		return nil
	}
	return stun.MustBuild(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingError, stun.CodeServerError).Raw
}

func TestProbeUDP(t *testing.T) {
	type answer = func([]byte, netip.AddrPort) []byte
	for name, c := range map[string]struct {
		first, second answer
		slow          time.Duration // the first server's delay
		loss          int           // the first so many requests are lost
		cancel        time.Duration
		want          string
		err           error
		took          time.Duration
	}{
		"both answer":           {first: right, second: right, want: "203.0.113.2:40010"},
		"the first is slow":     {first: right, second: right, slow: time.Second, want: "203.0.113.2:40010"},
		"the first is silent":   {first: silent, second: right, want: "203.0.113.2:40010"},
		"the first refuses":     {first: refuse, second: right, want: "203.0.113.2:40010"},
		"two requests lost":     {first: right, second: silent, loss: 4, want: "203.0.113.2:40010", took: 900 * time.Millisecond},
		"all silent":            {first: silent, second: silent, err: ErrNoAnswer, took: 2100 * time.Millisecond},
		"all refuse":            {first: refuse, second: refuse, err: ErrNoAnswer},
		"one refuses, one dead": {first: refuse, second: silent, err: ErrNoAnswer, took: 2100 * time.Millisecond},
		"cancelled":             {first: silent, second: silent, cancel: 400 * time.Millisecond, err: context.Canceled, took: 400 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, memnet.NAT{PreservePort: true}, func(t *testing.T, w *world) {
				lost := 0
				w.wan.Filter(func(p memnet.Packet) bool {
					lost++
					return lost > c.loss
				})
				defer w.serve("198.51.100.20:3478", c.slow, c.first).Close()
				defer w.serve("198.51.100.21:3478", 0, c.second).Close()
				pc, err := w.gateway.ListenPacket(context.Background(), ap("192.168.1.2:40010"))
				if err != nil {
					t.Fatal(err)
				}
				defer pc.Close()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.cancel > 0 {
					time.AfterFunc(c.cancel, cancel)
				}
				start := time.Now()
				got, err := ProbeUDP(ctx, pc, []netip.AddrPort{ap("198.51.100.20:3478"), ap("198.51.100.21:3478"), ap("198.51.100.22:3478")})
				if c.want != "" && (err != nil || got != ap(c.want)) || !errors.Is(err, c.err) {
					t.Errorf("mapped %v, %v", got, err)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
			})
		})
	}
	t.Run("the socket is left readable", func(t *testing.T) {
		inWorld(t, memnet.NAT{}, func(t *testing.T, w *world) {
			server := w.serve("198.51.100.20:3478", 0, right)
			defer server.Close()
			pc, _ := w.gateway.ListenPacket(context.Background(), ap("192.168.1.2:0"))
			defer pc.Close()
			got, err := ProbeUDP(t.Context(), pc, []netip.AddrPort{ap("198.51.100.20:3478")})
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Minute, func() { _, _ = server.WriteToUDPAddrPort([]byte("late"), got) })
			b := make([]byte, 10)
			if n, _, err := pc.ReadFromUDPAddrPort(b); err != nil || string(b[:n]) != "late" {
				t.Errorf("read %q, %v", b[:n], err)
			}
		})
	})
	t.Run("no server, closed socket", func(t *testing.T) {
		inWorld(t, memnet.NAT{}, func(t *testing.T, w *world) {
			pc, _ := w.gateway.ListenPacket(context.Background(), ap("192.168.1.2:0"))
			if _, err := ProbeUDP(t.Context(), pc, nil); !errors.Is(err, ErrNoAnswer) {
				t.Errorf("without a server: %v", err)
			}
			pc.Close()
			if _, err := ProbeUDP(t.Context(), pc, []netip.AddrPort{server}); err == nil {
				t.Error("a closed socket gives no error")
			}
		})
	})
}

func TestProbeTCP(t *testing.T) {
	answer := func(c transport.Conn, b []byte, from netip.AddrPort) {
		out := right(b, from)
		_, _ = c.Write(out[:7]) // streams cut where they like
		_, _ = c.Write(out[7:])
	}
	for name, c := range map[string]struct {
		serve func(c transport.Conn, b []byte, from netip.AddrPort)
		want  string
		err   error
	}{
		"answer": {answer, "203.0.113.2:40010", nil},
		"not stun": {func(c transport.Conn, _ []byte, _ netip.AddrPort) {
			_, _ = c.Write([]byte("SIP/2.0 400 Bad Request\r\n\r\n"))
		}, "", nil},
		"endless": {func(c transport.Conn, b []byte, _ netip.AddrPort) {
			_, _ = c.Write(append(append([]byte{1, 1, 0xff, 0xfc}, b[4:20]...), make([]byte, 4096)...))
		}, "", nil},
		"closes": {func(c transport.Conn, _ []byte, _ netip.AddrPort) { _ = c.Close() }, "", io.EOF},
		"silent": {func(transport.Conn, []byte, netip.AddrPort) {}, "", context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, memnet.NAT{PreservePort: true}, func(t *testing.T, w *world) {
				ln, err := w.stun.Listen(t.Context(), ap("198.51.100.20:3478"))
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				go func() {
					for {
						conn, err := ln.Accept()
						if err != nil {
							return
						}
						b := make([]byte, 28)
						_, _ = io.ReadFull(conn, b)
						c.serve(conn, b, netip.MustParseAddrPort(conn.RemoteAddr().String()))
					}
				}()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				for range 2 { // the port is free again at once
					got, err := ProbeTCP(ctx, w.gateway, ap("192.168.1.2:40010"), ap("198.51.100.20:3478"))
					if c.want != "" && (err != nil || got != ap(c.want)) || c.want == "" && err == nil || c.err != nil && !errors.Is(err, c.err) {
						t.Errorf("mapped %v, %v", got, err)
					}
				}
			})
		})
	}
}
