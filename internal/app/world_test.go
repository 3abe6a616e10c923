package app_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/app"
	"pinhole/internal/config"
	"pinhole/internal/metrics"
	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

const domain = "sip.example.com"

// The places of the world: a LAN behind a NAT, the provider's SIP and media
// hosts and a STUN server outside.
const (
	lanProxy  = "192.168.1.2"
	lanRouter = "192.168.1.1"
	lanPhoneA = "192.168.1.10"
	lanPhoneB = "192.168.1.11"
	wanRouter = "203.0.113.2"
	wanSIP    = "198.51.100.10"
	wanMedia  = "198.51.100.11"
	wanSTUN   = "198.51.100.20"
	wanSIP2   = "198.51.100.30"
	domain2   = "sip.example.net"
)

// A plan is what differs between the worlds of a test.
type plan struct {
	proto  string // upstream transport: peer.UDP, TCP or TLS
	nat    func(*memnet.NAT)
	prov   func(*peer.ProviderConfig)
	extra  string // further lines of the configuration
	edge   bool   // Pinhole on the router itself
	noSTUN bool
	second bool                                // another provider, "second", with the same users
	tls    func(*peer.CA) (*tls.Config, error) // the provider's certificate
	seed   uint64                              // of the network's losses
}

// A world is Pinhole between phones and a provider, in memory and in fake time.
type world struct {
	t       *testing.T
	ctx     context.Context
	plan    plan
	net     *memnet.Network
	lan     *memnet.Segment
	wan     *memnet.Segment
	router  *memnet.Gateway
	host    *memnet.Host // Pinhole's
	phoneA  *memnet.Host
	phoneB  *memnet.Host
	prov    *peer.Provider
	prov2   *peer.Provider
	stun    *peer.STUN
	ca      *peer.CA
	log     *logBuffer
	count   *metrics.Set
	dir     string
	phones  []*peer.Phone
	stop    func()
	kill    func() // what kill -9 does: nothing more is sent or written
	closers []func()

	mu   sync.Mutex // guards following
	wire []memnet.Packet
}

// live runs f in a world in a bubble of its own.
func live(t *testing.T, p plan, f func(*world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 48*time.Hour)
		defer cancel()
		w := &world{t: t, ctx: ctx, plan: p, dir: dir, log: &logBuffer{}, net: memnet.New(1 + p.seed)}
		defer w.close()
		w.build()
		w.start()
		f(w)
	})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v\nlog:\n%s", err, w.log)
	}
}

func (w *world) build() {
	prefix := netip.MustParsePrefix("192.168.1.0/24")
	w.wan = w.net.Segment("wan")
	w.lan = w.net.Segment("lan", prefix)
	n := memnet.NAT{
		Inside: w.lan, InsideAddr: lanRouter, Outside: w.wan, OutsideAddr: wanRouter,
		Filtering: memnet.AddressAndPortDependent, Mapping: memnet.EndpointIndependent,
	}
	if w.plan.nat != nil {
		w.plan.nat(&n)
	}
	w.router = w.net.NAT(n)
	if w.plan.edge {
		w.host = w.wan.Host(wanEdge) // its way out
		w.host.Add(w.lan, lanProxy)
	} else {
		w.host = w.lan.Host(lanProxy)
	}
	w.phoneA, w.phoneB = w.lan.Host(lanPhoneA), w.lan.Host(lanPhoneB)
	w.wan.Tap(func(p memnet.Packet) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wire = append(w.wire, p)
	})
	var err error
	w.ca, err = peer.NewCA()
	w.must(err)
	w.must(os.WriteFile(filepath.Join(w.dir, "ca.pem"), w.ca.PEM(), 0o600))
	w.provider()
	w.stun, err = peer.NewSTUN(w.wan.Host(wanSTUN), netip.MustParseAddrPort(wanSTUN+":3478"))
	w.must(err)
	w.closers = append(w.closers, w.stun.Close, w.prov.Close)
}

func (w *world) provider() {
	conf := peer.ProviderConfig{
		Domain: domain, Users: map[string]string{"alice": "secret", "bob": "hunter2"},
		Media: netip.MustParseAddr(wanMedia), MediaNet: w.wan.Host(wanMedia),
		Numbers: map[string]peer.Answer{
			"echo": peer.AnswerEcho, "ring": peer.AnswerRings, "busy": peer.AnswerBusy,
			"early": peer.AnswerEarly, "late": peer.AnswerLate, "now": peer.AnswerNow,
		},
	}
	for i, proto := range []string{peer.UDP, peer.TCP, peer.TLS} {
		conf.Listen = append(conf.Listen, peer.Listen{
			Proto: proto, Addr: netip.MustParseAddrPort(fmt.Sprintf("%s:%d", wanSIP, []int{5060, 5060, 5061}[i])),
		})
	}
	var err error
	certificate := func(ca *peer.CA) (*tls.Config, error) { return ca.Server(domain) }
	if w.plan.tls != nil {
		certificate = w.plan.tls
	}
	conf.TLS, err = certificate(w.ca)
	w.must(err)
	if w.plan.prov != nil {
		w.plan.prov(&conf)
	}
	w.prov, err = peer.NewProvider(w.wan.Host(wanSIP), conf)
	w.must(err)
	if !w.plan.second {
		return
	}
	conf.Domain, conf.Media, conf.MediaNet = domain2, netip.Addr{}, nil
	conf.Listen = []peer.Listen{{Proto: peer.TCP, Addr: netip.MustParseAddrPort(wanSIP2 + ":5060")}}
	w.prov2, err = peer.NewProvider(w.wan.Host(wanSIP2), conf)
	w.must(err)
	w.closers = append(w.closers, w.prov2.Close)
}

