package resolve

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const zone = `
example.com.            IN SOA  ns. host. 1 1 1 1 60
example.com.            IN NAPTR 50 10 "s" "SIP+D2T" "" _sip._tcp.other.example.com.
example.com.            IN NAPTR 40 20 "s" "SIP+D2U" "" _sip._udp.example.com.
example.com.            IN NAPTR 40 10 "s" "SIPS+D2T" "" _sips._tcp.example.com.
example.com.            IN NAPTR 10 10 "u" "E2U+sip" "!^.*$!sip:x@example.com!" .
example.com.            IN NAPTR 10 10 "s" "SIP+D2S" "" _sip._sctp.example.com.
_sips._tcp.example.com. IN SRV 20 0 5061 b.example.com.
_sips._tcp.example.com. IN SRV 10 0 5063 a.example.com.
_sip._tcp.other.example.com. IN SRV 0 0 5070 b.example.com.
_sip._udp.example.com.  IN SRV 0 0 5060 a.example.com.
a.example.com.          IN A 198.51.100.1
a.example.com.          IN AAAA 2001:db8::1
a.example.com.          IN A 198.51.100.2
b.example.com.          IN CNAME B2.example.com.
b2.example.com.         IN A 198.51.100.3
plain.example.com.      IN A 198.51.100.4
six.example.com.        IN AAAA 2001:db8::4
_sips._tcp.srv.example.com. IN SRV 0 0 5061 a.example.com.
_sip._tcp.srv.example.com. IN SRV 0 0 5060 b.example.com.
_sip._udp.srv.example.com. IN SRV 0 0 5060 .
srv.example.com.        IN A 198.51.100.99
_sip._tcp.lame.example.com. IN SRV 0 0 5060 nowhere.example.com.
lame.example.com.       IN A 198.51.100.99
_sip._tcp.half.example.com. IN SRV 0 0 5060 nowhere.example.com.
_sip._tcp.half.example.com. IN SRV 5 0 5060 plain.example.com.
`

