package flow

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

// drawn returns a source of uniform numbers that a test can repeat.
func drawn(seed uint64) func() float64 {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, seed))
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Float64()
	}
}

// gaps returns what lies between the times in at, the first after from.
func gaps(from time.Time, at []time.Time) []time.Duration {
	var d []time.Duration
	for _, t := range at {
		d = append(d, t.Sub(from))
		from = t
	}
	return d
}

// checkGaps checks that all are within [lo, hi], and not all equal.
func checkGaps(t *testing.T, what string, d []time.Duration, lo, hi time.Duration) {
	t.Helper()
	if len(d) < 10 || slices.Min(d) < lo || slices.Max(d) > hi || slices.Min(d) == slices.Max(d) {
		t.Errorf("%s every %v, want %v to %v", what, d, lo, hi)
	}
}

// TestPingIntervals: F-1 in design's form, and F-2.
func TestPingIntervals(t *testing.T) {
	for name, c := range map[string]struct {
		tune   func(f *Flow)
		lo, hi time.Duration
	}{
		"behind a nat":            {func(*Flow) {}, 25 * time.Second, 30 * time.Second},
		"flow-timer 60":           {func(f *Flow) { f.SetKeepAlive(1, time.Minute) }, 48 * time.Second, 60 * time.Second},
		"keep=30, no nat":         {func(f *Flow) { f.SetKeepAlive(1, 30*time.Second); f.SetNAT(1, false) }, 24 * time.Second, 30 * time.Second},
		"no nat":                  {func(f *Flow) { f.SetNAT(1, false) }, 95 * time.Second, 120 * time.Second},
		"flow-timer withdrawn":    {func(f *Flow) { f.SetKeepAlive(1, time.Minute); f.SetKeepAlive(1, 0) }, 25 * time.Second, 30 * time.Second},
		"of another generation":   {func(f *Flow) { f.SetKeepAlive(2, time.Minute); f.SetNAT(0, false) }, 25 * time.Second, 30 * time.Second},
		"a flow-timer of nothing": {func(f *Flow) { f.SetKeepAlive(1, time.Nanosecond) }, 800 * time.Millisecond, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, keeps, func(t *testing.T, w *world) {
				s := w.serve(one+":5080", nil, true)
				cfg := plain
				cfg.Rand = drawn(1)
				w.run(cfg)
				w.at(Up, 0)
				conn := s.accepted()
				from := time.Now()
				c.tune(w.flow)
				time.Sleep(12*c.hi + time.Second)
				checkGaps(t, "pings", gaps(from, conn.pinged()), c.lo, c.hi)
			})
		})
	}
}

// TestPongs: a missing pong is the end 10 s after the ping, if pongs are
// promised (F-3), else nothing (F-4).
func TestPongs(t *testing.T) {
	const ping = 27500 * time.Millisecond // the draw of 0.5
	for name, c := range map[string]struct {
		configured bool
		promise    bool
		ponged     bool // two pongs came, then no more
		judged     bool
	}{
		"nothing promised": {},
		"configured":       {configured: true, judged: true},
		"promised":         {promise: true, judged: true},
		"seen":             {ponged: true, judged: true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, keeps, func(t *testing.T, w *world) {
				s := w.serve(one+":5080", nil, c.ponged)
				cfg := plain
				cfg.Pong = c.configured
				w.run(cfg)
				up := w.at(Up, 0)
				conn := s.accepted()
				_, _ = conn.Write([]byte(answer))
				w.at(Message, 0)
				if c.promise {
					w.flow.PromisePong(1)
				}
				if c.ponged {
					time.Sleep(2*ping + 1)
					conn.set(false)
				}
				if !c.judged {
					for range 6 { // 10 minutes
						w.next(ProbeDue, 120*time.Second)
					}
					if len(s.conns) > 0 {
						t.Error("another connection")
					}
					return
				}
				wait := ping + pongTime
				if c.ponged {
					wait--
				}
				if e := w.at(Down, wait); !errors.Is(e.Err, errNoPong) {
					t.Errorf("down: %+v", e)
				}
				if again := w.at(Up, 0); again.Local != up.Local {
					t.Errorf("up again: %+v", again)
				}
				w.saw("err=\"ping not answered\"", "cause=\"the way to the provider is cut")
			})
		})
	}
}

