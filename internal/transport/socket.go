package transport

import (
	"errors"
	"net/netip"

	"pinhole/internal/message"
)

// Proto is a transport as Via names it (RFC 3261 §20.42).
type Proto uint8

// The transports.
const (
	UDP Proto = iota
	TCP
	TLS
)

// String returns the name in Via: "UDP", "TCP", "TLS".
func (p Proto) String() string {
	switch p {
	case UDP:
		return "UDP"
	case TCP:
		return "TCP"
	case TLS:
		return "TLS"
	}
	return "?"
}

// Reliable tells whether the transport repeats what is lost, so that
// transactions need not (RFC 3261 §17).
func (p Proto) Reliable() bool { return p != UDP }

// A Socket is where a message came from and where bytes go back: a UDP socket
// with its many peers, or one stream connection. Safe for concurrent use.
type Socket interface {
	// Send sends one whole message, or a keep-alive, and never blocks. UDP
	// sends to to at once. A stream ignores to and queues a copy; past the
	// bounds of its queue it closes with ErrSlow.
	Send(b []byte, to netip.AddrPort) error

	Proto() Proto
	Local() netip.AddrPort
	Remote() netip.AddrPort // zero for UDP

	// Close ends the socket; Handler.Closed gets the reason. A stream sends
	// first what is queued, for two seconds at most. Closing twice is
	// harmless: the first reason stays.
	Close(reason error)
}

// A Handler is what the owner of a socket gives to hear from it. Its methods
// are called from the socket's reader goroutine, in order and never
// concurrently for one socket, and hold up its reading until they return.
type Handler interface {
	// Opened comes first: a served UDP socket reads, or a stream was
	// accepted and its TLS handshake is done. Not called for NewStream.
	Opened(s Socket)

	// Message hands over a message; m is the handler's from now on. err says
	// that it is broken (see message.Error), and m is what could be read. A
	// stream that cannot go on after it closes when Message has returned,
	// having sent an answer that was given to Send.
	Message(s Socket, from netip.AddrPort, m *message.Message, err error)

	// STUN hands over a datagram with the first two bits and the magic cookie
	// of STUN (RFC 7983 §7, RFC 8489 §5), else unchecked. b is valid until
	// STUN returns.
	STUN(s Socket, from netip.AddrPort, b []byte)

	// Pong says that the peer of a dialled stream sent a CRLF between two
	// messages (RFC 5626 §4.4.1).
	Pong(s Socket)

	// Closed comes last, and once. err is Close's reason, ErrSlow, ErrIdle,
	// ErrStalled, a *message.Error, io.EOF, or what the network said.
	Closed(s Socket, err error)
}

// Why a stream is over, where the peer is to blame.
var (
	ErrSlow    = errors.New("peer does not read what we send")
	ErrIdle    = errors.New("no registration on the connection")
	ErrStalled = errors.New("message not finished in time")
)