// TestTargets holds the queries of each form of target (P-35, RFC 3263 §4).
func TestTargets(t *testing.T) {
	tls := []string{
		"TLS 198.51.100.1:5063 a.example.com", "TLS 198.51.100.2:5063 a.example.com", "TLS [2001:db8::1]:5063 a.example.com",
		"TLS 198.51.100.3:5061 b.example.com",
	}
	tcp := []string{"TCP 198.51.100.3:5070 b.example.com"}
	udp := []string{"UDP 198.51.100.1:5060 a.example.com", "UDP 198.51.100.2:5060 a.example.com", "UDP [2001:db8::1]:5060 a.example.com"}
	hosts := []string{"A a.example.com", "AAAA a.example.com", "A b.example.com", "AAAA b.example.com"}
	for _, c := range []struct {
		name, host string
		port       int
		proto      string
		want       []string
		asked      []string
	}{
		{"literal", "198.51.100.9", 0, "udp", []string{"UDP 198.51.100.9:5060 198.51.100.9"}, nil},
		{"literal, auto", "198.51.100.9", 0, "auto", []string{"UDP 198.51.100.9:5060 198.51.100.9"}, nil},
		{"literal, tls", "198.51.100.9", 0, "tls", []string{"TLS 198.51.100.9:5061 198.51.100.9"}, nil},
		{"literal in brackets, with port", "[2001:db8::9]", 5070, "tcp", []string{"TCP [2001:db8::9]:5070 [2001:db8::9]"}, nil},
		{"bare ipv6 literal", "2001:db8::9", 0, "tcp", []string{"TCP [2001:db8::9]:5060 2001:db8::9"}, nil},
		{
			"port", "a.example.com", 5080, "tcp",
			[]string{"TCP 198.51.100.1:5080 a.example.com", "TCP 198.51.100.2:5080 a.example.com", "TCP [2001:db8::1]:5080 a.example.com"},
			[]string{"A a.example.com", "AAAA a.example.com"},
		},
		{
			"port, auto", "plain.example.com", 5080, "auto",
			[]string{"UDP 198.51.100.4:5080 plain.example.com"},
			[]string{"A plain.example.com", "AAAA plain.example.com"},
		},
		{
			"port 5061, auto", "plain.example.com", 5061, "auto",
			[]string{"TLS 198.51.100.4:5061 plain.example.com"},
			[]string{"A plain.example.com", "AAAA plain.example.com"},
		},
		{"naptr, tls", "example.com", 0, "tls", tls, append([]string{"NAPTR example.com", "SRV _sips._tcp.example.com"}, hosts...)},
		{
			"naptr, tcp", "Example.COM.", 0, "tcp",
			tcp,
			[]string{"NAPTR example.com", "SRV _sip._tcp.other.example.com", "A b.example.com", "AAAA b.example.com"},
		},
		{
			"naptr, udp", "example.com", 0, "udp",
			udp,
			[]string{"NAPTR example.com", "SRV _sip._udp.example.com", "A a.example.com", "AAAA a.example.com"},
		},
		{
			"naptr, auto: its order", "example.com", 0, "auto",
			slices.Concat(tls, udp, tcp),
			slices.Concat([]string{"NAPTR example.com", "SRV _sips._tcp.example.com"}, hosts,
				[]string{"SRV _sip._udp.example.com", "SRV _sip._tcp.other.example.com"}),
		},
		{
			"srv, tls", "srv.example.com", 0, "tls",
			[]string{"TLS 198.51.100.1:5061 a.example.com", "TLS 198.51.100.2:5061 a.example.com", "TLS [2001:db8::1]:5061 a.example.com"},
			[]string{"NAPTR srv.example.com", "SRV _sips._tcp.srv.example.com", "A a.example.com", "AAAA a.example.com"},
		},
		{
			"srv, auto: tls, tcp; udp says no", "srv.example.com", 0, "auto",
			[]string{
				"TLS 198.51.100.1:5061 a.example.com", "TLS 198.51.100.2:5061 a.example.com", "TLS [2001:db8::1]:5061 a.example.com",
				"TCP 198.51.100.3:5060 b.example.com",
			},
			slices.Concat([]string{"NAPTR srv.example.com", "SRV _sips._tcp.srv.example.com"}, hosts[:2],
				[]string{"SRV _sip._tcp.srv.example.com"}, hosts[2:], []string{"SRV _sip._udp.srv.example.com"}),
		},
		{
			"one srv host has no address", "half.example.com", 0, "tcp",
			[]string{"TCP 198.51.100.4:5060 plain.example.com"},
			[]string{
				"NAPTR half.example.com", "SRV _sip._tcp.half.example.com", "A nowhere.example.com", "AAAA nowhere.example.com",
				"A plain.example.com", "AAAA plain.example.com",
			},
		},
		{
			"neither, auto", "plain.example.com", 0, "auto",
			[]string{"UDP 198.51.100.4:5060 plain.example.com"},
			[]string{
				"NAPTR plain.example.com", "SRV _sips._tcp.plain.example.com", "SRV _sip._tcp.plain.example.com", "SRV _sip._udp.plain.example.com",
				"A plain.example.com", "AAAA plain.example.com",
			},
		},
		{
			"neither, tls, ipv6 only", "six.example.com", 0, "tls",
			[]string{"TLS [2001:db8::4]:5061 six.example.com"},
			[]string{"NAPTR six.example.com", "SRV _sips._tcp.six.example.com", "A six.example.com", "AAAA six.example.com"},
		},
		{"hosts file", "PBX.lan", 0, "auto", []string{"UDP 192.168.1.5:5060 PBX.lan", "UDP [fd00::5]:5060 PBX.lan"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, zone, func(t *testing.T, w *world) {
				w.r.SetHosts(Hosts{"pbx.lan": {netip.MustParseAddr("192.168.1.5"), netip.MustParseAddr("fd00::5")}})
				w.want(c.host, c.port, c.proto, c.want, c.asked)
				w.want(c.host, c.port, c.proto, c.want, nil) // from the cache
			})
		})
	}
}

