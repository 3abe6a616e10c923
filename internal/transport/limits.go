package transport

import (
	"net/netip"
	"time"

	"pinhole/internal/message"
)

// Limits bound what one peer can make a socket hold or wait for. How long a
// line may be, and how many there may be, is message's to say.
type Limits struct {
	Message    int           // octets of a message on a stream
	HeaderTime time.Duration // from the first octet of a message to the end of its header; also the TLS handshake
	BodyTime   time.Duration // from there to the end of its body
	IdleTime   time.Duration // without a message, unless KeepOpen was called
	QueueBytes int           // octets waiting to be written to a stream
	QueueAge   time.Duration // how long a message may wait to be written
	PerIP      int           // connections of one address to one listener
	Total      int           // connections to one listener

	// Refused, where not nil, is told of every datagram and connection that
	// was turned away. It may be called concurrently.
	Refused func(why Refusal, from netip.Addr)
}

// DefaultLimits returns limits that suit a small office.
func DefaultLimits() Limits {
	return Limits{
		Message:    message.MaxMessage,
		HeaderTime: 10 * time.Second,
		BodyTime:   10 * time.Second,
		IdleTime:   30 * time.Second,
		QueueBytes: 1 << 20,
		QueueAge:   10 * time.Second,
		PerIP:      8,
		Total:      4096,
	}
}

// A Refusal is why a datagram or a connection was turned away.
type Refusal uint8

// The refusals.
const (
	Stranger  Refusal = iota // allow said no
	PerIP                    // too many connections of this address
	Total                    // too many connections
	Handshake                // TLS did not come about
)

// String returns a short name, fit for a counter's label.
func (r Refusal) String() string {
	switch r {
	case Stranger:
		return "stranger"
	case PerIP:
		return "per_ip"
	case Total:
		return "total"
	case Handshake:
		return "handshake"
	}
	return "?"
}

// refuse counts a refusal.
func (l *Limits) refuse(why Refusal, from netip.Addr) {
	if l.Refused != nil {
		l.Refused(why, from)
	}
}