// TestProbeDue: OPTIONS are asked for every 60 to 120 s while nobody promised
// pongs, and no more after one.
func TestProbeDue(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		s := w.serve(one+":5080", nil, false)
		cfg := plain
		cfg.Rand = drawn(2)
		w.run(cfg)
		w.at(Up, 0)
		conn := s.accepted()
		from := time.Now()
		var at []time.Time
		for range 12 {
			w.next(ProbeDue, 120*time.Second)
			at = append(at, time.Now())
		}
		checkGaps(t, "probes", gaps(from, at), 60*time.Second, 120*time.Second)
		conn.set(true)
		time.Sleep(30 * time.Second)
		w.drain()
		w.none(10 * time.Minute)
	})
}

// TestPongBehindInput: a pong is judged missing only when the input received
// is dealt with (RFC 5626 §4.4.1): here the core is busy over the deadline
// with the message before the pong.
func TestPongBehindInput(t *testing.T) {
	const ping = 27500 * time.Millisecond
	for busy, dead := range map[time.Duration]bool{12 * time.Second: false, 25 * time.Second: true} {
		t.Run(busy.String(), func(t *testing.T) {
			inWorld(t, keeps, func(t *testing.T, w *world) {
				s := w.serve(one+":5080", nil, true)
				cfg := plain
				cfg.Pong = true
				w.flow = w.make(cfg, func(e Event) {
					if e.Kind == Message {
						time.Sleep(busy)
					}
					w.events <- e
				})
				w.run(cfg)
				w.at(Up, 0)
				conn := s.accepted()
				time.Sleep(ping - time.Second)
				_, _ = conn.Write([]byte(answer))
				if !dead {
					w.at(Message, busy)
					w.none(20 * time.Second)
					return
				}
				// Twice the time is enough: the core hangs.
				w.next(Message, time.Minute)
				if e := w.next(Down, time.Minute); !errors.Is(e.Err, errNoPong) {
					t.Errorf("down: %+v", e)
				}
			})
		})
	}
}

// TestPingBetweenMessages: F-7, no ping within a message.
func TestPingBetweenMessages(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		s := w.serve(one+":5080", nil, false)
		w.run(plain)
		w.at(Up, 0)
		conn := s.accepted()
		w.flow.SetKeepAlive(1, time.Second)
		var want strings.Builder
		for i := range 1000 {
			m := strings.Replace(options, "Call-ID: 1", fmt.Sprintf("Call-ID: %0*d", 1+i%3000, i), 1)
			want.WriteString(m)
			if err := w.flow.Send(1, []byte(m)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		got, pings := conn.received(), 0
		for m := range strings.SplitSeq(want.String(), "OPTIONS ") {
			if m == "" {
				continue
			}
			for strings.HasPrefix(got, "\r\n\r\n") {
				got, pings = got[4:], pings+1
			}
			rest, ok := strings.CutPrefix(got, "OPTIONS "+m)
			if !ok {
				t.Fatalf("a message came as %.200q", got)
			}
			got = rest
		}
		if pings < 9 {
			t.Errorf("%d pings", pings)
		}
	})
}

// TestWedge: a plaintext flow to port 5060 that something blocks is replaced
// within 20 s; if it happens twice, from another port.
func TestWedge(t *testing.T) {
	inWorld(t, memnet.NAT{PreservePort: true}, func(t *testing.T, w *world) {
		s := w.serve(one+":5060", nil, true)
		cfg := plain
		cfg.Port = 5060
		w.run(cfg)
		up := w.at(Up, 0)
		s.accepted()
		time.Sleep(time.Minute)
		w.drain()
		for gen, same := range []bool{0: true, 1: false} {
			blocked := up.Local
			w.lan.Filter(func(p memnet.Packet) bool { // as an ALG does it: what carries data is dropped
				return p.Src != blocked || len(p.Payload) == 0
			})
			start := time.Now()
			if e := w.next(Down, time.Hour); !wedged(e.Err) || time.Since(start) > 20*time.Second+pingMax*time.Duration(gen) {
				t.Errorf("down after %v: %+v", time.Since(start), e)
			}
			w.lan.Filter(nil)
			again := w.at(Up, 0)
			if (again.Local == up.Local) != same {
				t.Errorf("up again from %v, was %v", again.Local, up.Local)
			}
			up = again
			s.accepted().set(true)
			time.Sleep(time.Minute)
			w.drain()
		}
	})
}

