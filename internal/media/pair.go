package media

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"pinhole/internal/transport"
)

// bindTries is how many port pairs are tried when others hold ports of ours.
const bindTries = 16

// A pair is two bound sockets on neighbouring ports.
type pair struct {
	rtp, rtcp socket
	public    netip.Addr    // what the address was mapped to when it was probed; zero: unknown
	probed    time.Duration // when
}

// A socket is one of them.
type socket struct {
	conn   transport.PacketConn
	local  netip.AddrPort
	mapped netip.AddrPort // as STUN saw it; zero: not probed
}

// openPair binds a free pair of ports at local.
func (r *Relay) openPair(ctx context.Context, local netip.Addr) (*pair, error) {
	var taken []uint16 // by somebody else
	defer func() { r.ports.putBack(taken...) }()
	for {
		port, err := r.ports.take(r.now())
		if err != nil {
			return nil, err
		}
		p, err := r.bindPair(ctx, local, port)
		if err == nil {
			return p, nil
		}
		taken = append(taken, port)
		if ctx.Err() != nil || len(taken) == bindTries {
			return nil, fmt.Errorf("%w: %w", ErrNoPorts, err)
		}
	}
}

func (r *Relay) bindPair(ctx context.Context, local netip.Addr, port uint16) (*pair, error) {
	p := &pair{rtp: socket{local: netip.AddrPortFrom(local, port)}, rtcp: socket{local: netip.AddrPortFrom(local, port+1)}}
	var err error
	if p.rtp.conn, err = r.cfg.Net.ListenPacket(ctx, p.rtp.local); err != nil {
		return nil, fmt.Errorf("binding media port: %w", err)
	}
	if p.rtcp.conn, err = r.cfg.Net.ListenPacket(ctx, p.rtcp.local); err != nil {
		_ = p.rtp.conn.Close()
		return nil, fmt.Errorf("binding media port: %w", err)
	}
	return p, nil
}

// closePair closes the sockets; the ports go into quarantine.
func (r *Relay) closePair(p *pair) {
	_ = p.rtp.conn.Close()
	_ = p.rtcp.conn.Close()
	r.ports.release(p.rtp.local.Port(), r.now())
}
