package memnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"pinhole/internal/transport"
)

func TestTCP(t *testing.T) {
	inWorld(t, NAT{PreservePort: true}, func(w *world) {
		p := w.dial("192.168.1.10:40000", "198.51.100.10:5060")
		w.want("seen from", p.far.RemoteAddr().String(), "203.0.113.2:40000")
		w.want("from us", p.near.RemoteAddr().String(), "198.51.100.10:5060")
		w.want("local", p.near.LocalAddr().String(), "192.168.1.10:40000")
		w.write(p.near, "hello")
		w.want("out", w.read(p.far), "hello")
		w.write(p.far, "welcome")
		w.want("in", w.read(p.near), "welcome")
		w.write(p.near, "good")
		w.write(p.near, "bye")
		if err := p.near.Close(); err != nil {
			t.Error(err)
		}
		w.want("last words", w.read(p.far), "goodbye")
		w.want("end", w.read(p.far), "EOF")
		if _, err := p.near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
		if _, err := p.near.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
		if err := p.far.Close(); err != nil {
			t.Error(err)
		}
		if n := len(w.phone.conns) + len(w.provider.conns); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}

// TestDialFails: each way, and how long it takes.
func TestDialFails(t *testing.T) {
	for _, c := range []struct {
		name    string
		set     func(w *world)
		remote  string
		timeout time.Duration
		want    error
		after   time.Duration
	}{
		{"closed port", nil, "198.51.100.10:9", 0, syscall.ECONNREFUSED, 0},
		{"nobody there", nil, "198.51.100.99:5060", 0, syscall.ETIMEDOUT, synTimeout},
		{"black hole", func(w *world) { w.nat.Block(true) }, "198.51.100.10:5060", 0, syscall.ETIMEDOUT, synTimeout},
		{"context", func(w *world) { w.nat.Block(true) }, "198.51.100.10:5060", 3 * time.Second, context.DeadlineExceeded, 3 * time.Second},
		{"no route", func(w *world) { w.phone.Remove("192.168.1.10") }, "198.51.100.10:5060", 0, syscall.ENETUNREACH, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, NAT{}, func(w *world) {
				if _, err := w.provider.Listen(bg, ap("198.51.100.10:5060")); err != nil {
					t.Fatal(err)
				}
				if c.set != nil {
					c.set(w)
				}
				ctx := bg
				if c.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(bg, c.timeout)
					defer cancel()
				}
				start := time.Now()
				_, err := w.phone.Dial(ctx, ap("0.0.0.0:0"), ap(c.remote))
				if !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
				if d := time.Since(start); d != c.after {
					t.Errorf("after %v, want %v", d, c.after)
				}
				if len(w.phone.conns) != 0 {
					t.Error("the connection stayed")
				}
			})
		})
	}
}

// TestSameLocalPort: several remotes from one port, one mapping for all
// through an endpoint-independent NAT; the same pair twice is refused.
func TestSameLocalPort(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		p1 := w.dial("192.168.1.10:40000", "198.51.100.10:5060")
		p2 := w.dial("192.168.1.10:40000", "198.51.100.11:3478")
		w.want("mapped", p2.far.RemoteAddr().String(), p1.far.RemoteAddr().String())
		if _, err := w.phone.Dial(bg, ap("192.168.1.10:40000"), ap("198.51.100.10:5060")); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("same pair: %v", err)
		}
	})
}

// TestRedial: after a reset the same port can be used at once and keeps its
// mapping; after an orderly close of ours only when TIME-WAIT is over.
func TestRedial(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(p pipe)
		wait time.Duration
	}{
		{"abort", func(p pipe) { _ = p.near.Abort() }, 0},
		{"close", func(p pipe) { _ = p.near.Close(); _ = p.far.Close() }, timeWait},
		{"their close", func(p pipe) { _ = p.far.Close(); _ = p.near.Close() }, 0},
		{"reset by them", func(p pipe) { _ = p.far.Abort(); _, _ = p.near.Read(make([]byte, 1)) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, NAT{}, func(w *world) {
				p := w.dial("192.168.1.10:40000", "198.51.100.10:5060")
				was := p.far.RemoteAddr().String()
				c.end(p)
				if c.wait > 0 {
					time.Sleep(c.wait - 1)
					if _, err := w.phone.Dial(bg, ap("192.168.1.10:40000"), ap("198.51.100.10:5060")); !errors.Is(err, syscall.EADDRNOTAVAIL) {
						t.Errorf("in TIME-WAIT: %v", err)
					}
					time.Sleep(time.Nanosecond)
				}
				w.want("mapped again", w.dialTo(p.listener, "192.168.1.10:40000").far.RemoteAddr().String(), was)
			})
		})
	}
}

// TestAbort: the far side reads what came before, then a reset.
func TestAbort(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		p := w.dial("0.0.0.0:0", "198.51.100.10:5060")
		w.write(p.near, "hello")
		if err := p.near.Abort(); err != nil {
			t.Error(err)
		}
		w.want("data", w.read(p.far), "hello")
		w.want("then", w.read(p.far), "connection reset by peer")
		if _, err := p.far.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v", err)
		}
	})
}