// TestWedgePings: every 8 s on port 5060 in plaintext with known pongs only.
func TestWedgePings(t *testing.T) {
	for name, c := range map[string]struct {
		port   uint16
		pong   bool
		lo, hi time.Duration
	}{
		"5060":          {5060, true, 8 * time.Second, 8 * time.Second},
		"5060, no pong": {5060, false, 25 * time.Second, 30 * time.Second},
		"5080":          {5080, true, 25 * time.Second, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, keeps, func(t *testing.T, w *world) {
				s := w.serve(netip.AddrPortFrom(netip.MustParseAddr(one), c.port).String(), nil, c.pong)
				cfg := plain
				cfg.Port, cfg.Pong = c.port, c.pong
				w.run(cfg)
				w.at(Up, 0)
				conn := s.accepted()
				from := time.Now()
				time.Sleep(5 * time.Minute)
				for _, d := range gaps(from, conn.pinged()) {
					if d < c.lo || d > c.hi {
						t.Errorf("a ping after %v", d)
					}
				}
			})
		})
	}
}

// TestUDP: SIP from the provider's addresses only; probes keep the NAT open.
func TestUDP(t *testing.T) {
	inWorld(t, memnet.NAT{Filtering: memnet.EndpointIndependent}, func(t *testing.T, w *world) {
		var from netip.AddrPort
		pc := w.udp(w.provider, one+":5060", func(_ transport.PacketConn, _ []byte, f netip.AddrPort) { from = f })
		stranger := w.udp(w.others, stun1, func(transport.PacketConn, []byte, netip.AddrPort) {})
		w.run(Config{Server: one, Transport: "udp", Rand: drawn(3), STUN: []string{stun1}})
		up := w.at(Up, 0)
		if up.Proto != transport.UDP || up.Local.Addr() != netip.MustParseAddr(local) || up.Remote != ap(one+":5060") {
			t.Errorf("up: %+v", up)
		}
		if err := w.flow.Send(1, []byte(options)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		for _, c := range []transport.PacketConn{stranger, pc} { // a STUN server speaks no SIP
			_, _ = c.WriteToUDPAddrPort([]byte(answer), from)
		}
		if e := w.at(Message, 0); e.From != ap(one+":5060") || e.Msg.Status != 200 {
			t.Errorf("message: %+v", e)
		}
		start := time.Now()
		var at []time.Time
		for range 12 {
			w.next(ProbeDue, 30*time.Second)
			at = append(at, time.Now())
		}
		checkGaps(t, "probes", gaps(start, at), 24*time.Second, 29*time.Second)
		w.flow.SetNAT(1, false)
		w.next(ProbeDue, 120*time.Second)
		at = []time.Time{time.Now()}
		for range 10 {
			w.next(ProbeDue, 120*time.Second)
			at = append(at, time.Now())
		}
		checkGaps(t, "probes without nat", gaps(at[0], at[1:]), 60*time.Second, 120*time.Second)
	})
}

// TestSendTo: over UDP an answer can go where the request came from.
func TestSendTo(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		got := make(chan string, 1)
		w.udp(w.provider, two+":5066", func(_ transport.PacketConn, b []byte, _ netip.AddrPort) { got <- string(b) })
		w.run(Config{Server: one, Transport: "udp"})
		w.at(Up, 0)
		if err := w.flow.SendTo(1, ap(two+":5066"), []byte(answer)); err != nil {
			t.Error(err)
		}
		if s := <-got; s != answer {
			t.Errorf("arrived: %q", s)
		}
	})
}

// TestWedgedByALG: the router's ALG drops an INVITE whose SDP it cannot read,
// and with it every segment after; the next flow is free of it.
func TestWedgedByALG(t *testing.T) {
	inWorld(t, memnet.NAT{PreservePort: true, ALG: true}, func(t *testing.T, w *world) {
		s := w.serve(one+":5060", nil, true)
		cfg := plain
		cfg.Port, cfg.Pong = 5060, true
		w.run(cfg)
		w.at(Up, 0)
		first := s.accepted()
		time.Sleep(time.Minute)
		const sdp = "v=0\r\no=- 1 1 IN IP4 203.0.113.2\r\ns=-\r\nc=IN IP4 host.lan\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8\r\n"
		invite := strings.NewReplacer("OPTIONS", "INVITE", "Content-Length: 0\r\n\r\n",
			fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(sdp), sdp)).Replace(options)
		if err := w.flow.Send(1, []byte(invite)); err != nil {
			t.Error(err)
		}
		start := time.Now()
		if e := w.next(Down, 20*time.Second); !wedged(e.Err) {
			t.Errorf("down after %v: %+v", time.Since(start), e)
		}
		if strings.Contains(first.received(), "INVITE") {
			t.Error("the router let the INVITE pass: this proves nothing")
		}
		up := w.next(Up, time.Second)
		if err := w.flow.Send(up.Gen, []byte(options)); err != nil {
			t.Error(err)
		}
		if got := s.accepted().received(); got != options {
			t.Errorf("the provider got %q", got)
		}
	})
}
