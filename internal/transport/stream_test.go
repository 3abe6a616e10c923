package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

// TestPing: CRLFCRLF is answered with one CRLF, wherever it is between
// messages and however it is split (P§1.5).
func TestPing(t *testing.T) {
	a, b := options("a", ""), options("b", "body")
	for _, c := range []struct {
		name   string
		pieces []string
		heard  string
		pongs  int
	}{
		{"alone", []string{"\r\n\r\n"}, "", 1},
		{"half", []string{"\r\n"}, "", 0},
		{"split 2+2", []string{"\r\n", "\r\n"}, "", 1},
		{"split 1+3", []string{"\r", "\n\r\n"}, "", 1},
		{"split 3+1", []string{"\r\n\r", "\n"}, "", 1},
		{"octets", []string{"\r", "\n", "\r", "\n"}, "", 1},
		{"two", []string{"\r\n\r\n\r\n\r\n"}, "", 2},
		{"before a message", []string{"\r\n\r\n" + a}, "OPTIONS a body=0", 1},
		{"after a message", []string{a + "\r\n\r\n"}, "OPTIONS a body=0", 1},
		{"between messages", []string{a + "\r\n\r\n" + b}, "OPTIONS a body=0; OPTIONS b body=4", 1},
		{"split across a message's end", []string{a[:len(a)-1], a[len(a)-1:] + "\r\n\r", "\n" + b}, "OPTIONS a body=0; OPTIONS b body=4", 1},
		{"lone CRLF before a message", []string{"\r\n" + a}, "OPTIONS a body=0", 0},
		{"lone CRLFs round a message are no ping", []string{"\r\n" + a + "\r\n" + b}, "OPTIONS a body=0; OPTIONS b body=4", 0},
		{"three CRLFs", []string{"\r\n\r\n\r\n" + a}, "OPTIONS a body=0", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			onLAN(t, func(l *lan) {
				l.serve()
				conn := l.dial()
				l.want("heard", l.says(conn, c.pieces...), c.heard)
				l.want("answered", l.hears(conn), strings.Repeat("\r\n", c.pongs))
			})
		})
	}
}

// TestDialled: on a stream we dialled every CRLF is a pong and nothing is
// answered; Ping goes out between messages.
func TestDialled(t *testing.T) {
	onLAN(t, func(l *lan) {
		ln := l.listen()
		conn := l.dial()
		far, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s := transport.NewStream(conn, transport.TCP, l.lim, l.owner)
		s.KeepOpen()
		if err := s.Send([]byte(options("early", "")), netip.AddrPort{}); err != nil {
			t.Error(err)
		}
		go func() { l.done <- s.Run(l.ctx) }()
		if err := s.Ping(); err != nil {
			t.Error(err)
		}
		l.want("sent", l.hears(far), options("early", "")+"\r\n\r\n")
		l.want("pong", l.says(far, "\r\n"), "pong")
		l.want("two pongs", l.says(far, "\r\n\r\n"), "pong; pong")
		l.want("pong and message", l.says(far, "\r\n"+options("a", "")), "pong; OPTIONS a body=0")
		l.want("answers", l.hears(far), "")
		l.want("addresses", s.Remote().String()+" "+s.Local().Addr().String(), server+" 192.168.1.10")
		time.Sleep(time.Hour)
		l.want("kept open", l.owner.events(), "")
		_ = far.Close()
		l.want("end", reason(<-l.done), "EOF")
		l.want("events", l.owner.events(), "closed: EOF")
		if err := s.Ping(); reason(err) != "EOF" {
			t.Errorf("sending afterwards: %v", err)
		}
	})
}

// TestBroken: what the owner hears of broken messages, whether the stream goes
// on, and that its answer arrives before the end.
func TestBroken(t *testing.T) {
	length := func(with string) string {
		return strings.Replace(options("a", "body"), "Content-Length: 4\r\n", with, 1)
	}
	for _, c := range []struct {
		name, in string
		heard    string
		closes   bool
	}{
		{"no Call-ID", strings.Replace(options("a", ""), "Call-ID: a\r\n", "", 1), "broken 400 close=false", false},
		{"no Content-Length", length(""), "broken 400 close=true", true},
		{"two Content-Lengths", length("l: 4\r\nContent-Length: 5\r\n"), "broken 400 close=true", true},
		{"negative", length("Content-Length: -1\r\n"), "broken 400 close=true", true},
		{"no number", length("Content-Length: x\r\n"), "broken 400 close=true", true},
		{"too large", length("Content-Length: 70000\r\n"), "broken 513 close=true", true},
		{"header too large", strings.Replace(options("a", ""), "Call-ID", strings.Repeat("X: y\r\n", 12000)+"Call-ID", 1), "broken 513 close=true", true},
		{"broken response", "SIP/2.0 200 OK\r\n\r\n", "broken 0 close=true", true},
		{"garbage", strings.Repeat("garbage\n", 2000) + "\r\n\r\n", "broken 0 close=true", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			onLAN(t, func(l *lan) {
				l.owner.answer = "SIP/2.0 400 Bad Request\r\n\r\n"
				l.serve()
				conn := l.dial()
				heard, want := l.says(conn, c.in), c.heard
				if c.closes {
					want += "; closed: framing"
				}
				l.want("heard", heard, want)
				l.want("answer", l.hears(conn), l.owner.answer)
				if c.closes {
					l.want("then", l.hears(conn), "EOF")
					return
				}
				l.want("next", l.says(conn, options("b", "")), "OPTIONS b body=0")
			})
		})
	}
}