// TestReset: both ends find it reset, whoever holds them.
func TestReset(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		p := w.dial("0.0.0.0:0", "198.51.100.10:5060")
		for _, c := range w.phone.Conns() {
			c.Reset()
		}
		w.want("near", w.read(p.near), "connection reset by peer")
		w.want("far", w.read(p.far), "connection reset by peer")
		if n := len(w.phone.Conns()); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}

// TestCloseUnread: closing with unread data resets, as on Linux.
func TestCloseUnread(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		p := w.dial("0.0.0.0:0", "198.51.100.10:5060")
		w.write(p.far, "unread")
		_ = p.near.Close()
		w.want("far", w.read(p.far), "connection reset by peer")
	})
}

// TestHalfClose: after CloseWrite the other direction goes on.
func TestHalfClose(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		p := w.dial("0.0.0.0:0", "198.51.100.10:5060")
		if err := p.near.(*Conn).CloseWrite(); err != nil {
			t.Error(err)
		}
		w.want("far", w.read(p.far), "EOF")
		w.write(p.far, "still here")
		w.want("near", w.read(p.near), "still here")
		if _, err := p.near.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write: %v", err)
		}
	})
}

// TestBackpressure: a writer whose peer does not read blocks with a bounded
// amount in flight, its deadline works, and all arrives when the peer reads.
func TestBackpressure(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		p := w.dial("0.0.0.0:0", "198.51.100.10:5060")
		data := bytes.Repeat([]byte("0123456789abcdef"), 32<<10)
		_ = p.near.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := p.near.Write(data)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d written: %v", n, err)
		}
		if n < 64<<10 || n > 256<<10 {
			t.Errorf("%d bytes in flight", n)
		}
		_ = p.near.SetWriteDeadline(time.Time{})
		go func() {
			_, _ = p.near.Write(data[n:])
			_ = p.near.Close()
		}()
		got, err := io.ReadAll(p.far)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d of %d bytes: %v", len(got), len(data), err)
		}
	})
}

// TestLossyStream: all arrives in order whatever is lost or late.
func TestLossyStream(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		w.wan.Loss(0.2)
		w.wan.Delay(20 * time.Millisecond)
		w.wan.Jitter(30 * time.Millisecond)
		p := w.dial("0.0.0.0:0", "198.51.100.10:5060")
		data := bytes.Repeat([]byte("0123456789abcdef"), 8<<10)
		go func() {
			_, _ = p.near.Write(data)
			_ = p.near.Close()
		}()
		got, err := io.ReadAll(p.far)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d of %d bytes: %v", len(got), len(data), err)
		}
	})
}

// TestWriteIsSegment: each Write is a segment of its own, long ones are cut.
func TestWriteIsSegment(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		p := w.dial("0.0.0.0:0", "198.51.100.10:5060")
		var sizes []int
		w.wan.Tap(func(q Packet) {
			if q.Flags != "A" {
				t.Errorf("%+v", q)
			}
			sizes = append(sizes, len(q.Payload))
		})
		w.write(p.near, "ab")
		w.write(p.near, "cde")
		w.write(p.near, strings.Repeat("x", MSS+1))
		if len(sizes) != 4 || sizes[0] != 2 || sizes[1] != 3 || sizes[2] != MSS || sizes[3] != 1 {
			t.Errorf("segments of %v", sizes)
		}
	})
}

// TestIdleMapping: the NAT forgets an idle connection after TCPTimeout, and
// traffic of either side keeps it.
func TestIdleMapping(t *testing.T) {
	inWorld(t, NAT{TCPTimeout: 5 * time.Minute}, func(w *world) {
		p := w.dial("0.0.0.0:0", "198.51.100.10:5060")
		time.Sleep(4 * time.Minute)
		w.write(p.far, "a")
		w.want("kept", w.read(p.near), "a")
		time.Sleep(5*time.Minute - time.Second)
		w.write(p.far, "b")
		w.want("kept by inbound", w.read(p.near), "b")
		time.Sleep(5 * time.Minute)
		w.write(p.far, "c")
		w.want("forgotten", w.read(p.near), "nothing")
	})
}

// TestNetListener: the adapter makes what the standard library wants.
func TestNetListener(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		l, err := w.provider.Listen(bg, ap("198.51.100.10:5060"))
		if err != nil {
			t.Fatal(err)
		}
		nl := transport.NetListener(l)
		c, err := w.phone.Dial(bg, ap("0.0.0.0:0"), ap("198.51.100.10:5060"))
		if err != nil {
			t.Fatal(err)
		}
		d, err := nl.Accept()
		if err != nil {
			t.Fatal(err)
		}
		w.write(c, "hello")
		w.want("read", w.read(d), "hello")
	})
}
