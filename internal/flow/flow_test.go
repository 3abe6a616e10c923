package flow

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

var (
	plain = Config{Server: one, Port: 5080, Transport: "tcp"}
	keeps = memnet.NAT{PreservePort: false} // endpoint-independent, ports at random
)

func TestTCP(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		s := w.serve(one+":5080", nil, true)
		w.run(plain)
		up := w.at(Up, 0)
		c := s.accepted()
		if up.Gen != 1 || up.Proto != transport.TCP || up.Remote != ap(one+":5080") || up.Local.Addr() != netip.MustParseAddr(local) || up.SameSource {
			t.Errorf("up: %+v", up)
		}
		if err := w.flow.Send(1, []byte(options)); err != nil {
			t.Error(err)
		}
		if got := c.received(); got != options {
			t.Errorf("the provider got %q", got)
		}
		_, _ = c.Write([]byte(answer))
		if e := w.at(Message, 0); e.Gen != 1 || e.Msg.Status != 200 || e.From != ap(one+":5080") || e.Err != nil {
			t.Errorf("message: %+v", e)
		}
		for _, gen := range []uint64{0, 2} {
			if err := w.flow.Send(gen, []byte(options)); !errors.Is(err, ErrDown) {
				t.Errorf("sending in generation %d: %v", gen, err)
			}
			w.flow.Fail(gen, errors.New("not me")) // must do nothing
		}
		if st := w.flow.Status(); st.State != StateUp || st.Gen != 1 || st.Remote != up.Remote || st.Local != up.Local {
			t.Errorf("status: %+v", st)
		}
		f := w.flow
		w.end()
		if e := w.at(Down, 0); e.Gen != 1 {
			t.Errorf("down: %+v", e)
		}
		if err := f.Send(1, []byte(options)); !errors.Is(err, ErrDown) {
			t.Errorf("sending after the end: %v", err)
		}
	})
}

// TestLastWords: what was sent before the end arrives, even at the second try.
func TestLastWords(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		s := w.serve(one+":5080", nil, true)
		w.run(plain)
		w.next(Up, time.Minute)
		c := s.accepted()
		lost := false
		w.lan.Filter(func(p memnet.Packet) bool {
			was := lost
			lost = lost || len(p.Payload) > 0
			return was || !lost
		})
		if err := w.flow.Send(1, []byte(options)); err != nil {
			t.Error(err)
		}
		w.end()
		if got := c.received(); got != options || !lost {
			t.Errorf("the provider got %q", got)
		}
	})
}

// TestRedial: whatever ended the flow, the next is made at once, from the same
// local address and port, and the provider sees the same tuple.
func TestRedial(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(w *world, c *conn)
		after  time.Duration // until it is noticed
		reason error
		lost   bool // the NAT forgets at the end, too
	}{
		"closed":   {end: func(_ *world, c *conn) { _ = c.Close() }, reason: io.EOF},
		"reset":    {end: func(_ *world, c *conn) { _ = c.tcp.Abort() }},
		"the core": {end: func(w *world, _ *conn) { w.flow.Fail(1, errors.New("no answer")) }},
		"broken":   {end: func(_ *world, c *conn) { _, _ = c.Write([]byte("BYE x SIP/2.0\r\n\r\n")) }},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, keeps, func(t *testing.T, w *world) {
				s := w.serve(one+":5080", nil, true)
				w.run(plain)
				up := w.at(Up, 0)
				first := s.accepted()
				_, _ = first.Write([]byte(answer))
				w.at(Message, 0)
				time.Sleep(time.Minute)
				w.drain()
				c.end(w, first)
				for e := w.next(0, time.Minute); ; e = w.next(0, time.Minute) {
					if e.Kind == Message {
						continue // the broken one
					}
					if e.Kind != Down || e.Gen != 1 || c.reason != nil && !errors.Is(e.Err, c.reason) || e.Err == nil {
						t.Errorf("down: %+v", e)
					}
					break
				}
				again := w.at(Up, 0)
				if again.Gen != 2 || again.Local != up.Local || !again.SameSource {
					t.Errorf("up again: %+v, was %+v", again, up)
				}
				if second := s.accepted(); second.from() != first.from() {
					t.Errorf("the provider sees %v, before %v", second.from(), first.from())
				}
				w.none(10 * time.Second)
			})
		})
	}
}

// TestPoison: a new source port after a poisoned generation.
func TestPoison(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		s := w.serve(one+":5080", nil, true)
		cfg := plain
		cfg.SourcePort = 40010
		w.run(cfg)
		up := w.at(Up, 0)
		if up.Local.Port() != 40010 {
			t.Errorf("local %v", up.Local)
		}
		_, _ = s.accepted().Write([]byte(answer))
		w.at(Message, 0)
		w.flow.Fail(1, errors.Join(errors.New("blocked"), ErrPoisoned))
		w.at(Down, 0)
		again := w.at(Up, 0)
		if again.Local.Port() == up.Local.Port() || again.SameSource {
			t.Errorf("up again: %+v", again)
		}
		w.saw("cause=\"a router on the way drops")
	})
}

