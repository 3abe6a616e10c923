// Package peer is the one vocabulary of the tests, the demo and the lab: SIP
// phones, a provider (registrar, proxy and callers outside; RFC 3261 §10, §16)
// and a STUN/TURN server, over any transport.Net and in fake time. It owns the
// sockets and goroutines of each peer; Close ends and waits for them.
//
// Messages are parsed and the transactions run by sipgo. The sockets and the
// bytes are this package's own: each message is recorded as it went over the
// wire, is answered in the order it came in, and a Contact, a challenge or a
// Via is sent as the test wrote it, none of which sipgo's transport layer and
// its parse-print loop allow.
package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// The transports a peer listens on or dials with.
const (
	UDP = "udp"
	TCP = "tcp"
	TLS = "tls"
)

var (
	errClosed  = errors.New("peer: closed")
	errNoReply = errors.New("peer: no answer")
)

// A StatusError is a final response that was not the success asked for.
type StatusError struct{ Response *Message }

// Error returns the method and the status line.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered with %q", e.Response.Method(), e.Response.Start())
}

// Status returns the status code in err when it is a StatusError, else 0.
func Status(err error) int {
	var s *StatusError
	if errors.As(err, &s) {
		return s.Response.Status()
	}
	return 0
}

// configureSipgo sets sipgo's package variables once: they are not
// synchronised, so they are set before the first peer exists and never again.
var configureSipgo = sync.OnceFunc(func() {
	sip.UDPMTUSize = 65000
	sip.SetTimers(sip.T1, sip.T2, sip.T4)
})

// newParser returns a sipgo parser that reads only what the transactions need
// and leaves every other header as it came.
func newParser() *sip.Parser {
	all := sip.DefaultHeadersParser()
	need := map[string]sip.HeaderParser{}
	for _, name := range []string{
		"via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "max-forwards", "content-length", "l",
	} {
		need[name] = all[name]
	}
	return sip.NewParser(sip.WithHeadersParsers(need))
}

// quiet is sipgo's logger: its lines hold credentials and say nothing that the
// journal does not.
var quiet = slog.New(slog.DiscardHandler)

// random returns n characters [a-z0-9], the first a letter.
func random(n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	_, _ = rand.Read(b)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	b[0] = alphabet[int(b[0])%26]
	return string(b)
}

// addrPort turns a net.Addr of any network into a tuple.
func addrPort(a net.Addr) netip.AddrPort {
	if ap, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return unmap(ap.AddrPort())
	}
	if a == nil {
		return netip.AddrPort{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return unmap(ap)
}

func unmap(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// background is the context of things that only Close ends.
func background() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}
