package peer_test

import (
	"context"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

const domain = "sip.example.com"

// A world is a provider and the hosts of two phones.
type world struct {
	t    *testing.T
	ctx  context.Context
	prov *peer.Provider
	home [2]transport.Net
	ca   *peer.CA
	hear time.Duration // how long audio is listened to
}

// inMemory runs f in fake time with a provider that the phones reach without a
// NAT.
func inMemory(t *testing.T, conf peer.ProviderConfig, f func(*world)) {
	t.Helper()
	lossy(t, 0, conf, f)
}

// lossy is inMemory on a network that loses packets.
func lossy(t *testing.T, loss float64, conf peer.ProviderConfig, f func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		t.Cleanup(n.Close)
		wan := n.Segment("wan", netip.MustParsePrefix("203.0.113.0/24"))
		wan.Loss(loss)
		isp := wan.Host("203.0.113.5")
		ip := netip.MustParseAddr("203.0.113.5")
		w := &world{t: t, hear: 2 * time.Second, home: [2]transport.Net{wan.Host("203.0.113.10"), wan.Host("203.0.113.11")}}
		w.start(isp, ip, [3]uint16{5060, 5060, 5061}, conf)
		f(w)
	})
}

func (w *world) start(isp transport.Net, ip netip.Addr, ports [3]uint16, conf peer.ProviderConfig) {
	w.t.Helper()
	ca, err := peer.NewCA()
	if err != nil {
		w.t.Fatal(err)
	}
	w.ca = ca
	conf.Domain = domain
	conf.Users = map[string]string{"alice": "secret", "bob": "hunter2"}
	for i, proto := range []string{peer.UDP, peer.TCP, peer.TLS} {
		conf.Listen = append(conf.Listen, peer.Listen{Proto: proto, Addr: netip.AddrPortFrom(ip, ports[i])})
	}
	if conf.TLS, err = ca.Server(domain); err != nil {
		w.t.Fatal(err)
	}
	if w.prov, err = peer.NewProvider(isp, conf); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.prov.Close)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	w.t.Cleanup(cancel)
	w.ctx = ctx
}

// phone makes a phone that is closed at the end of the test.
func (w *world) phone(home int, user, proto string, change ...func(*peer.PhoneConfig)) *peer.Phone {
	w.t.Helper()
	conf := peer.PhoneConfig{
		User: user, Password: map[string]string{"alice": "secret", "bob": "hunter2"}[user], Domain: domain,
		Proto: proto, Proxy: w.prov.Addr(proto), TLS: w.ca.Client(domain),
	}
	for _, f := range change {
		f(&conf)
	}
	p, err := peer.NewPhone(w.home[home], conf)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	return p
}

func (w *world) must(what string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

func (w *world) registered(p *peer.Phone) *peer.Registration {
	w.t.Helper()
	r, err := p.Register(w.ctx)
	w.must("register", err)
	return r
}

func (w *world) expect(p interface {
	Expect(context.Context) (*peer.Call, error)
},
) *peer.Call {
	w.t.Helper()
	c, err := p.Expect(w.ctx)
	w.must("expect", err)
	return c
}

func (w *world) audio(a, b *peer.Call) {
	w.t.Helper()
	got, err := a.Audio(w.ctx, w.hear, b)
	w.must("audio", err)
	if !got.OK() {
		w.t.Fatalf("audio did not pass both ways: %+v", got)
	}
}

// day registers, is called, calls, and unregisters.
func day(w *world, proto string) {
	alice := w.phone(0, "alice", proto)
	if r := w.registered(alice); r.Tries != 2 || r.Expires != time.Hour {
		w.t.Fatalf("registered with %d tries for %v", r.Tries, r.Expires)
	}
	in, err := w.prov.Call(w.ctx, "alice")
	w.must("call from outside", err)
	got := w.expect(alice)
	w.must("ring", got.Ring())
	w.must("rings", in.Rings(w.ctx))
	w.must("answer", got.Answer())
	w.must("answered", in.Answered(w.ctx))
	w.must("confirmed", got.Confirmed(w.ctx))
	w.audio(in, got)
	w.must("hangup", in.Hangup(w.ctx))
	w.must("ended", got.Ended(w.ctx))

	w.prov.SetNumber("100", peer.AnswerNow)
	out, err := alice.Call(w.ctx, "100")
	w.must("call out", err)
	w.must("answered", out.Answered(w.ctx))
	if n := len(out.Responses()); out.Responses()[0].Status() != 407 {
		w.t.Fatalf("no 407 among %d responses", n)
	}
	far := w.expect(w.prov)
	w.audio(out, far)
	w.must("hold", out.Hold(w.ctx))
	w.must("resume", far.Resume(w.ctx))
	w.audio(far, out)
	w.must("hangup", far.Hangup(w.ctx))
	w.must("ended", out.Ended(w.ctx))
	_, err = alice.Unregister(w.ctx)
	w.must("unregister", err)
	if b := w.prov.Bindings("alice"); len(b) != 0 {
		w.t.Fatalf("still bound: %v", b)
	}
}

func TestDay(t *testing.T) {
	for _, proto := range []string{peer.UDP, peer.TCP, peer.TLS} {
		t.Run(proto, func(t *testing.T) {
			inMemory(t, peer.ProviderConfig{}, func(w *world) { day(w, proto) })
		})
	}
}

// The same over the system's own sockets, and nothing is left behind.
func TestDayOnLoopback(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("transports", func(t *testing.T) {
		for _, proto := range []string{peer.UDP, peer.TCP, peer.TLS} {
			t.Run(proto, func(t *testing.T) {
				t.Parallel()
				w := &world{t: t, hear: 100 * time.Millisecond, home: [2]transport.Net{transport.System(), transport.System()}}
				w.start(transport.System(), netip.MustParseAddr("127.0.0.1"), [3]uint16{}, peer.ProviderConfig{})
				day(w, proto)
			})
		}
	})
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines left behind:\n%s", runtime.NumGoroutine()-before, buf[:runtime.Stack(buf, true)])
		}
	}
}

// On a network that loses a fifth of all packets, the transactions still end.
func TestLoss(t *testing.T) {
	conf := peer.ProviderConfig{Numbers: map[string]peer.Answer{"100": peer.AnswerNow}}
	lossy(t, 0.2, conf, func(w *world) {
		alice := w.phone(0, "alice", peer.UDP)
		for range 10 {
			w.registered(alice)
			in, err := w.prov.Call(w.ctx, "alice")
			w.must("call", err)
			c := w.expect(alice)
			w.must("answer", c.Answer())
			w.must("answered", in.Answered(w.ctx))
			w.must("confirmed", c.Confirmed(w.ctx))
			w.must("hold", in.Hold(w.ctx))
			w.must("hangup", in.Hangup(w.ctx))
			out, err := alice.Call(w.ctx, "100")
			w.must("call", err)
			w.must("answered", out.Answered(w.ctx))
			w.must("hangup", out.Hangup(w.ctx))
		}
	})
}
