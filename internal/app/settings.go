package app

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"pinhole/internal/config"
	"pinhole/internal/flow"
	"pinhole/internal/media"
	"pinhole/internal/resolve"
	"pinhole/internal/transport"
	"pinhole/nat"
	"pinhole/proxy"
)

// openResolver finds the DNS servers.
func (p *program) openResolver() error {
	servers := p.env.DNS
	if servers == nil {
		var err error
		if servers, err = resolve.ReadServers("/etc/resolv.conf"); err != nil {
			p.log.Warn("no DNS servers", "cause", err.Error(), "remedy", "name the provider's server by address")
		}
	}
	p.resolver = resolve.New(p.env.Net, servers, p.log)
	if p.env.DNS == nil {
		hosts, err := resolve.ReadHosts("/etc/hosts")
		if err != nil {
			p.log.Debug("no hosts file", "err", err)
		}
		p.resolver.SetHosts(hosts)
	}
	return nil
}

// complete fills in what only this host can tell.
func (p *program) complete(ctx context.Context) error {
	interfaces, err := p.env.Net.Interfaces()
	if err != nil {
		return err
	}
	source := p.source(ctx)
	if p.cfg, err = p.cfg.Complete(interfaces, source); err != nil {
		return err
	}
	p.findSTUN(ctx)
	return nil
}

// findSTUN asks DNS for the STUN servers of upstreams that name none (RFC 8489
// §8.1). Without any the service runs all the same: the provider's own answers
// tell where it sees us.
func (p *program) findSTUN(ctx context.Context) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p.cfg.Upstream = slices.Clone(p.cfg.Upstream)
	for i := range p.cfg.Upstream {
		u := &p.cfg.Upstream[i]
		if _, err := netip.ParseAddr(u.Domain); len(u.NAT.STUN) > 0 || err == nil {
			continue
		}
		found, err := p.resolver.SRV(ctx, "_stun._udp."+u.Domain)
		for _, s := range found {
			u.NAT.STUN = append(u.NAT.STUN, config.Host{Name: s.Host, Port: s.Port})
		}
		if len(u.NAT.STUN) == 0 {
			p.log.Warn("no STUN server", "upstream", u.Name, "err", err,
				"cause", "none is configured and DNS has no _stun._udp for the domain",
				"remedy", "set stun in [nat] if calls have no audio")
		}
	}
}

// source returns the local address towards the first upstream, invalid while
// DNS does not tell where that is.
func (p *program) source(ctx context.Context) netip.Addr {
	const patience = 3 * time.Second
	if len(p.cfg.Listen) > 0 {
		return netip.Addr{} // only a start without listeners asks
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	u := &p.cfg.Upstream[0]
	targets, err := p.resolver.Targets(ctx, serverOf(u).Name, int(serverOf(u).Port), string(u.Transport))
	if err != nil || len(targets) == 0 {
		return netip.Addr{}
	}
	source, err := p.env.Net.Source(targets[0].Addr.Addr())
	if err != nil {
		return netip.Addr{}
	}
	return source
}

// serverOf is where an upstream is reached: its server, else its domain.
func serverOf(u *config.Upstream) config.Host {
	if u.Server.Name != "" {
		return u.Server
	}
	return config.Host{Name: u.Domain}
}

// upstreams is the configuration as the core reads it.
func (p *program) upstreams() []proxy.Upstream {
	out := make([]proxy.Upstream, 0, len(p.cfg.Upstream))
	for i := range p.cfg.Upstream {
		u := &p.cfg.Upstream[i]
		out = append(out, proxy.Upstream{
			Name: u.Name, Domain: u.Domain, Server: u.Server.Name,
			ViaHost: string(u.ViaHost), Placement: string(u.Token), Aliases: u.Alias,
			Advertise: string(u.NAT.Advertise.Mode), Address: u.NAT.Advertise.Addr,
			ICE: string(u.Media.ICE), LANLease: u.Register.LANExpires, Rate: u.Register.Rate,
		})
	}
	return out
}

func (p *program) flowConfig(u *config.Upstream, last netip.AddrPort) flow.Config {
	c := flow.Config{
		Name: u.Name, Domain: u.Domain, Server: u.Server.Name, Port: u.Server.Port,
		Transport: string(u.Transport), SourcePort: u.SourcePort, Local: last,
		CA: u.CA, Insecure: u.Insecure, TLSName: u.TLSName, TLSIdentity: string(u.TLSIdentity),
		NoKeepAlive: u.NAT.KeepAlive == config.KeepAliveOff,
	}
	for _, s := range u.NAT.STUN {
		c.STUN = append(c.STUN, s.String())
	}
	return c
}

func (p *program) mediaConfig() media.Config {
	c := media.Config{Net: p.env.Net, Log: p.log, Pool: 4, Metrics: p.env.Metrics}
	c.Ports = [2]uint16{p.cfg.Media.Ports.First, p.cfg.Media.Ports.Last}
	if p.usesSTUN() {
		c.STUN = p.probe
	}
	return c
}

// usesSTUN reports whether any upstream has a STUN server.
func (p *program) usesSTUN() bool {
	for i := range p.cfg.Upstream {
		if len(p.cfg.Upstream[i].NAT.STUN) > 0 {
			return true
		}
	}
	return false
}

// probe asks the STUN servers for the mapped address of a media socket.
func (p *program) probe(ctx context.Context, pc transport.PacketConn) (netip.AddrPort, error) {
	var servers []netip.AddrPort
	for i := range p.cfg.Upstream {
		for _, s := range p.cfg.Upstream[i].NAT.STUN {
			addrs, err := p.resolver.Lookup(ctx, s.Name)
			if err != nil || len(addrs) == 0 {
				continue
			}
			servers = append(servers, netip.AddrPortFrom(addrs[0], s.Port))
		}
	}
	return nat.ProbeUDP(ctx, pc, servers)
}

// lan is where phones live: what the listeners allow.
func (p *program) lan() []netip.Prefix {
	var out []netip.Prefix
	for _, l := range p.cfg.Listen {
		out = append(out, l.Allow...)
	}
	return out
}
