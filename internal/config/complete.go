package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// sipPort is where phones look for their proxy (RFC 3261 §19.1.2).
const sipPort = 5060

// ForUpstream returns the configuration of a start without a file: the
// defaults and one upstream called main, whose transport DNS chooses, as nobody
// else can. Complete then makes its listeners.
func ForUpstream(domain string) (*Config, error) {
	name, err := parseName(domain)
	if err != nil {
		return nil, fmt.Errorf("--upstream is %q%s, allowed is %s", domain, reason(err), domainAllowed)
	}
	c := Default()
	u := newUpstream("main", c)
	u.Domain, u.Transport = name, Auto
	c.Upstream = []Upstream{u}
	return c, nil
}

// Complete returns c with what only the running host can tell. interfaces are
// the host's addresses with their prefix lengths, source is the one that leads
// to the upstream (zero: unknown).
//
// Without a listener it makes one, UDP and TCP on port 5060, for each private
// address of the host; on a host with several networks not for the one towards
// the upstream, since strangers may live there. All of them allow all these
// networks. A listener without allow gets the network of the interface that has
// its address; one whose address stands for all becomes one for each that the
// host has now. The error is in an admin's words.
func (c *Config) Complete(interfaces []netip.Prefix, source netip.Addr) (*Config, error) {
	done := *c
	if len(c.Listen) == 0 {
		var err error
		if done.Listen, err = listeners(interfaces, source); err != nil {
			return nil, err
		}
		return &done, nil
	}
	done.Listen = nil
	var errs []error
	for _, l := range c.Listen {
		here := everywhere(l, interfaces)
		if len(here) == 0 {
			errs = append(errs, fmt.Errorf("listen.%s.address: is %s, and this host has no address", l.Name, l.Address))
		}
		done.Listen = append(done.Listen, here...)
	}
	for i := range done.Listen {
		l := &done.Listen[i]
		if len(l.Allow) > 0 {
			continue
		}
		for _, p := range interfaces {
			if p.Addr().Unmap() == l.Address.Addr().WithZone("") {
				l.Allow = append(l.Allow, p.Masked())
			}
		}
		if len(l.Allow) == 0 {
			errs = append(errs, fmt.Errorf("listen.%s.address: is %s, allowed is an address of this host, or set allow", l.Name, l.Address))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &done, nil
}

// everywhere returns a listener for each address of the host where l's stands
// for all, else l alone: phones must be told where we are. Each has a name of
// its own that is the same at each start.
func everywhere(l Listen, interfaces []netip.Prefix) []Listen {
	if !l.Address.Addr().IsUnspecified() {
		return []Listen{l}
	}
	var all []Listen
	for _, p := range interfaces {
		a := p.Addr().Unmap()
		taken := slices.ContainsFunc(all, func(o Listen) bool { return o.Address.Addr() == a }) // borrowed by a PPP link
		if taken || a.IsLinkLocalUnicast() || l.Address.Addr().Is4() && !a.Is4() {
			continue
		}
		one := l
		one.Name, one.Address = l.Name+"/"+a.String(), netip.AddrPortFrom(a, l.Address.Port())
		one.Allow = slices.Clone(l.Allow)
		all = append(all, one)
	}
	return all
}

// listeners makes the listeners of a host that has none configured.
func listeners(interfaces []netip.Prefix, source netip.Addr) ([]Listen, error) {
	lan := lanSide(interfaces, source)
	if len(lan) == 0 {
		return nil, errors.New(`no interface has a private address to listen on: name one in a file, [listen.lan] address = "…"`)
	}
	var allow []netip.Prefix
	for _, p := range lan {
		if !slices.Contains(allow, p.Masked()) {
			allow = append(allow, p.Masked())
		}
	}
	made := make([]Listen, len(lan))
	for i, p := range lan {
		made[i] = Listen{
			Name:       "lan",
			Address:    netip.AddrPortFrom(p.Addr(), sipPort),
			Transports: []Transport{UDP, TCP},
			Allow:      slices.Clone(allow),
		}
		if i > 0 {
			made[i].Name += strconv.Itoa(i + 1)
		}
	}
	return made, nil
}

// lanSide returns the private addresses that phones may use, IPv6 ones only
// where there is no other, in order.
func lanSide(interfaces []netip.Prefix, source netip.Addr) []netip.Prefix {
	var four, six []netip.Prefix
	for _, p := range interfaces {
		switch a := p.Addr().Unmap(); {
		case !a.IsPrivate() || virtual(p):
		case a.Is4():
			four = append(four, p)
		default:
			six = append(six, p)
		}
	}
	lan := four
	if len(lan) == 0 {
		lan = six
	}
	slices.SortFunc(lan, netip.Prefix.Compare)
	lan = slices.Compact(lan)
	upstream := func(p netip.Prefix) bool { return p.Contains(source) }
	if slices.ContainsFunc(lan, func(p netip.Prefix) bool { return !upstream(p) }) {
		lan = slices.DeleteFunc(lan, upstream)
	}
	return lan
}

// virtual tells the bridges that Docker (172.17-31.0.1/16) and libvirt
// (192.168.122.1/24) make on every host they are installed on. No phone is
// behind them, and a LAN host must not look like a router because of them.
func virtual(p netip.Prefix) bool {
	b := p.Addr().Unmap().AsSlice()
	return len(b) == 4 && (b[0] == 172 && b[1] >= 17 && b[1] <= 31 && b[2] == 0 && b[3] == 1 && p.Bits() == 16 ||
		b[0] == 192 && b[1] == 168 && b[2] == 122 && b[3] == 1 && p.Bits() == 24)
}
