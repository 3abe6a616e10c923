package config

import (
	"slices"
	"strings"
)

// together says what does not go together across tables. A value that was
// wrong by itself is zero here, and not compared.
func (d *decoder) together(c *Config) {
	said := slices.ContainsFunc(d.mistakes, func(m Mistake) bool { return strings.HasPrefix(m.Key, "upstream") })
	if len(c.Upstream) == 0 && !said {
		d.fail([]string{"upstream"}, `is missing, needed is a table [upstream.main] with domain = "…"`)
	}
	for i, l := range c.Listen {
		if !l.Address.IsValid() {
			continue
		}
		for _, other := range c.Listen[:i] {
			if clash(l, other) {
				d.fail([]string{"listen", l.Name, "address"}, "is %s, which listen.%s has already (%s), allowed is an address and port of its own",
					l.Address, other.Name, other.Address)
			}
		}
		if c.Media.Ports.Contains(l.Address.Port()) {
			d.fail([]string{"listen", l.Name, "address"}, "is %s, allowed is a port outside media.ports, %s", l.Address, c.Media.Ports)
		}
	}
	for i, u := range c.Upstream {
		if u.SourcePort != 0 && c.Media.Ports.Contains(u.SourcePort) {
			d.fail([]string{"upstream", u.Name, "source_port"}, "is %d, allowed is a port outside media.ports, %s", u.SourcePort, c.Media.Ports)
		}
		for _, other := range c.Upstream[:i] {
			if u.Domain != "" && u.Domain == other.Domain {
				d.fail([]string{"upstream", u.Name, "domain"}, "is %q, which upstream.%s has already, allowed is one upstream for each domain", u.Domain, other.Name)
			}
			if u.SourcePort != 0 && u.SourcePort == other.SourcePort {
				d.fail([]string{"upstream", u.Name, "source_port"}, "is %d, which upstream.%s has already, allowed is a port of its own", u.SourcePort, other.Name)
			}
		}
	}
}

// clash tells whether two listeners cannot both be bound: the same port of the
// same address, one of which may stand for all, in the same protocol. TLS wants
// its address for itself.
func clash(a, b Listen) bool {
	x, y := a.Address.Addr(), b.Address.Addr()
	if !b.Address.IsValid() || a.Address.Port() != b.Address.Port() || x != y && !x.IsUnspecified() && !y.IsUnspecified() {
		return false
	}
	if slices.Contains(a.Transports, TLS) || slices.Contains(b.Transports, TLS) {
		return true
	}
	return slices.ContainsFunc(a.Transports, func(t Transport) bool { return slices.Contains(b.Transports, t) })
}
