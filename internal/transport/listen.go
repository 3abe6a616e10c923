package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A server accepts the connections of one listener.
type server struct {
	proto  Proto
	config *tls.Config
	allow  func(netip.Addr) bool
	lim    Limits
	h      Handler

	conns sync.WaitGroup
	mu    sync.Mutex
	perIP map[netip.Addr]int
	total int
}

// ServeStream accepts connections from addresses that allow accepts (nil:
// all) and runs each as a Stream; proto TLS needs config, which is ignored
// otherwise. It closes ln and returns when ctx ends or ln fails for good,
// after all its connections are over; then they have had their Closed. Running
// out of files or memory only makes it wait.
func ServeStream(ctx context.Context, ln Listener, proto Proto, config *tls.Config, allow func(netip.Addr) bool, lim Limits, h Handler) error {
	s := &server{proto: proto, config: config, allow: allow, lim: lim, h: h, perIP: make(map[netip.Addr]int)}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	err := s.accept(ctx, ln)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	cancel()
	if stop() {
		_ = ln.Close()
	}
	s.conns.Wait()
	return err
}

// accept accepts until the listener is closed.
func (s *server) accept(ctx context.Context, ln Listener) error {
	var pause pause
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			pause.reset()
			s.admit(ctx, c)
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			if !pause.wait(ctx) {
				return ctx.Err()
			}
		}
	}
}

// admit starts a connection, or turns it away without a word.
func (s *server) admit(ctx context.Context, c Conn) {
	from := addrPort(c.RemoteAddr()).Addr()
	if why, ok := s.enter(from); !ok {
		s.lim.refuse(why, from)
		_ = c.Abort()
		return
	}
	s.conns.Go(func() {
		defer s.leave(from)
		s.run(ctx, c, from)
	})
}

// enter counts a connection in, unless there are too many.
func (s *server) enter(from netip.Addr) (Refusal, bool) {
	if s.allow != nil && !s.allow(from.WithZone("")) {
		return Stranger, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.perIP[from] >= s.lim.PerIP:
		return PerIP, false
	case s.total >= s.lim.Total:
		return Total, false
	}
	s.perIP[from]++
	s.total++
	return 0, true
}

func (s *server) leave(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.perIP[from]--; s.perIP[from] == 0 {
		delete(s.perIP, from)
	}
}

// run runs one connection to its end.
func (s *server) run(ctx context.Context, c Conn, from netip.Addr) {
	if s.proto == TLS {
		t := tls.Server(c, s.config)
		if err := handshake(ctx, t, c, s.lim.HeaderTime); err != nil {
			s.lim.refuse(Handshake, from)
			_ = c.Abort()
			return
		}
		c = Secure(t, c)
	}
	st := NewStream(c, s.proto, s.lim, s.h)
	st.accepted = true
	s.h.Opened(st)
	_ = st.Run(ctx) // Closed has told why
}

// handshake shakes hands within limit, or until ctx ends.
func handshake(ctx context.Context, t *tls.Conn, c Conn, limit time.Duration) error {
	stop := context.AfterFunc(ctx, func() { _ = c.Abort() })
	defer stop()
	if err := t.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if err := t.Handshake(); err != nil {
		return err
	}
	return t.SetDeadline(time.Time{})
}

// secured is a TLS connection with the socket options of the one below.
type secured struct {
	*tls.Conn
	under Conn
}

// Secure makes a Conn of a TLS connection over under, for NewStream.
func Secure(t *tls.Conn, under Conn) Conn { return secured{t, under} }

// SetUserTimeout implements Conn.
func (c secured) SetUserTimeout(d time.Duration) error { return c.under.SetUserTimeout(d) }

// Unacked implements Conn.
func (c secured) Unacked() (int, error) { return c.under.Unacked() }

// TryWrite implements Conn: a record is made and written in one piece, by Write.
func (c secured) TryWrite([]byte) (int, error) { return 0, nil }

// Abort implements Conn: there is no close_notify.
func (c secured) Abort() error { return c.under.Abort() }

// NetListener makes a net.Listener of l, for libraries that need one.
func NetListener(l Listener) net.Listener { return netListener{l} }

type netListener struct{ Listener }

// Accept implements net.Listener.
func (l netListener) Accept() (net.Conn, error) { return l.Listener.Accept() }
