package nat

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v2"
)

// waits are how long a Prober waits after each of its sends. RFC 8489 §6.2.1
// would wait 39.5 s in all; a call's set-up and the first REGISTER cannot.
var waits = [...]time.Duration{300 * time.Millisecond, 600 * time.Millisecond, 1200 * time.Millisecond}

// ErrNoAnswer ends a probe that no server answered.
var ErrNoAnswer = errors.New("probing stun: no answer")

// A Prober is one Binding transaction over UDP on a socket that somebody else
// reads: its owner sends what Request returns and feeds it what arrives. It is
// pure: it never looks at the clock. Not safe for concurrent use.
type Prober struct {
	server  netip.AddrPort
	request []byte
	sent    int       // how often the request was handed out
	next    time.Time // when Request has something to say again
}

// NewProber returns a transaction with server, with a new random id, that has
// sent nothing yet.
func NewProber(server netip.AddrPort) *Prober {
	server = netip.AddrPortFrom(server.Addr().Unmap(), server.Port())
	return &Prober{server: server, request: bindingRequest()}
}

// Server returns whom the Prober asks.
func (p *Prober) Server() netip.AddrPort { return p.server }

// Request returns the bytes to send to Server at now: the request at the first
// call, then at 300 and 900 ms after it; nil between these; ErrNoAnswer from
// 2100 ms on. The caller must not change the bytes.
func (p *Prober) Request(now time.Time) ([]byte, error) {
	if p.sent > 0 && now.Before(p.next) {
		return nil, nil
	}
	if p.sent == len(waits) {
		return nil, fmt.Errorf("%w from %v", ErrNoAnswer, p.server)
	}
	p.next = now.Add(waits[p.sent])
	p.sent++
	return p.request, nil
}

// Next returns when to call Request again; zero before the first call.
func (p *Prober) Next() time.Time { return p.next }

// Handle looks at a datagram from the socket. done is true when it ends this
// transaction: with the mapped address, or with the server's refusal in err.
// Everything else (another source, another transaction, a broken message, an
// answer that demands what we do not understand: RFC 8489 §6.3.3) is none of
// it, and the transaction goes on.
func (p *Prober) Handle(b []byte, from netip.AddrPort) (mapped netip.AddrPort, done bool, err error) {
	if netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) != p.server {
		return netip.AddrPort{}, false, nil
	}
	return answerTo(p.request, b)
}

// answerTo is Handle without the source check: streams have only one.
func answerTo(request, b []byte) (mapped netip.AddrPort, done bool, err error) {
	m, err := decode(b)
	if err != nil || !bytes.Equal(m.TransactionID[:], request[8:headerSize]) {
		return netip.AddrPort{}, false, nil
	}
	switch m.Type {
	case stun.BindingError:
		var code stun.ErrorCodeAttribute
		if code.GetFrom(m) != nil {
			return netip.AddrPort{}, false, nil
		}
		return netip.AddrPort{}, true, fmt.Errorf("probing stun: server refuses with %d %q", code.Code, code.Reason)
	case stun.BindingSuccess:
		mapped, err := mappedAddress(m)
		if err != nil || len(unknownRequired(m)) > 0 {
			return netip.AddrPort{}, false, nil
		}
		return mapped, true, nil
	}
	return netip.AddrPort{}, false, nil
}
