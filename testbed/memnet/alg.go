package memnet

import "net/netip"

func (g *Gateway) algOutbound(p *packet, out netip.AddrPort) bool { return true }

func (g *Gateway) algInbound(p *packet, local netip.AddrPort) bool { return true }
