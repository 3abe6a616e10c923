package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/pion/turn/v3"

	"pinhole/internal/transport"
)

// A STUN is a STUN server (RFC 5389) on UDP and TCP, and with users a TURN
// server (RFC 5766) too. It is pion's server; use it in tests and the demo only.
type STUN struct {
	addr   netip.AddrPort
	server *turn.Server
	socket *stunSocket
	doors  *stunListener
}

// NewSTUN serves STUN at addr over UDP and TCP; port 0 picks a free one.
func NewSTUN(n transport.Net, addr netip.AddrPort) (*STUN, error) {
	return NewTURN(n, addr, "", nil)
}

// NewTURN serves STUN and TURN at addr; users are name → password in realm, and
// relayed addresses are on addr's host.
func NewTURN(n transport.Net, addr netip.AddrPort, realm string, users map[string]string) (*STUN, error) {
	ctx := context.Background()
	pc, err := n.ListenPacket(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("opening the STUN server's socket: %w", err)
	}
	s := &STUN{addr: addrPort(pc.LocalAddr()), socket: &stunSocket{PacketConn: pc}}
	ln, err := n.Listen(ctx, s.addr)
	if err != nil {
		_ = pc.Close()
		return nil, fmt.Errorf("opening the STUN server's listener: %w", err)
	}
	s.doors = &stunListener{Listener: ln}
	relay := &relayPorts{net: n, addr: s.addr.Addr()}
	conf := turn.ServerConfig{
		Realm:             realm,
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: s.socket, RelayAddressGenerator: relay}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: s.doors, RelayAddressGenerator: relay}},
	}
	if users != nil {
		conf.AuthHandler = func(user, realm string, _ net.Addr) ([]byte, bool) {
			password, ok := users[user]
			return turn.GenerateAuthKey(user, realm, password), ok
		}
	}
	if s.server, err = turn.NewServer(conf); err != nil {
		_ = pc.Close()
		_ = ln.Close()
		return nil, fmt.Errorf("starting the STUN server: %w", err)
	}
	return s, nil
}

// Addr returns the server's address.
func (s *STUN) Addr() netip.AddrPort { return s.addr }

// Requests returns how many datagrams came in that look like STUN.
func (s *STUN) Requests() int { return int(s.socket.seen.Load()) }

// BlackHole makes the UDP side deaf until it is called with false.
func (s *STUN) BlackHole(on bool) { s.socket.deaf.Store(on) }

// Allocations returns how many relayed addresses are in use.
func (s *STUN) Allocations() int { return s.server.AllocationCount() }

// Close ends the server and every connection to it.
func (s *STUN) Close() {
	_ = s.server.Close()
	s.doors.shut()
}

// A stunSocket keeps from pion what is not STUN or channel data: it would log
// an error for each.
type stunSocket struct {
	transport.PacketConn
	seen atomic.Int64
	deaf atomic.Bool
}

// ReadFrom returns the next datagram that the server can make something of.
func (s *stunSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		if n >= 4 && b[0] < 0x80 && !s.deaf.Load() {
			s.seen.Add(1)
			return n, from, nil
		}
	}
}

// A stunListener closes its connections with the server, which pion does not.
type stunListener struct {
	transport.Listener
	mu    sync.Mutex
	conns []net.Conn
}

// Accept returns the next connection.
func (l *stunListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.conns = append(l.conns, c)
	l.mu.Unlock()
	return c, nil
}

func (l *stunListener) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// relayPorts opens relayed addresses on the server's host.
type relayPorts struct {
	net  transport.Net
	addr netip.Addr
}

// Validate accepts the settings.
func (r *relayPorts) Validate() error { return nil }

// AllocatePacketConn opens one relayed address.
func (r *relayPorts) AllocatePacketConn(_ string, port int) (net.PacketConn, net.Addr, error) {
	pc, err := r.net.ListenPacket(context.Background(), netip.AddrPortFrom(r.addr, uint16(port)))
	if err != nil {
		return nil, nil, err
	}
	return relayed{pc}, pc.LocalAddr(), nil
}

// A relayed address is closed twice by pion, which logs the second as an error.
type relayed struct{ transport.PacketConn }

// Close closes the socket and reports nothing.
func (r relayed) Close() error {
	_ = r.PacketConn.Close()
	return nil
}

// AllocateConn refuses: TURN over TCP towards peers (RFC 6062) is not served.
func (r *relayPorts) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, errors.New("peer: no relayed TCP")
}