// TestPortTaken: another port when the wanted one is not free.
func TestPortTaken(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		w.serve(one+":5080", nil, true)
		ln, err := w.host.Listen(t.Context(), ap(local+":40010"))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		cfg := plain
		cfg.SourcePort = 40010
		w.run(cfg)
		if up := w.at(Up, 0); up.Local.Port() == 40010 {
			t.Errorf("up: %+v", up)
		}
	})
}

// TestLastRun: the port of the last run goes before the configured one.
func TestLastRun(t *testing.T) {
	for last, same := range map[string]bool{local + ":40020": true, "192.168.1.77:40020": false} {
		t.Run(last, func(t *testing.T) {
			inWorld(t, keeps, func(t *testing.T, w *world) {
				w.serve(one+":5080", nil, true)
				cfg := plain
				cfg.SourcePort, cfg.Local = 40010, ap(last)
				w.run(cfg)
				if up := w.at(Up, 0); up.Local != ap(local+":40020") || up.SameSource != same {
					t.Errorf("up: %+v", up)
				}
			})
		})
	}
}

// TestTupleOverRestart: the next run's redial finds the NAT's mapping.
func TestTupleOverRestart(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		s := w.serve(one+":5080", nil, true)
		w.run(plain)
		up := w.at(Up, 0)
		from := s.accepted().from()
		w.end()
		time.Sleep(3 * time.Second)
		cfg := plain
		cfg.Local = up.Local
		w.run(cfg)
		if again := w.at(Up, 0); again.Local != up.Local || !again.SameSource {
			t.Errorf("up again: %+v", again)
		}
		if now := s.accepted().from(); now != from {
			t.Errorf("the provider sees %v, before %v", now, from)
		}
	})
}

// TestMoved: another local address makes the flow anew, at once.
func TestMoved(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		s := w.serve(one+":5080", nil, true)
		w.run(plain)
		up := w.at(Up, 0)
		_, _ = s.accepted().Write([]byte(answer))
		w.at(Message, 0)
		time.Sleep(time.Minute)
		w.drain()
		w.host.Add(w.lan, "192.168.1.3") // one more changes nothing
		w.none(5 * time.Second)
		w.host.Remove(local)
		if e := w.at(Down, settle); !errors.Is(e.Err, errMoved) {
			t.Errorf("down: %+v", e)
		}
		again := w.at(Up, 0)
		if again.Local != netip.AddrPortFrom(netip.MustParseAddr("192.168.1.3"), up.Local.Port()) || again.SameSource {
			t.Errorf("up again: %+v", again)
		}
	})
}

// TestCable: a pulled cable alone ends nothing.
func TestCable(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		s := w.serve(one+":5080", nil, true)
		w.run(plain)
		w.at(Up, 0)
		c := s.accepted()
		w.host.Down()
		w.none(10 * time.Second)
		w.host.Up()
		_, _ = c.Write([]byte(answer))
		w.next(Message, 10*time.Second)
	})
}

// TestNetworkComes: an attempt that failed for want of a network is repeated
// when one comes, not before five seconds.
func TestNetworkComes(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		w.serve(one+":5080", nil, true)
		w.host.Remove(local)
		w.run(plain)
		w.none(2 * time.Second)
		if st := w.flow.Status(); st.State != StateDown || st.Err == nil || time.Until(st.Next) != 43*time.Second {
			t.Errorf("status %+v, next in %v", st, time.Until(st.Next))
		}
		w.host.Add(w.lan, local)
		w.at(Up, 3*time.Second)
		w.saw("flow not made", "remedy=\"check this machine's network")
	})
}

// TestDeadPath: data that is never acknowledged ends the flow after 20 s.
func TestDeadPath(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		s := w.serve(one+":5080", nil, false)
		w.run(plain)
		w.at(Up, 0)
		_, _ = s.accepted().Write([]byte(answer))
		w.at(Message, 0)
		w.nat.Block(true)
		if err := w.flow.Send(1, []byte(options)); err != nil {
			t.Error(err)
		}
		start := time.Now()
		if e := w.next(Down, time.Minute); !wedged(e.Err) || time.Since(start) < userTimeout || time.Since(start) > userTimeout+5*time.Second {
			t.Errorf("down after %v: %+v", time.Since(start), e)
		}
	})
}

// TestBroken: a broken message is told, and ends nothing where the stream can go on.
func TestBroken(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		s := w.serve(one+":5080", nil, false)
		w.run(plain)
		w.at(Up, 0)
		c := s.accepted()
		_, _ = c.Write([]byte(strings.Replace(options, "CSeq: 1 OPTIONS\r\n", "CSeq: 1 BYE\r\n", 1)))
		if e := w.at(Message, 0); e.Err == nil || e.Msg == nil {
			t.Errorf("a broken message: %+v", e)
		}
		w.none(10 * time.Second) // and the stream goes on
	})
}

// drain forgets the events so far.
func (w *world) drain() {
	for {
		select {
		case <-w.events:
		default:
			return
		}
	}
}
