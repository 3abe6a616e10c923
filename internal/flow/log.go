package flow

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"pinhole/internal/resolve"
	"pinhole/internal/transport"
)

// logEnd writes the line of a generation's end.
func (f *Flow) logEnd(p *path, err error) {
	args := []any{"flow", p.gen, "proto", p.target.Proto.String(), "local", p.local, "remote", p.target.Addr, "err", err}
	if errors.Is(err, context.Canceled) {
		f.log.Info("flow stopped", args...)
		return
	}
	f.log.Warn("flow down", append(args, explain(err)...)...)
}

// logFailure writes the line of an attempt that made no flow.
func (f *Flow) logFailure(err error, wait time.Duration) {
	args := []any{"err", err, "retry", wait.Round(time.Second)}
	f.log.Warn("flow not made", append(args, explain(err)...)...)
}

// explanations say in an administrator's words what an error means, and what
// can be done. The first that fits counts.
var explanations = []struct {
	err           error
	cause, remedy string
}{
	{ErrPoisoned, "a router on the way drops one of our messages for ever", "use tls, or switch off sip alg in the router"},
	{ErrElsewhere, "the provider's server lives, but does not serve us", "none needed: the next server is tried"},
	{errNoMore, "each of the provider's servers accepts us and then says nothing", "check domain, server and transport; ask the provider"},
	{errNoPong, "the way to the provider is cut: a router forgot the connection, or the provider hangs", "none needed: it is made anew"},
	{errMoved, "this machine has another address towards the provider", "none needed: the flow is made anew"},
	{resolve.ErrNotFound, "dns knows no such server", "check domain and server"},
	{transport.ErrSlow, "the provider does not take what we send", "none needed: the connection is made anew"},
	{io.EOF, "the provider closed the connection", "none needed: it is made anew"},
	{io.ErrUnexpectedEOF, "the provider closed the connection within a message", "none needed: it is made anew"},
	{syscall.ECONNREFUSED, "nothing listens at the provider's address and port, or a firewall refuses", "check server, its port and transport"},
	{syscall.ECONNRESET, "the provider or a firewall reset the connection", "none needed: it is made anew"},
	{syscall.ENETUNREACH, "there is no way to the provider's network", "check this machine's network and default route"},
	{syscall.EHOSTUNREACH, "there is no way to the provider's address", "check this machine's network and default route"},
	{syscall.ETIMEDOUT, "the provider does not answer", "check the network and a firewall for outgoing connections"},
	{context.DeadlineExceeded, "the provider does not answer", "check server, its port, transport, and a firewall for outgoing connections"},
	{os.ErrDeadlineExceeded, "the provider does not answer", "check server, its port, transport, and a firewall for outgoing connections"},
}

// explain returns cause and remedy of err as arguments for the log.
func explain(err error) []any {
	var cert *certError
	if errors.As(err, &cert) {
		return []any{"cause", cert.cause, "remedy", cert.remedy}
	}
	if plain := (tls.RecordHeaderError{}); errors.As(err, &plain) {
		return []any{"cause", "the server does not speak tls on this port", "remedy", "set the port of its tls in server, or transport = \"tcp\""}
	}
	for _, e := range explanations {
		if errors.Is(err, e.err) {
			return []any{"cause", e.cause, "remedy", e.remedy}
		}
	}
	return nil
}
