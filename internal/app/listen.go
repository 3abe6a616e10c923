package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"

	"pinhole/internal/config"
	"pinhole/internal/metrics"
	"pinhole/internal/transport"
)

// listen opens every listener and serves it.
func (p *program) listen(ctx context.Context) error {
	for i := range p.cfg.Listen {
		l := &p.cfg.Listen[i]
		p.driver.Listening(l.Address)
		for _, t := range l.Transports {
			if err := p.serve(ctx, l, t); err != nil {
				return fmt.Errorf("listening on %s/%s ([listen.%s]): %w", l.Address, t, l.Name, err)
			}
		}
		p.log.Info("listening for phones", "listener", l.Name, "address", l.Address,
			"transports", l.Transports, "allow", l.Allow)
	}
	return nil
}

// serve opens one transport of a listener.
func (p *program) serve(ctx context.Context, l *config.Listen, t config.Transport) error {
	allow := func(ip netip.Addr) bool {
		return slices.ContainsFunc(l.Allow, func(prefix netip.Prefix) bool { return prefix.Contains(ip.Unmap()) })
	}
	handler := p.driver.Phones(l.Name, allow)
	limits := transport.DefaultLimits()
	limits.Refused = func(why transport.Refusal, _ netip.Addr) { p.refused(why, t) }
	if t == config.UDP {
		pc, err := p.env.Net.ListenPacket(ctx, l.Address)
		if err != nil {
			return err
		}
		p.task("listen "+l.Name, func() error { return transport.ServeUDP(ctx, pc, allow, limits, handler) })
		return nil
	}
	proto, secure := transport.TCP, (*tls.Config)(nil)
	if t == config.TLS {
		cert, err := tls.LoadX509KeyPair(l.Cert, l.Key)
		if err != nil {
			return err
		}
		proto = transport.TLS
		secure = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	ln, err := p.env.Net.Listen(ctx, l.Address)
	if err != nil {
		return err
	}
	p.task("listen "+l.Name, func() error {
		return transport.ServeStream(ctx, ln, proto, secure, allow, limits, handler)
	})
	return nil
}

// refused counts what a listener did not let in.
func (p *program) refused(why transport.Refusal, t config.Transport) {
	switch {
	case why != transport.Stranger:
		p.env.Metrics.Add(metrics.ConnectionLimits)
	case t == config.UDP:
		p.env.Metrics.Add(metrics.StrangerDatagrams)
	default:
		p.env.Metrics.Add(metrics.StrangerConnections)
	}
}
