package app_test

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/app"
	"pinhole/internal/config"
	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

// pinhole run --upstream DOMAIN: DNS names the provider, its transport and its
// STUN server, the host's private address is where phones are served, and all
// that is said at the start.
func TestStartWithoutAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		w := &world{t: t, ctx: ctx, plan: plan{proto: peer.TCP}, dir: t.TempDir(), log: &logBuffer{}, net: memnet.New(1)}
		defer w.close()
		w.build()
		const resolver = "198.51.100.53:53"
		dns, err := peer.NewDNS(w.wan.Host("198.51.100.53"), netip.MustParseAddrPort(resolver),
			`sip.example.com. 300 IN NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp.sip.example.com.`,
			`_sip._tcp.sip.example.com. 300 IN SRV 10 10 5060 edge.example.com.`,
			`_stun._udp.sip.example.com. 300 IN SRV 10 10 3478 stun.example.com.`,
			`edge.example.com. 300 IN A `+wanSIP,
			`stun.example.com. 300 IN A `+wanSTUN,
		)
		w.must(err)
		w.closers = append(w.closers, dns.Close)
		cfg, err := config.ForUpstream(domain)
		w.must(err)
		cfg.State.File = ""
		run, stop := context.WithCancel(ctx)
		ready, done := make(chan struct{}), make(chan error, 1)
		go func() {
			done <- app.Run(run, cfg, app.Env{
				Net: w.host, Log: slog.New(slog.NewTextHandler(w.log, nil)), Ready: func() { close(ready) },
				DNS: []netip.AddrPort{netip.MustParseAddrPort(resolver)},
			})
		}()
		w.stop = sync.OnceFunc(func() { stop(); w.must(<-done) })
		<-ready
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		b := w.registered(alice, "alice")
		if b.Flow.Proto() != peer.TCP {
			t.Errorf("the flow is %s, DNS says TCP", b.Flow.Proto())
		}
		outside, inside := w.called(alice, "alice")
		w.heard(outside, inside)
		if w.stun.Requests() == 0 {
			t.Error("the STUN server that DNS names was not asked")
		}
		for _, said := range []string{lanProxy + ":5060", "192.168.1.0/24", wanSIP + ":5060"} {
			if !strings.Contains(w.log.String(), said) {
				t.Errorf("the log does not say %s:\n%s", said, w.log)
			}
		}
	})
}