func TestTargetsRefused(t *testing.T) {
	inWorld(t, zone, func(t *testing.T, w *world) {
		if _, err := w.resolve("nothing.example.com", 0, "tcp"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a name that does not exist: %v", err)
		}
		if got, err := w.resolve("lame.example.com", 0, "tcp"); !errors.Is(err, ErrNotFound) {
			t.Errorf("srv to a host without address: %q, %v", got, err)
		}
		if _, err := w.resolve("example.com", 0, "sctp"); err == nil {
			t.Error("transport sctp is accepted")
		}
		if _, err := w.resolve("example.com", 65536, "tcp"); err == nil {
			t.Error("port 65536 is accepted")
		}
		if _, err := w.resolve(strings.Repeat("x", 64)+".com", 0, "tcp"); err == nil {
			t.Error("an impossible name is accepted")
		}
		w.r.SetServers(nil)
		if _, err := w.resolve("plain.example.com", 0, "tcp"); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("without a name server: %v", err)
		}
	})
}

// TestTTL holds both sides of the moment when an answer ends.
func TestTTL(t *testing.T) {
	inWorld(t, "x.example. 100 IN CNAME y.example.\ny.example. 300 IN A 198.51.100.1\n", func(t *testing.T, w *world) {
		w.want("x.example", 5060, "tcp", []string{"TCP 198.51.100.1:5060 x.example"}, []string{"A x.example", "AAAA x.example"})
		w.a.set("x.example. 100 IN A 198.51.100.2\n")
		time.Sleep(100*time.Second - 1)
		w.want("x.example", 5060, "tcp", []string{"TCP 198.51.100.1:5060 x.example"}, []string{"AAAA x.example"})
		time.Sleep(time.Nanosecond)
		w.want("x.example", 5060, "tcp", []string{"TCP 198.51.100.2:5060 x.example"}, []string{"A x.example"})
	})
	inWorld(t, zone, func(t *testing.T, w *world) { // the SOA says 60 s
		_, _ = w.r.Lookup(t.Context(), "new.example.com")
		w.a.set("new.example.com. IN A 198.51.100.7\n")
		time.Sleep(60*time.Second - 1)
		if _, err := w.r.Lookup(t.Context(), "new.example.com"); !errors.Is(err, ErrNotFound) {
			t.Errorf("before the end: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if addrs, err := w.r.Lookup(t.Context(), "new.example.com"); err != nil || addrs[0].String() != "198.51.100.7" {
			t.Errorf("at the end: %v, %v", addrs, err)
		}
	})
}

// TestDown: the last good answer is kept while DNS is down, at the cost of one
// second, and one line in the log.
func TestDown(t *testing.T) {
	inWorld(t, zone, func(t *testing.T, w *world) {
		want := []string{"TCP 198.51.100.3:5070 b.example.com"}
		w.want("example.com", 0, "tcp", want, []string{"NAPTR example.com", "SRV _sip._tcp.other.example.com", "A b.example.com", "AAAA b.example.com"})
		time.Sleep(time.Hour)
		for _, s := range []*server{w.a, w.b} {
			s.do(func() { s.silent = true })
		}
		for range 3 {
			w.took(time.Second, func() {
				if got, err := w.resolve("example.com", 0, "tcp"); err != nil || !slices.Equal(got, want) {
					t.Errorf("targets %q, %v", got, err)
				}
			})
			time.Sleep(downTime)
		}
		if n := strings.Count(w.logged.String(), "dns does not answer"); n != 1 {
			t.Errorf("%d warnings in the log:\n%s", n, w.logged.String())
		}
		w.took(5*2*time.Second, func() {
			if _, err := w.r.SRV(t.Context(), "_stun._udp.example.com"); err == nil || errors.Is(err, ErrNotFound) {
				t.Errorf("a name never resolved: %v", err)
			}
		})
		w.a.do(func() { w.a.silent = false })
		time.Sleep(downTime)
		w.a.asked()
		w.b.asked()
		w.want("example.com", 0, "tcp", want, []string{"NAPTR example.com", "SRV _sip._tcp.other.example.com", "A b.example.com"})
		if !strings.Contains(w.logged.String(), "dns answers again") {
			t.Errorf("no word of the end in the log:\n%s", w.logged.String())
		}
	})
}

// TestMuteToNAPTR: a resolver that drops what it does not know costs three
// seconds, now and then.
func TestMuteToNAPTR(t *testing.T) {
	inWorld(t, zone, func(t *testing.T, w *world) {
		w.a.do(func() { w.a.deaf = dns.TypeNAPTR })
		w.b.do(func() { w.b.deaf = dns.TypeNAPTR })
		want := []string{"TCP 198.51.100.3:5060 b.example.com"}
		for _, took := range []time.Duration{patience, 0, staleAfter} {
			if took == staleAfter {
				time.Sleep(maxNegativeTTL)
			}
			w.took(took, func() {
				if got, err := w.resolve("srv.example.com", 0, "tcp"); err != nil || !slices.Equal(got, want) {
					t.Errorf("targets %q, %v", got, err)
				}
			})
		}
		if w.logged.Len() > 0 {
			t.Errorf("log:\n%s", w.logged.String())
		}
	})
}

func TestServers(t *testing.T) {
	found := []string{"UDP 198.51.100.4:5060 plain.example.com"}
	once := []string{"A plain.example.com", "AAAA plain.example.com"}
	for name, c := range map[string]struct {
		with  func(w *world)
		took  time.Duration
		asked []string
	}{
		"the first is silent": {
			func(w *world) { w.a.silent = true }, 2 * time.Second,
			[]string{"A plain.example.com", "AAAA plain.example.com", "A plain.example.com", "AAAA plain.example.com"},
		},
		"the first refuses": {
			func(w *world) { w.a.rcode = dns.RcodeRefused }, 0,
			[]string{"A plain.example.com", "AAAA plain.example.com", "A plain.example.com", "AAAA plain.example.com"},
		},
		"a passing fault": {
			func(w *world) { w.a.refuses, w.b.silent = 1, true }, time.Second,
			[]string{"A plain.example.com", "A plain.example.com", "AAAA plain.example.com", "A plain.example.com"},
		},
		"knows no edns": {
			func(w *world) { w.a.noEDNS = true }, 0,
			[]string{"A plain.example.com", "A plain.example.com", "AAAA plain.example.com", "AAAA plain.example.com"},
		},
		"cut": {
			func(w *world) { w.a.cut = true }, 0,
			[]string{"A plain.example.com", "tcp A plain.example.com", "AAAA plain.example.com", "tcp AAAA plain.example.com"},
		},
		"forged answers":  {func(w *world) { w.a.forge = true }, 0, once},
		"spoofed answers": {func(w *world) { w.a.spoof = w.b.pc }, 0, once},
		"mute to aaaa":    {func(w *world) { w.a.deaf, w.b.deaf = dns.TypeAAAA, dns.TypeAAAA }, patience, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, zone, func(t *testing.T, w *world) {
				w.a.do(func() { w.b.do(func() { c.with(w) }) })
				w.took(c.took, func() {
					if got, err := w.resolve("plain.example.com", 5060, "udp"); err != nil || !slices.Equal(got, found) {
						t.Errorf("targets %q, %v", got, err)
					}
				})
				if asked := append(w.a.asked(), w.b.asked()...); c.asked != nil && !slices.Equal(asked, c.asked) {
					t.Errorf("asked %q", asked)
				}
			})
		})
	}
}