// TestAnswerSurvivesFlood: the peer goes on sending after its mistake; it gets
// the answer, and not a reset before it.
func TestAnswerSurvivesFlood(t *testing.T) {
	onLAN(t, func(l *lan) {
		l.owner.answer = "SIP/2.0 400 Bad Request\r\n\r\n"
		l.serve()
		conn := l.dial()
		bad := strings.Replace(options("a", ""), "Content-Length: 0\r\n", "", 1)
		if _, err := conn.Write([]byte(bad + strings.Repeat("x", 60000))); err != nil {
			t.Fatal(err)
		}
		l.want("answer", l.hears(conn), l.owner.answer)
	})
}

// TestTimeLimits: both sides of each boundary.
func TestTimeLimits(t *testing.T) {
	whole := options("a", "body")
	head := strings.Index(whole, "\r\n\r\n") + 4
	for _, c := range []struct {
		name   string
		pieces []string // a second apart
		limit  time.Duration
		after  string
	}{
		{"idle", nil, 30 * time.Second, "closed: no registration on the connection"},
		{"idle with pings", []string{"\r\n\r\n", "\r\n\r\n", "\r\n"}, 28 * time.Second, "closed: no registration on the connection"},
		{"header", []string{whole[:1], whole[1:2], whole[2:20]}, 8 * time.Second, "closed: message not finished in time"},
		{"body", []string{whole[:head], whole[head : head+2]}, 9 * time.Second, "closed: message not finished in time"},
		{"body glued to its header", []string{whole[:20], whole[20 : head+1]}, 10 * time.Second, "closed: message not finished in time"},
		{"second header", []string{whole, whole + whole[:10]}, 10 * time.Second, "closed: message not finished in time"},
		{"idle after a message", []string{whole}, 30 * time.Second, "closed: no registration on the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onLAN(t, func(l *lan) {
				l.serve()
				conn := l.dial()
				for i, p := range c.pieces {
					if i > 0 {
						time.Sleep(time.Second)
					}
					l.says(conn, p)
				}
				time.Sleep(c.limit - time.Nanosecond)
				synctest.Wait()
				l.want("just before", l.owner.events(), "")
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				l.want("then", l.owner.events(), c.after)
			})
		})
	}
}

// TestKeepOpen lifts the idle limit, also when it is called while the reader
// waits; the limits on a message stay.
func TestKeepOpen(t *testing.T) {
	onLAN(t, func(l *lan) {
		l.serve()
		conn := l.dial()
		time.Sleep(29 * time.Second)
		l.owner.socket(0).(*transport.Stream).KeepOpen()
		time.Sleep(24 * time.Hour)
		l.want("a day later", l.owner.events(), "")
		l.want("message", l.says(conn, options("a", "")), "OPTIONS a body=0")
		l.says(conn, "OPT")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		l.want("loris", l.owner.events(), "closed: message not finished in time")
	})
}

// TestSlow: a peer that does not read is closed when the queue is over its
// bytes or its age; Send never waits.
func TestSlow(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(l *lan, s transport.Socket) error
	}{
		{"bytes", func(_ *lan, s transport.Socket) error {
			start := time.Now()
			for {
				if err := s.Send(make([]byte, 10000), netip.AddrPort{}); err != nil {
					if d := time.Since(start); d != 0 {
						t.Errorf("Send waited %v", d)
					}
					return err
				}
			}
		}},
		{"age", func(l *lan, s transport.Socket) error {
			for range 20 {
				if err := s.Send(make([]byte, 10000), netip.AddrPort{}); err != nil {
					return err
				}
			}
			time.Sleep(l.lim.QueueAge - time.Nanosecond)
			synctest.Wait()
			l.want("just before", l.owner.events(), "")
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			return s.Send([]byte("x"), netip.AddrPort{})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onLAN(t, func(l *lan) {
				l.serve()
				conn := l.dial()
				other := l.dial()
				s := l.owner.socket(0)
				l.owner.events()
				if err := c.send(l, s); !errors.Is(err, transport.ErrSlow) {
					t.Errorf("Send: %v", err)
				}
				synctest.Wait()
				l.want("events", l.owner.events(), "closed: "+transport.ErrSlow.Error())
				l.want("others", l.says(other, options("b", "")), "OPTIONS b body=0")
				_ = conn
			})
		})
	}
}

