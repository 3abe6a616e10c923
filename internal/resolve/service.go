package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"pinhole/internal/transport"
)

// A service is one way to reach a domain: where its SRV records are, and what
// transport they lead to.
type service struct {
	proto transport.Proto
	name  string
}

// services returns the targets that NAPTR and SRV give for domain, none where
// there are no such records. Where they exist, what is wrong with them is an error: the domain's own address
// is another machine then, as a rule its web server.
func (r *Resolver) services(ctx context.Context, domain, proto string) ([]Target, error) {
	naptr, err := r.askWithin(ctx, domain, dns.TypeNAPTR, patience)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	mute := err != nil
	offered := byNAPTR(naptr, proto)
	if len(offered) == 0 {
		offered = byCustom(domain, proto)
	}
	var targets []Target
	var missing error // what is wrong with the records that exist
	for _, s := range offered {
		found, err := r.serviceTargets(ctx, s)
		if err != nil && !errors.Is(err, ErrNotFound) && len(targets) == 0 {
			return nil, err
		}
		if err != nil {
			missing = err
		}
		targets = append(targets, found...)
	}
	if mute {
		r.keepNone(domain, dns.TypeNAPTR) // the SRV queries were answered
	}
	if len(targets) > 0 {
		return targets, nil
	}
	return nil, missing
}

// serviceTargets returns the targets of one service, none when it has no SRV
// records.
func (r *Resolver) serviceTargets(ctx context.Context, s service) ([]Target, error) {
	srvs, err := r.SRV(ctx, s.name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r.hostTargets(ctx, srvs, s.proto)
}

// hostTargets returns each SRV host's addresses in turn. A host without
// addresses is passed over; when none has any, the error says why.
func (r *Resolver) hostTargets(ctx context.Context, srvs []SRV, p transport.Proto) ([]Target, error) {
	var targets []Target
	var missing error
	for _, srv := range srvs {
		addrs, err := r.Lookup(ctx, srv.Host)
		if err != nil && (missing == nil || errors.Is(missing, ErrNotFound)) {
			missing = err // nobody answering says more than no such name
		}
		targets = append(targets, targetsOf(addrs, srv.Port, p, srv.Host)...)
	}
	if len(targets) > 0 {
		return targets, nil
	}
	return nil, missing
}

// byNAPTR returns the services that NAPTR records offer for proto, by order,
// then preference (RFC 3263 §4.1). Only those with flag "s" are defined.
func byNAPTR(rrs []dns.RR, proto string) []service {
	var records []*dns.NAPTR
	for _, rr := range rrs {
		if n, ok := rr.(*dns.NAPTR); ok && canonical(n.Flags) == "s" && n.Replacement != "." {
			records = append(records, n)
		}
	}
	slices.SortStableFunc(records, func(a, b *dns.NAPTR) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Preference, b.Preference))
	})
	known := map[string]transport.Proto{"sips+d2t": transport.TLS, "sip+d2t": transport.TCP, "sip+d2u": transport.UDP}
	var offered []service
	for _, n := range records {
		p, ok := known[canonical(n.Service)]
		if ok && (proto == "auto" || p == transports[proto]) {
			offered = append(offered, service{p, n.Replacement})
		}
	}
	return offered
}

// byCustom returns the services whose SRV names are made of the domain
// (RFC 3263 §4.1, where there is no NAPTR).
func byCustom(domain, proto string) []service {
	all := []service{
		{transport.TLS, "_sips._tcp." + domain},
		{transport.TCP, "_sip._tcp." + domain},
		{transport.UDP, "_sip._udp." + domain},
	}
	if proto == "auto" {
		return all
	}
	return slices.DeleteFunc(all, func(s service) bool { return s.proto != transports[proto] })
}

// An SRV is one SRV record (RFC 2782).
type SRV struct {
	Host     string // without the dot at its end
	Port     uint16
	Priority uint16
	Weight   uint16
}

// SRV returns the SRV records of name (such as "_stun._udp.example.com") in
// the order to try them, at least one when the error is nil.
func (r *Resolver) SRV(ctx context.Context, name string) ([]SRV, error) {
	rrs, err := r.ask(ctx, name, dns.TypeSRV)
	if err != nil {
		return nil, err
	}
	var srvs []SRV
	for _, rr := range rrs {
		// A target of "." says: decidedly not here.
		if s, ok := rr.(*dns.SRV); ok && s.Target != "." && s.Port != 0 {
			srvs = append(srvs, SRV{Host: canonical(s.Target), Port: s.Port, Priority: s.Priority, Weight: s.Weight})
		}
	}
	if len(srvs) == 0 {
		return nil, fmt.Errorf("looking up srv %q: %w", name, ErrNotFound)
	}
	return orderSRV(srvs, r.Rand), nil
}

// orderSRV sorts by priority, and draws by weight among equals (RFC 2782,
// "Weight"). It changes srvs.
func orderSRV(srvs []SRV, rand func(n int) int) []SRV {
	slices.SortStableFunc(srvs, func(a, b SRV) int {
		// Those with weight 0 first, so that they have a small chance.
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(min(a.Weight, 1), min(b.Weight, 1)))
	})
	for rest := srvs; len(rest) > 0; rest = rest[1:] {
		sum, equals := 0, 0
		for equals < len(rest) && rest[equals].Priority == rest[0].Priority {
			sum += int(rest[equals].Weight)
			equals++
		}
		drawn, at := rand(sum+1), 0
		for drawn -= int(rest[0].Weight); drawn > 0; drawn -= int(rest[at].Weight) {
			at++
		}
		chosen := rest[at]
		copy(rest[1:], rest[:at])
		rest[0] = chosen
	}
	return srvs
}
