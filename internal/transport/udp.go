package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"pinhole/internal/message"
)

const (
	udpBuffer  = 64 << 10 // octets of a datagram (RFC 3261 §18.1.1)
	udpBacklog = 1 << 20  // octets asked of the system for what waits to be read
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// A udpSocket is the Socket of a PacketConn.
type udpSocket struct {
	pc    PacketConn
	local netip.AddrPort

	mu     sync.Mutex
	closed bool
	reason error
}

// Send implements Socket.
func (s *udpSocket) Send(b []byte, to netip.AddrPort) error {
	_, err := s.pc.WriteToUDPAddrPort(b, to)
	return err
}

// Proto implements Socket.
func (s *udpSocket) Proto() Proto { return UDP }

// Local implements Socket.
func (s *udpSocket) Local() netip.AddrPort { return s.local }

// Remote implements Socket.
func (s *udpSocket) Remote() netip.AddrPort { return netip.AddrPort{} }

// Close implements Socket.
func (s *udpSocket) Close(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed, s.reason = true, reason
		_ = s.pc.Close()
	}
}

// ServeUDP reads pc and hands to h what comes from addresses that allow
// accepts (nil: all); datagrams without content are dropped silently, as many
// phones send them to keep their NAT open. It returns when ctx ends, when h
// closes the socket, or when it was closed otherwise; pc is closed then.
// Errors that name a peer (ICMP) do not end it.
func ServeUDP(ctx context.Context, pc PacketConn, allow func(netip.Addr) bool, lim Limits, h Handler) error {
	s := &udpSocket{pc: pc, local: addrPort(pc.LocalAddr())}
	stop := context.AfterFunc(ctx, func() { s.Close(ctx.Err()) })
	defer stop()
	if c, ok := pc.(interface{ SetReadBuffer(int) error }); ok {
		_ = c.SetReadBuffer(udpBacklog) // as much as the system grants
	}
	h.Opened(s)
	s.Close(s.read(ctx, allow, lim, h))
	h.Closed(s, s.reason)
	return s.reason
}

// read reads datagrams until the socket is closed.
func (s *udpSocket) read(ctx context.Context, allow func(netip.Addr) bool, lim Limits, h Handler) error {
	b := make([]byte, udpBuffer)
	var pause pause
	for {
		n, from, err := s.pc.ReadFromUDPAddrPort(b)
		switch {
		case err == nil:
			pause.reset()
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			if !pause.wait(ctx) {
				return ctx.Err()
			}
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if allow != nil && !allow(from.Addr().WithZone("")) {
			lim.refuse(Stranger, from.Addr())
			continue
		}
		s.datagram(b[:n], from, h)
	}
}

// datagram tells STUN, SIP and nothing apart.
func (s *udpSocket) datagram(b []byte, from netip.AddrPort, h Handler) {
	switch {
	case blank(b):
	case isSTUN(b):
		h.STUN(s, from, b)
	default:
		m, err := message.Parse(string(b), message.Datagram)
		h.Message(s, from, m, err)
	}
}

// blank tells whether there are nothing but CR, LF and NUL.
func blank(b []byte) bool {
	for _, c := range b {
		if c != '\r' && c != '\n' && c != 0 {
			return false
		}
	}
	return true
}

const (
	stunHeader = 20
	stunCookie = 0x2112A442
)

// isSTUN tells STUN from SIP (RFC 7983 §7; SIP begins with a letter).
func isSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == stunCookie
}

// A pause is the wait after one of several errors in a row, each twice as long
// as the one before.
type pause struct{ d time.Duration }

func (p *pause) reset() { p.d = 0 }

// wait waits, and returns false when ctx ended first.
func (p *pause) wait(ctx context.Context) bool {
	p.d = min(max(2*p.d, firstPause), lastPause)
	t := time.NewTimer(p.d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