// TestSendAfterQueue: the time limit of what was queued once is not that of a
// later message.
func TestSendAfterQueue(t *testing.T) {
	onLAN(t, func(l *lan) {
		l.serve()
		conn := l.dial()
		s := l.owner.socket(0)
		l.owner.events()
		const size, n = 10000, 30 // more than fits
		for range n {
			if err := s.Send(make([]byte, size), netip.AddrPort{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(conn, make([]byte, n*size)); err != nil {
			t.Fatal(err)
		}
		s.(*transport.Stream).KeepOpen()
		time.Sleep(2 * l.lim.QueueAge)
		if err := s.Send([]byte("later"), netip.AddrPort{}); err != nil {
			t.Error(err)
		}
		l.want("phone", l.hears(conn), "later")
		l.want("events", l.owner.events(), "")
	})
}

// TestOneWriteAMessage: messages keep their order, and none shares a segment
// with another.
func TestOneWriteAMessage(t *testing.T) {
	onLAN(t, func(l *lan) {
		var seen []string
		l.serve()
		conn := l.dial()
		l.seg.Tap(func(p memnet.Packet) { seen = append(seen, string(p.Payload)) })
		s := l.owner.socket(0)
		for _, m := range []string{"one", "two", "three"} {
			if err := s.Send([]byte(m), netip.AddrPort{}); err != nil {
				t.Fatal(err)
			}
		}
		l.want("all", l.hears(conn), "onetwothree")
		l.want("segments", strings.Join(seen, "|"), "one|two|three")
	})
}

// TestClose: what is queued goes out first; the reason arrives once; nothing
// more is heard.
func TestClose(t *testing.T) {
	onLAN(t, func(l *lan) {
		l.serve()
		conn := l.dial()
		s := l.owner.socket(0)
		why := errors.New("re-registration is due")
		_ = s.Send([]byte("last words"), netip.AddrPort{})
		s.Close(why)
		s.Close(errors.New("again"))
		if _, err := conn.Write([]byte(options("late", ""))); err != nil {
			t.Error(err)
		}
		l.want("phone", l.hears(conn), "last words")
		l.want("events", l.owner.events(), "closed: "+why.Error())
		if err := s.Send([]byte("x"), netip.AddrPort{}); !errors.Is(err, why) {
			t.Errorf("Send: %v", err)
		}
	})
}

// TestCloseUnread: a peer that does not read cannot hold up the end for more
// than two seconds.
func TestCloseUnread(t *testing.T) {
	onLAN(t, func(l *lan) {
		l.serve()
		l.dial()
		s := l.owner.socket(0)
		for range 20 {
			_ = s.Send(make([]byte, 10000), netip.AddrPort{})
		}
		synctest.Wait()
		start := time.Now()
		if err := l.end(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("took %v", d)
		}
		l.want("events", l.owner.events(), "closed: context canceled")
	})
}

// TestAbort: at once, with a reset, and the port can be dialled from again.
func TestAbort(t *testing.T) {
	onLAN(t, func(l *lan) {
		ln := l.listen()
		dial := func() (*transport.Stream, net.Conn) {
			conn, err := l.phone.Dial(l.ctx, ap("192.168.1.10:40000"), ap(server))
			if err != nil {
				t.Fatal(err)
			}
			far, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			s := transport.NewStream(conn, transport.TCP, l.lim, l.owner)
			go func() { l.done <- s.Run(l.ctx) }()
			return s, far
		}
		s, far := dial()
		for range 20 {
			_ = s.Send(make([]byte, 10000), netip.AddrPort{})
		}
		synctest.Wait()
		s.Abort(errors.New("no pong"))
		l.want("Run", reason(<-l.done), "no pong")
		l.want("events", l.owner.events(), "closed: no pong")
		for l.hears(far) != "connection reset by peer" {
		}
		s, _ = dial()
		s.Close(errors.New("done"))
		<-l.done
	})
}

// TestPeerEnds: what Closed gets when the peer or the network ends it.
func TestPeerEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(l *lan, c transport.Conn)
		want string
	}{
		{"close", func(_ *lan, c transport.Conn) { _ = c.Close() }, "closed: EOF"},
		{"close within a message", func(l *lan, c transport.Conn) { l.says(c, "OPTIONS"); _ = c.Close() }, "closed: unexpected EOF"},
		{"reset", func(_ *lan, c transport.Conn) { _ = c.Abort() }, "closed: connection reset by peer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onLAN(t, func(l *lan) {
				l.serve()
				c.do(l, l.dial())
				synctest.Wait()
				l.want("events", l.owner.events(), c.want)
			})
		})
	}
}
