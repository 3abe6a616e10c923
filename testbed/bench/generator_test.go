//go:build linux

package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// loopback opens a generator and a plain relay on loopback.
func loopback(t *testing.T) *generator {
	t.Helper()
	any := netip.MustParseAddrPort("127.0.0.1:0")
	g, err := open(site{
		inside: func(f func() error) error { return f() }, phone: func(int) netip.AddrPort { return any }, provider: any,
	}, 3)
	if err != nil {
		t.Fatal(err)
	}
	lan, err := listenUDP(any)
	if err != nil {
		t.Fatal(err)
	}
	g.proxy = netip.MustParseAddrPort(lan.LocalAddr().String())
	ended := make(chan error, 1)
	go func() { ended <- runFloor(lan, any.Addr(), g.provider) }()
	t.Cleanup(func() {
		lan.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := g.close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// each begins one unit of a work at each phone and waits for their ends.
func (g *generator) each(work string) tally {
	g.mu.Lock()
	g.tally = tally{counting: true}
	g.mu.Unlock()
	for i := range g.phones {
		g.unit(work)(i)
	}
	g.settle()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tally
}

// TestGenerator runs each kind of unit through a relay that changes nothing.
func TestGenerator(t *testing.T) {
	g := loopback(t)
	for _, work := range []string{"register", "in", "out"} {
		got := g.each(work)
		if got.begun != 3 || got.done != 3 || got.failed != 0 {
			t.Fatalf("%s: %d begun, %d done, %d failed: %s", work, got.begun, got.done, got.failed, got.first)
		}
		if p99 := got.quantile(0.99); p99 <= 0 || p99 > patience {
			t.Errorf("%s: took %v", work, p99)
		}
	}
}

// TestGeneratorSees proves that the generator tells a proxy that does not do
// its work: the plain relay is one.
func TestGeneratorSees(t *testing.T) {
	for name, want := range map[string]string{
		"contact": "the Contact is not the proxy's",
		"leak":    "a LAN address reached the provider",
		"silence": "no answer",
	} {
		t.Run(name, func(t *testing.T) {
			g := loopback(t)
			switch name {
			case "contact":
				g.wan = "203.0.113.2"
			case "leak":
				g.hides = "127.0.0."
			case "silence":
				pc, err := listenUDP(netip.MustParseAddrPort("127.0.0.1:0")) // nobody reads it
				if err != nil {
					t.Fatal(err)
				}
				defer pc.Close()
				g.proxy = netip.MustParseAddrPort(pc.LocalAddr().String())
			}
			got := g.each("register")
			if got.failed != 3 || got.done != 0 || !strings.HasPrefix(got.first, want) {
				t.Errorf("%d failed, %d done, want 3 and 0 for %q: %s", got.failed, got.done, want, got.first)
			}
			if name == "silence" && got.resent == 0 {
				t.Error("nothing was sent again")
			}
		})
	}
}

func TestQuantile(t *testing.T) {
	r := tally{}
	for i := range 100 {
		r.took = append(r.took, time.Duration(100-i))
	}
	if a, b := r.quantile(0.5), r.quantile(0.99); a != 51 || b != 100 {
		t.Errorf("p50 %v, p99 %v", a, b)
	}
}
