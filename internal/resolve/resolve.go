// Package resolve turns the name of a SIP server into the addresses to try, in
// order (RFC 3263: NAPTR, SRV, A and AAAA; RFC 2782), over sockets of
// transport.Net. It owns a cache that honours TTLs and keeps the last good
// answer for when DNS is down; it owns no goroutine.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"pinhole/internal/transport"
)

// ErrNotFound says that DNS answered, and that there is no such name or no
// address for it: asking again soon is pointless. Other errors of this package
// mean that nobody answered.
var ErrNotFound = errors.New("no such name")

// maxTargets bounds what one name can make us try.
const maxTargets = 32

// A Target is one address to try.
type Target struct {
	Addr  netip.AddrPort
	Proto transport.Proto
	Host  string // the SRV target or host name it came from, for logs only
}

// A Resolver resolves names. Safe for concurrent use.
type Resolver struct {
	// Rand returns a uniform number in [0, n), for the weights of SRV
	// records. It may be replaced before the first use.
	Rand func(n int) int

	net transport.Net
	log *slog.Logger

	mu      sync.Mutex // guards following
	servers []netip.AddrPort
	hosts   Hosts
	cache   map[question]answer
	down    time.Time // nobody answered then; zero: somebody did since
}

// New returns a Resolver that asks servers, in turn, over n. A nil log is the
// default one.
func New(n transport.Net, servers []netip.AddrPort, log *slog.Logger) *Resolver {
	if log == nil {
		log = slog.Default()
	}
	return &Resolver{Rand: rand.IntN, net: n, log: log, servers: slices.Clone(servers), cache: make(map[question]answer)}
}

// SetServers replaces the servers.
func (r *Resolver) SetServers(servers []netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers = slices.Clone(servers)
}

// SetHosts replaces the names that are known without DNS; nil: none.
func (r *Resolver) SetHosts(h Hosts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hosts = h
}

func (r *Resolver) local(host string) []netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hosts[canonical(host)]
}

// Targets returns the addresses of the SIP server host to try, best first, at
// least one when the error is nil. port 0 means that none was written; proto
// is "udp", "tcp", "tls" or "auto" (RFC 3263 §4):
//
//   - An IP address, in brackets or not, is taken as it is.
//   - A written port, or a name of the hosts file: A and AAAA only.
//   - Else NAPTR, as far as it offers proto; else SRV for proto; else A and
//     AAAA with the default port, 5061 for tls and 5060 for the others.
//
// With "auto", NAPTR's order decides; without NAPTR it is tls, tcp, udp, as
// far as SRV has them; without SRV, or with a written port, it is udp (tls on
// port 5061). A host's IPv4 addresses come before its IPv6 ones. The error is
// ErrNotFound, ctx's, or says that DNS did not answer.
func (r *Resolver) Targets(ctx context.Context, host string, port int, proto string) ([]Target, error) {
	if _, ok := transports[proto]; !ok && proto != "auto" {
		return nil, fmt.Errorf("resolving %q: unknown transport %q", host, proto)
	}
	if port < 0 || port > 65535 {
		return nil, fmt.Errorf("resolving %q: impossible port %d", host, port)
	}
	_, literal := parseLiteral(host)
	if port == 0 && !literal && r.local(host) == nil {
		targets, err := r.services(ctx, host, proto)
		if err != nil || len(targets) > 0 {
			return targets[:min(len(targets), maxTargets)], err
		}
	}
	p := transports[proto]
	if proto == "auto" && port == 5061 {
		p = transport.TLS
	}
	if port == 0 {
		port = defaultPort(p)
	}
	addrs, err := r.Lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	return targetsOf(addrs, uint16(port), p, host), nil
}

// transports are the values of proto but "auto", whose zero value is UDP.
var transports = map[string]transport.Proto{"udp": transport.UDP, "tcp": transport.TCP, "tls": transport.TLS}

func defaultPort(p transport.Proto) int {
	if p == transport.TLS {
		return 5061
	}
	return 5060
}

func targetsOf(addrs []netip.Addr, port uint16, p transport.Proto, host string) []Target {
	var targets []Target
	for _, a := range addrs[:min(len(addrs), maxTargets)] {
		targets = append(targets, Target{Addr: netip.AddrPortFrom(a, port), Proto: p, Host: host})
	}
	return targets
}

// Lookup returns the addresses of host, IPv4 first, at least one when the
// error is nil: host itself if it is an IP address, in brackets or not, what
// the hosts file says, or its A and AAAA records.
func (r *Resolver) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, ok := parseLiteral(host); ok {
		return []netip.Addr{a}, nil
	}
	if addrs := r.local(host); addrs != nil {
		return addrs, nil
	}
	v4, err := r.ask(ctx, host, dns.TypeA)
	if err != nil {
		return nil, err
	}
	addrs := addresses(v4)
	v6, err := r.askIPv6(ctx, host, len(addrs) > 0)
	if err != nil {
		return nil, err
	}
	addrs = append(addrs, addresses(v6)...)
	if len(addrs) == 0 {
		return nil, fmt.Errorf("looking up %q: %w", host, ErrNotFound)
	}
	return addrs, nil
}

// askIPv6 asks for AAAA. Beside an A record it is not worth a long wait.
func (r *Resolver) askIPv6(ctx context.Context, host string, optional bool) ([]dns.RR, error) {
	if !optional {
		return r.ask(ctx, host, dns.TypeAAAA)
	}
	rrs, err := r.askWithin(ctx, host, dns.TypeAAAA, patience)
	if err != nil && ctx.Err() == nil {
		r.keepNone(host, dns.TypeAAAA)
		return nil, nil
	}
	return rrs, err
}

// addresses returns the addresses of A and AAAA records.
func addresses(rrs []dns.RR) []netip.Addr {
	var addrs []netip.Addr
	for _, rr := range rrs {
		var ip []byte
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A.To4()
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

// parseLiteral reads an IP address with or without brackets.
func parseLiteral(host string) (netip.Addr, bool) {
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	a, err := netip.ParseAddr(host)
	return a.Unmap(), err == nil
}

// canonical is a name as the cache and the hosts table hold it.
func canonical(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
