// Package transport owns listening and dialled sockets, each with a side, and
// splits what arrives on them into SIP messages, STUN and CRLF keep-alives
// (RFC 3261 §18, RFC 5626 §3.5.1, RFC 7983 §7). It owns one reader and, on
// streams, one writer goroutine a socket.
package transport

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Net is the only door to the network: everything below cmd (SIP, DNS, STUN,
// TURN, media) opens its sockets here, so that the whole program also runs on
// the in-memory network in fake time. Safe for concurrent use.
type Net interface {
	// ListenPacket opens a UDP socket bound to local. Port 0 picks a free
	// port; an unspecified address binds all of the host's.
	ListenPacket(ctx context.Context, local netip.AddrPort) (PacketConn, error)

	// Listen opens a TCP listener bound to local.
	Listen(ctx context.Context, local netip.AddrPort) (Listener, error)

	// Dial opens a TCP connection from local to remote. A zero local leaves
	// address and port to the system; a local port is bound with
	// SO_REUSEADDR, so that a flow can be re-made, and STUN asked, from the
	// port the NAT already knows. With a local address the connection ends
	// with a reset, also when the process is killed: the next one can have
	// its port at once.
	Dial(ctx context.Context, local, remote netip.AddrPort) (Conn, error)

	// Interfaces returns the addresses of the interfaces that are up, with
	// their prefix lengths, loopback included.
	Interfaces() ([]netip.Prefix, error)

	// Source returns the local address the system would send from to remote.
	Source(remote netip.Addr) (netip.Addr, error)

	// Watch calls changed after each change of an address, a route or a link,
	// until ctx ends; it returns ctx's error, or why it cannot watch. A burst
	// of changes may be one call.
	Watch(ctx context.Context, changed func()) error
}

// PacketConn is a UDP socket; *net.UDPConn is one.
type PacketConn interface {
	net.PacketConn
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
}

// Conn is one TCP connection.
type Conn interface {
	net.Conn

	// SetUserTimeout bounds how long written data may stay unacknowledged
	// before the connection fails (TCP_USER_TIMEOUT, RFC 5482); 0 is the
	// system's own bound.
	SetUserTimeout(d time.Duration) error

	// Unacked returns the number of segments sent and not yet acknowledged:
	// above 0 for seconds, the path swallows what we send.
	Unacked() (int, error)

	// TryWrite writes what needs no waiting and returns how much of b that
	// was, from nothing to all; err is not nil only where the connection is
	// broken.
	TryWrite(b []byte) (n int, err error)

	// Abort closes the connection with a reset and leaves no TIME-WAIT, so
	// that its local port can be dialled from again at once.
	Abort() error
}

// Listener accepts Conns.
type Listener interface {
	Accept() (Conn, error)
	Addr() net.Addr
	Close() error
}