// config is the file that an admin would write.
func (w *world) config() string {
	port := 5060
	if w.plan.proto == peer.TLS {
		port = 5061
	}
	second := ""
	if w.plan.second {
		second = fmt.Sprintf("[upstream.second]\ndomain = %q\nserver = %q\ntransport = \"tcp\"\n", domain2, wanSIP2+":5060")
	}
	stun := `stun = ["` + wanSTUN + `:3478"]`
	if w.plan.noSTUN {
		stun = ""
	}
	return fmt.Sprintf(`
[listen.lan]
address = "%s:5060"
transports = ["udp", "tcp"]
allow = ["192.168.1.0/24"]

[upstream.main]
domain = "%s"
server = "%s:%d"
transport = "%s"
ca = "%s"
tls_name = "%s"

[nat]
%s

[state]
file = "%s"
%s
`, lanProxy, domain, wanSIP, port, w.plan.proto, filepath.Join(w.dir, "ca.pem"), domain, stun,
		filepath.Join(w.dir, "state"), second+w.plan.extra)
}

// start runs Pinhole and waits until its listeners are open.
func (w *world) start() {
	w.t.Helper()
	w.count = &metrics.Set{}
	cfg, err := config.Parse("pinhole.toml", []byte(w.config()))
	w.must(err)
	ctx, cancel := context.WithCancel(w.ctx)
	ready, done := make(chan struct{}), make(chan error, 1)
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func() {
		done <- app.Run(ctx, cfg, app.Env{
			Net: w.host, Log: log, DNS: []netip.AddrPort{}, Ready: func() { close(ready) }, Metrics: w.count,
		})
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		w.must(<-done)
	})
	w.kill = func() {
		w.stop = func() {}
		saved, err := os.ReadFile(filepath.Join(w.dir, "state"))
		w.must(err)
		w.host.Kill()
		cancel()
		<-done // whatever it says: nobody hears it
		w.must(os.WriteFile(filepath.Join(w.dir, "state"), saved, 0o600))
	}
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		w.t.Fatalf("pinhole ended: %v\nlog:\n%s", err, w.log)
	}
	synctest.Wait()
}

func (w *world) close() {
	if w.stop != nil {
		w.stop()
	}
	for _, f := range w.closers {
		f()
	}
	w.net.Close()
	if w.t.Failed() {
		w.t.Logf("log:\n%s", w.log)
	}
}

// phone is a phone of the house behind Pinhole.
func (w *world) phone(h *memnet.Host, user, proto string, change ...func(*peer.PhoneConfig)) *peer.Phone {
	w.t.Helper()
	conf := peer.PhoneConfig{
		User: user, Password: map[string]string{"alice": "secret", "bob": "hunter2"}[user], Domain: domain,
		Proto: proto, Proxy: netip.MustParseAddrPort(lanProxy + ":5060"),
	}
	for _, f := range change {
		f(&conf)
	}
	p, err := peer.NewPhone(h, conf)
	w.must(err)
	w.closers = append([]func(){p.Close}, w.closers...)
	w.phones = append(w.phones, p)
	return p
}

// registered registers a phone and returns what the provider holds for it.
func (w *world) registered(p *peer.Phone, user string) *peer.Binding {
	w.t.Helper()
	_, err := p.Register(w.ctx)
	w.must(err)
	all := w.prov.Bindings(user)
	if len(all) == 0 {
		w.t.Fatalf("the provider has no binding of %s\nlog:\n%s", user, w.log)
	}
	return all[len(all)-1]
}

// called lets the provider call a user and p answer; both ends are returned.
func (w *world) called(p *peer.Phone, user string, opts ...peer.Option) (outside, inside *peer.Call) {
	w.t.Helper()
	outside, err := w.prov.Call(w.ctx, user, opts...)
	w.must(err)
	inside, err = p.Expect(w.within(10 * time.Second))
	w.must(err)
	w.must(inside.Ring())
	w.must(outside.Rings(w.within(10 * time.Second)))
	w.must(inside.Answer())
	w.must(outside.Answered(w.within(10 * time.Second)))
	w.must(inside.Confirmed(w.within(10 * time.Second)))
	return outside, inside
}

// within bounds one step.
func (w *world) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(w.ctx, d)
	w.closers = append(w.closers, cancel)
	return ctx
}

// heard fails unless both ends of a call hear each other.
func (w *world) heard(a, b *peer.Call) {
	w.t.Helper()
	audio, err := a.Audio(w.ctx, 3*time.Second, b)
	w.must(err)
	if !audio.OK() {
		w.t.Fatalf("audio out %+v, in %+v\nlog:\n%s", audio.Out, audio.In, w.log)
	}
}

// private are the addresses that must never be seen outside.
var private = []string{lanProxy, lanPhoneA, lanPhoneB}

// clean fails when anything of the LAN was seen on the internet side: as text in
// what could be read there, and at the provider in what TLS hid.
func (w *world) clean() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wire) == 0 {
		w.t.Fatal("nothing was seen on the wire")
	}
	for _, p := range w.wire {
		w.scan("on the wire from "+p.Src.String(), string(p.Payload))
	}
	for _, m := range w.prov.Received("") {
		w.scan("at the provider", m.Raw)
	}
	for _, m := range w.prov.Responses("") {
		w.scan("at the provider", m.Raw)
	}
}

func (w *world) scan(where, bytes string) {
	w.t.Helper()
	for _, ip := range private {
		for _, form := range []string{ip, strings.ReplaceAll(ip, ".", "%2E"), string(netip.MustParseAddr(ip).AsSlice())} {
			if strings.Contains(bytes, form) {
				w.t.Fatalf("%s: %q holds %s", where, bytes, ip)
			}
		}
	}
}

// logBuffer keeps the program's log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