// TestHalfAnswered: what one service gives is taken when the next is not
// answered.
func TestHalfAnswered(t *testing.T) {
	inWorld(t, zone, func(t *testing.T, w *world) {
		for _, s := range []*server{w.a, w.b} {
			s.do(func() { s.mute = "_sip._tcp.srv.example.com." })
		}
		want := []string{
			"TLS 198.51.100.1:5061 a.example.com", "TLS 198.51.100.2:5061 a.example.com", "TLS [2001:db8::1]:5061 a.example.com",
		}
		if got, err := w.resolve("srv.example.com", 0, "auto"); err != nil || !slices.Equal(got, want) {
			t.Errorf("targets %q, %v", got, err)
		}
		if _, err := w.resolve("srv.example.com", 0, "tcp"); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("tcp alone: %v", err)
		}
	})
}

func TestCancel(t *testing.T) {
	inWorld(t, zone, func(t *testing.T, w *world) {
		w.a.do(func() { w.a.silent = true })
		w.b.do(func() { w.b.silent = true })
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, cancel)
		w.took(1500*time.Millisecond, func() {
			if _, err := w.r.Targets(ctx, "example.com", 0, "tls"); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
		if w.logged.Len() > 0 {
			t.Errorf("log:\n%s", w.logged.String())
		}
	})
}

// TestOrderSRV holds RFC 2782: priority first, weights as shares.
func TestOrderSRV(t *testing.T) {
	srvs := func() []SRV {
		return []SRV{
			{Host: "late", Priority: 2, Weight: 100},
			{Host: "big", Priority: 1, Weight: 60},
			{Host: "small", Priority: 1, Weight: 20},
			{Host: "none", Priority: 1, Weight: 0},
			{Host: "mid", Priority: 1, Weight: 20},
		}
	}
	names := func(srvs []SRV) (s []string) {
		for _, x := range srvs {
			s = append(s, x.Host)
		}
		return s
	}
	for _, c := range []struct {
		draw int // all draws, cut to the range
		want []string
	}{
		{0, []string{"none", "big", "small", "mid", "late"}},
		{1, []string{"big", "small", "mid", "none", "late"}},
		{1000, []string{"mid", "small", "big", "none", "late"}},
	} {
		got := orderSRV(srvs(), func(n int) int { return min(c.draw, n-1) })
		if !slices.Equal(names(got), c.want) {
			t.Errorf("draws of %d: %q, want %q", c.draw, names(got), c.want)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	first := map[string]int{}
	for range 10000 {
		first[orderSRV(srvs(), r.IntN)[0].Host]++
	}
	if first["big"] < 5700 || first["big"] > 6200 || first["small"] < 1800 || first["mid"] < 1800 || first["none"] < 50 || first["late"] > 0 {
		t.Errorf("first of 10000: %v", first)
	}
}

func TestSystemFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	servers, err := ReadServers(write("resolv.conf", "search lan\nnameserver 192.168.1.1\nnameserver fe80::1%eth0\nnameserver junk\n"))
	if want := []netip.AddrPort{ap("192.168.1.1:53"), ap("[fe80::1%eth0]:53")}; err != nil || !slices.Equal(servers, want) {
		t.Errorf("name servers %v, %v", servers, err)
	}
	for _, path := range []string{filepath.Join(dir, "missing"), write("empty", "")} {
		if servers, err := ReadServers(path); err != nil || !slices.Equal(servers, []netip.AddrPort{ap("127.0.0.1:53")}) {
			t.Errorf("%s: %v, %v", path, servers, err)
		}
	}
	hosts, err := ReadHosts(write("hosts", "127.0.0.1 localhost # us\n::1 localhost\nfd00::5 PBX.lan pbx\n\njunk x\n192.168.1.5\tpbx.lan\n"))
	if err != nil || len(hosts) != 3 {
		t.Fatalf("hosts %v, %v", hosts, err)
	}
	for name, want := range map[string][]netip.Addr{
		"localhost": {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")},
		"pbx.lan":   {netip.MustParseAddr("192.168.1.5"), netip.MustParseAddr("fd00::5")},
		"pbx":       {netip.MustParseAddr("fd00::5")},
	} {
		if !slices.Equal(hosts[name], want) {
			t.Errorf("%s: %v, want %v", name, hosts[name], want)
		}
	}
	if hosts, err := ReadHosts(filepath.Join(dir, "missing")); hosts != nil || err != nil {
		t.Errorf("no hosts file: %v, %v", hosts, err)
	}
}
