package transport

import (
	"net/netip"

	"pinhole/internal/message"
)

// nobody is a Handler that does nothing.
type nobody struct{}

func (nobody) Opened(Socket)                                           {}
func (nobody) Message(Socket, netip.AddrPort, *message.Message, error) {}
func (nobody) STUN(Socket, netip.AddrPort, []byte)                     {}
func (nobody) Pong(Socket)                                             {}
func (nobody) Closed(Socket, error)                                    {}
