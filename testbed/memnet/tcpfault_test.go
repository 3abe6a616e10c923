package memnet

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestStateLossTCP: the measured rows: what the far side and we see after the
// NAT has forgotten the connection.
func TestStateLossTCP(t *testing.T) {
	for _, c := range []struct {
		name      string
		nat       NAT
		farWrite  string // what the far side's next read says after it wrote first
		near, far string // what near and far read after we wrote, within 30 s
	}{
		{"plain, loose: heals, what was lost comes late", NAT{PreservePort: true}, "nothing", "welcome", "ping"},
		{"random, loose: reset", NAT{Mapping: AddressAndPortDependent}, "nothing", "connection reset by peer", "nothing"},
		{"strict: silence", NAT{PreservePort: true, Midstream: Ignore}, "nothing", "connection timed out", "nothing"},
		{"strict, input refuses: the server alone gets a reset", NAT{PreservePort: true, Midstream: Ignore, RefuseTCP: true}, "connection reset by peer", "connection timed out", "connection reset by peer"},
		{"reset", NAT{PreservePort: true, Midstream: Reset}, "nothing", "connection reset by peer", "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, c.nat, func(w *world) {
				p := w.dial("192.168.1.10:40000", "198.51.100.10:5060")
				_ = p.near.SetUserTimeout(20 * time.Second)
				w.nat.Flush()
				if c.nat.Mapping == AddressAndPortDependent {
					w.nat.Rebind()
				}
				w.write(p.far, "welcome")
				w.want("near, before we write", w.readWithin(p.near, time.Second), "nothing")
				w.want("far, before we write", w.read(p.far), c.farWrite)
				w.write(p.near, "ping")
				w.want("near", w.readWithin(p.near, 30*time.Second), c.near)
				w.want("far", w.read(p.far), c.far)
			})
		})
	}
}

// TestUserTimeout: to the instant, from the first unacknowledged byte, and
// Unacked tells before.
func TestUserTimeout(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		p := w.dial("0.0.0.0:0", "198.51.100.10:5060")
		if err := p.near.SetUserTimeout(15 * time.Second); err != nil {
			t.Fatal(err)
		}
		w.write(p.near, "fine")
		unacked := func(want int) {
			t.Helper()
			if n, err := p.near.Unacked(); err != nil || n != want {
				t.Errorf("Unacked is %d, %v, want %d", n, err, want)
			}
		}
		unacked(0)
		time.Sleep(time.Hour)
		w.nat.Block(true)
		start := time.Now()
		w.write(p.near, "lost")
		w.write(p.near, "lost too")
		unacked(2)
		_ = p.near.SetReadDeadline(time.Now().Add(15*time.Second - 1))
		_, err := p.near.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("just before: %v", err)
		}
		unacked(2)
		_ = p.near.SetReadDeadline(time.Time{})
		_, err = p.near.Read(make([]byte, 1))
		if !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) != 15*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// TestBlackHoleHeals: what was written comes, once, when the hole is closed
// before the time is up.
func TestBlackHoleHeals(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		p := w.dial("0.0.0.0:0", "198.51.100.10:5060")
		w.nat.Block(true)
		for _, s := range []string{"a", "b", "c"} {
			w.write(p.near, s)
		}
		time.Sleep(5 * time.Second)
		w.nat.Block(false)
		time.Sleep(10 * time.Second)
		w.want("far", w.read(p.far), "abc")
		if n, _ := p.near.Unacked(); n != 0 {
			t.Errorf("%d unacked", n)
		}
	})
}

// TestHalfOpen: the provider crashed without a word; our next bytes are reset.
// A killed process says FIN.
func TestHalfOpen(t *testing.T) {
	for _, c := range []struct {
		name        string
		end         func(h *Host)
		idle, after string
	}{
		{"crash", (*Host).Crash, "nothing", "connection reset by peer"},
		{"kill", (*Host).Kill, "EOF", "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, NAT{}, func(w *world) {
				p := w.dial("0.0.0.0:0", "198.51.100.10:5060")
				c.end(w.provider)
				w.want("idle", w.read(p.near), c.idle)
				_, _ = p.near.Write([]byte("x"))
				w.want("after a write", w.read(p.near), c.after)
				if _, err := p.listener.Accept(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Accept: %v", err)
				}
				if _, err := w.provider.Listen(bg, ap("198.51.100.10:5060")); err != nil {
					t.Errorf("listening again: %v", err)
				}
			})
		})
	}
}

// TestForgottenPeer: we come back from the same port while the far side still
// holds the old connection (our reset was lost): it is told and the dial
// succeeds.
func TestForgottenPeer(t *testing.T) {
	inWorld(t, NAT{PreservePort: true}, func(w *world) {
		p := w.dial("192.168.1.10:40000", "198.51.100.10:5060")
		w.nat.Block(true)
		_ = p.near.Abort()
		w.nat.Block(false)
		start := time.Now()
		q := w.dialTo(p.listener, "192.168.1.10:40000")
		if d := time.Since(start); d != time.Second {
			t.Errorf("dial took %v, want one repeat of the SYN", d)
		}
		w.want("old", w.read(p.far), "connection reset by peer")
		w.write(q.near, "hello")
		w.want("new", w.read(q.far), "hello")
	})
}
