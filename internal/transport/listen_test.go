package transport_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/transport"
)

// TestRefusals: strangers and too many connections are turned away without a
// word, counted, and make room when they go.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name         string
		set          func(l *lan)
		first, later string // why connections 0-1 and 2 are refused; "": they are not
	}{
		{"none", func(*lan) {}, "", ""},
		{"stranger", func(l *lan) { l.allow = func(a netip.Addr) bool { return a.String() == "192.168.1.77" } }, "stranger", "stranger"},
		{"known", func(l *lan) { l.allow = func(a netip.Addr) bool { return a.String() == "192.168.1.10" } }, "", ""},
		{"per address", func(l *lan) { l.lim.PerIP = 2 }, "", "per_ip"},
		{"total", func(l *lan) { l.lim.Total = 2 }, "", "total"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onLAN(t, func(l *lan) {
				refused := l.count()
				c.set(l)
				l.serve()
				var conns []net.Conn
				for i := range 3 {
					conns = append(conns, l.dial())
					want := c.first
					if i == 2 {
						want = c.later
					}
					if want == "" {
						l.want("open", l.hears(conns[i]), "")
						l.want("counted", refused(), "")
						continue
					}
					l.want("closed", l.hears(conns[i]), "connection reset by peer")
					if got := refused(); !strings.HasSuffix(got, want+" 192.168.1.10") {
						t.Errorf("counted %q", got)
					}
				}
				if c.first == "" && c.later != "" {
					_ = conns[0].Close()
					synctest.Wait()
					l.want("room again", l.hears(l.dial()), "")
				}
			})
		})
	}
}

// failing is a listener whose first Accepts fail.
type failing struct {
	transport.Listener
	err   error
	times int
	tries []time.Time
}

func (f *failing) Accept() (transport.Conn, error) {
	f.tries = append(f.tries, time.Now())
	if len(f.tries) <= f.times {
		return nil, f.err
	}
	return f.Listener.Accept()
}

// TestAcceptFails: out of files, the loop waits longer each time and goes on.
func TestAcceptFails(t *testing.T) {
	onLAN(t, func(l *lan) {
		f := &failing{Listener: l.listen(), times: 10, err: &net.OpError{Op: "accept", Err: syscall.EMFILE}}
		l.serveListener(f)
		conn := l.dial()
		time.Sleep(10 * time.Second)
		l.want("message", l.says(conn, options("a", "")), "OPTIONS a body=0")
		for i := 1; i < len(f.tries); i++ {
			want := min(5*time.Millisecond<<(i-1), time.Second)
			if got := f.tries[i].Sub(f.tries[i-1]); i <= f.times && got != want {
				t.Errorf("wait %d was %v, want %v", i, got, want)
			}
		}
	})
}

// TestServeStreamEnds: by its context, after all connections had their Closed;
// by a listener that is closed.
func TestServeStreamEnds(t *testing.T) {
	onLAN(t, func(l *lan) {
		ln := l.listen()
		l.serveListener(ln)
		a, b := l.dial(), l.dial()
		_ = l.owner.socket(0).Send([]byte("bye"), netip.AddrPort{})
		if err := l.end(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		l.want("events", l.owner.events(), "opened TCP; closed: context canceled; closed: context canceled")
		l.want("last words", l.hears(a), "bye")
		l.want("end", l.hears(b), "EOF")
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is open: %v", err)
		}
	})
	onLAN(t, func(l *lan) {
		ln := l.listen()
		l.serveListener(ln)
		l.dial()
		_ = ln.Close()
		if err := <-l.done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		l.want("events", l.owner.events(), "closed: context canceled")
	})
}

// certificate returns a certificate for host and the pool that trusts it; it
// is made in the bubble, whose clock starts in 2000.
func certificate(t *testing.T, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestTLS: messages both ways; a client that does not shake hands holds up
// nobody and is gone after HeaderTime; one that talks SIP is gone at once.
func TestTLS(t *testing.T) {
	onLAN(t, func(l *lan) {
		refused := l.count()
		cert, pool := certificate(t, "pbx.example")
		ln := l.listen()
		go func() {
			config := &tls.Config{Certificates: []tls.Certificate{cert}}
			l.done <- transport.ServeStream(l.ctx, ln, transport.TLS, config, l.allow, l.lim, l.owner)
		}()
		silent, plain := l.dial(), l.dial()
		end := time.Now().Add(l.lim.HeaderTime)
		l.owner.answer = "SIP/2.0 200 OK\r\n\r\n"
		raw := l.dial()
		c := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: "pbx.example"})
		l.want("heard", l.says(c, options("a", "")), "opened TLS; OPTIONS a body=0")
		l.want("answer", l.hears(c), l.owner.answer)
		if _, err := plain.Write([]byte(options("b", ""))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.want("plain SIP", refused(), "handshake 192.168.1.10")
		time.Sleep(time.Until(end) - 2*time.Nanosecond)
		l.want("silent, just before", l.hears(silent), "") // takes a nanosecond
		l.want("refused, just before", refused(), "handshake 192.168.1.10")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		l.want("silent", refused(), "handshake 192.168.1.10, handshake 192.168.1.10")
		s := l.owner.socket(0).(*transport.Stream)
		if n, err := s.Conn().Unacked(); n != 0 || err != nil {
			t.Errorf("Unacked: %d, %v", n, err)
		}
		if err := s.Conn().SetUserTimeout(time.Second); err != nil {
			t.Error(err)
		}
		_ = s.Send([]byte("bye"), netip.AddrPort{})
		if err := l.end(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		l.want("last words", l.hears(c), "bye")
		l.want("end", l.hears(c), "EOF")
	})
}

// TestTLSEnds: ending the listener does not wait for a handshake.
func TestTLSEnds(t *testing.T) {
	onLAN(t, func(l *lan) {
		cert, _ := certificate(t, "pbx.example")
		ln := l.listen()
		go func() {
			config := &tls.Config{Certificates: []tls.Certificate{cert}}
			l.done <- transport.ServeStream(l.ctx, ln, transport.TLS, config, l.allow, l.lim, l.owner)
		}()
		l.dial()
		start := time.Now()
		_ = l.end()
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
		l.want("events", l.owner.events(), "")
	})
}

// TestTLSUnread: a client that reads nothing cannot hold up the end, not even
// with our goodbye.
func TestTLSUnread(t *testing.T) {
	onLAN(t, func(l *lan) {
		cert, pool := certificate(t, "pbx.example")
		ln := l.listen()
		go func() {
			config := &tls.Config{Certificates: []tls.Certificate{cert}}
			l.done <- transport.ServeStream(l.ctx, ln, transport.TLS, config, l.allow, l.lim, l.owner)
		}()
		c := tls.Client(l.dial(), &tls.Config{RootCAs: pool, ServerName: "pbx.example"})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s := l.owner.socket(0).(*transport.Stream)
		l.seg.Loss(1)
		for range 64 { // as many as the send buffer takes
			_ = s.Send(make([]byte, 1010), netip.AddrPort{})
		}
		synctest.Wait()
		if n, err := s.Conn().Unacked(); n != 64 || err != nil {
			t.Fatalf("%d segments written, %v", n, err)
		}
		start := time.Now()
		_ = l.end()
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("took %v", d)
		}
	})
}
