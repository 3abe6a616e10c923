package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"pinhole/internal/app"
	"pinhole/internal/config"
	"pinhole/internal/trace"
	"pinhole/internal/transport"
	"pinhole/proxy"
	"pinhole/testbed/peer"
)

const demoDomain = "demo.example.com"

// A stage is everything that plays in the demo.
type stage struct {
	net    transport.Net
	screen *screen
	ladder *trace.Ladder
	log    logKeeper
	facts  []string

	prov       *peer.Provider
	stun       *peer.STUN
	alice, bob *peer.Phone
	proxy      netip.AddrPort
	dir        string

	stop  context.CancelFunc
	ended chan error
}

// fact notes what a step has proved.
func (st *stage) fact(format string, args ...any) {
	st.facts = append(st.facts, fmt.Sprintf(format, args...))
}

// logKeeper keeps Pinhole's log for the case that a step fails.
type logKeeper struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logKeeper) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logKeeper) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// place returns the n-th address of the loopback network, 127.0.0.1 where the
// system has no other.
func (st *stage) place(ctx context.Context, n byte) netip.Addr {
	ip := netip.AddrFrom4([4]byte{127, 0, 0, n})
	pc, err := st.net.ListenPacket(ctx, netip.AddrPortFrom(ip, 0))
	if err != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	_ = pc.Close()
	return ip
}

// newStage starts the provider, the STUN server, Pinhole and the phones.
func newStage(ctx context.Context, dir string, s *screen) (*stage, error) {
	st := &stage{net: transport.System(), screen: s, dir: dir, ended: make(chan error, 1), stop: func() {}}
	st.ladder = trace.New("alice", "bob", "pinhole", "provider")
	for _, start := range []func(context.Context) error{st.startProvider, st.startPinhole, st.startPhones} {
		if err := start(ctx); err != nil {
			st.close()
			return nil, err
		}
	}
	return st, nil
}

func (st *stage) startProvider(ctx context.Context) error {
	ca, err := peer.NewCA()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(st.dir, "ca.pem"), ca.PEM(), 0o600); err != nil {
		return err
	}
	secure, err := ca.Server(demoDomain)
	if err != nil {
		return err
	}
	at := netip.AddrPortFrom(st.place(ctx, 50), 0)
	st.prov, err = peer.NewProvider(st.net, peer.ProviderConfig{
		Domain: demoDomain, TLS: secure, Listen: []peer.Listen{{Proto: peer.TLS, Addr: at}},
		Users:   map[string]string{"alice": "wonderland", "bob": "builder", "guest": "guest"},
		Numbers: map[string]peer.Answer{"echo": peer.AnswerEcho, "busy": peer.AnswerBusy},
	})
	if err != nil {
		return err
	}
	st.stun, err = peer.NewSTUN(st.net, netip.AddrPortFrom(st.place(ctx, 51), 0))
	return err
}

// settings is the file that an admin would write for this stage.
func (st *stage) settings() string {
	provider := st.prov.Addr(peer.TLS)
	return fmt.Sprintf(`[listen.lan]
address = "%s"
allow   = ["127.0.0.0/8"]

[upstream.main]
domain    = "%s"
server    = "%s"
transport = "tls"
tls_name  = "%s"
ca        = "%s"

[nat]
stun = ["%s"]

[state]
file = "%s"
`, st.proxy, demoDomain, provider, demoDomain, filepath.Join(st.dir, "ca.pem"), st.stun.Addr(), filepath.Join(st.dir, "state"))
}

// freePort returns the address phones are to use: port 5060 where it is free.
func (st *stage) freePort(ctx context.Context) (netip.AddrPort, error) {
	ip := st.place(ctx, 2)
	for _, port := range []uint16{5060, 0} {
		pc, err := st.net.ListenPacket(ctx, netip.AddrPortFrom(ip, port))
		if err != nil {
			continue
		}
		defer pc.Close()
		port = netip.MustParseAddrPort(pc.LocalAddr().String()).Port()
		ln, err := st.net.Listen(ctx, netip.AddrPortFrom(ip, port))
		if err != nil {
			continue
		}
		defer ln.Close()
		return netip.AddrPortFrom(ip, port), nil
	}
	return netip.AddrPort{}, fmt.Errorf("no port free on %s", ip)
}

func (st *stage) startPinhole(ctx context.Context) error {
	var err error
	if st.proxy, err = st.freePort(ctx); err != nil {
		return err
	}
	st.screen.intro(st.settings())
	cfg, err := config.Parse("demo.toml", []byte(st.settings()))
	if err != nil {
		return err
	}
	ctx, st.stop = context.WithCancel(ctx)
	ready := make(chan struct{})
	go func() {
		st.ended <- app.Run(ctx, cfg, app.Env{
			Net: st.net, Tap: st.tap, DNS: []netip.AddrPort{},
			Log:   slog.New(slog.NewTextHandler(&st.log, nil)),
			Ready: func() { close(ready) },
		})
	}()
	select {
	case <-ready:
		return nil
	case err := <-st.ended:
		st.ended <- err
		return err
	}
}

// tap draws what passes Pinhole on both sides.
func (st *stage) tap(now time.Time, p proxy.Path, peer netip.AddrPort, out bool, raw []byte) {
	who := "provider"
	if p.Side == proxy.LAN {
		who = st.who(peer.Addr())
	}
	from, to := who, "pinhole"
	if out {
		from, to = to, from
	}
	st.ladder.Add(trace.Step{At: now, From: from, To: to, Proto: p.Proto.String(), Raw: string(raw)})
}

// who names a phone by its address.
func (st *stage) who(ip netip.Addr) string {
	switch ip.As4()[3] {
	case 10:
		return "alice"
	case 11:
		return "bob"
	}
	return "softphone"
}

func (st *stage) startPhones(ctx context.Context) error {
	for _, p := range []struct {
		phone          **peer.Phone
		user, password string
		place          byte
		proto          string
	}{
		{&st.alice, "alice", "wonderland", 10, peer.UDP},
		{&st.bob, "bob", "builder", 11, peer.TCP},
	} {
		phone, err := peer.NewPhone(st.net, peer.PhoneConfig{
			User: p.user, Password: p.password, Domain: demoDomain, Proxy: st.proxy, Proto: p.proto,
			Addr: netip.AddrPortFrom(st.place(ctx, p.place), 0),
		})
		if err != nil {
			return err
		}
		*p.phone = phone
	}
	return nil
}

// close ends all that plays and waits for it.
func (st *stage) close() {
	for _, p := range []*peer.Phone{st.alice, st.bob} {
		if p != nil {
			p.Close()
		}
	}
	if st.stop(); st.proxy.IsValid() {
		<-st.ended
	}
	if st.prov != nil {
		st.prov.Close()
	}
	if st.stun != nil {
		st.stun.Close()
	}
}
