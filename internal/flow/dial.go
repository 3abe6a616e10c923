package flow

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pinhole/internal/resolve"
	"pinhole/internal/transport"
)

const (
	dialTime      = 5 * time.Second // SYNs at 0, 1 and 3 s
	handshakeTime = 5 * time.Second
)

// errNoMore says that every server that DNS names was tried since the last one
// that worked.
var errNoMore = errors.New("none of the provider's servers serves us")

// A dialer finds the next server and port for a flow. It belongs to Run's
// goroutine.
type dialer struct {
	flow *Flow
	gen  uint64         // of the last path made
	last netip.AddrPort // its local address; zero: none yet

	stay   resolve.Target          // the server that worked; zero: none
	silent resolve.Target          // the one that worked over UDP, and was given up; zero: none
	tried  map[resolve.Target]bool // those that did not work since one did
	fresh  bool                    // take another port than last's
	stuck  int                     // generations in a row that ended as a wedged one does
}

// connect resolves the provider's name and tries each server in turn, the one
// that worked last first. The error holds what went wrong with each.
func (d *dialer) connect(ctx context.Context) (*path, error) {
	cfg := &d.flow.cfg
	host, port := cfg.Domain, 0
	if cfg.Server != "" {
		host, port = cfg.Server, int(cfg.Port)
	}
	targets, err := d.flow.res.Targets(ctx, host, port, cfg.Transport)
	if err != nil {
		return nil, err
	}
	var wrong attempts
	for _, t := range d.order(targets) {
		p, err := d.try(ctx, t)
		if err == nil {
			d.gen++
			p.begin(d.gen, d.last, targets)
			d.last = p.local
			return p, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		wrong = append(wrong, fmt.Errorf("%v over %v: %w", t.Addr, t.Proto, err))
	}
	d.tried = nil
	if len(wrong) == 0 {
		return nil, errNoMore
	}
	return nil, wrong
}

// order puts the server that worked first, the one that fell silent last, and
// leaves out those that were found not to work.
func (d *dialer) order(targets []resolve.Target) []resolve.Target {
	var first, order, last []resolve.Target
	for _, t := range targets {
		switch {
		case d.tried[key(t)]:
		case key(t) == d.stay:
			first = append(first, t)
		case key(t) == d.silent:
			last = append(last, t)
		default:
			order = append(order, t)
		}
	}
	return slices.Concat(first, order, last)
}

// key is t without what is only said of it.
func key(t resolve.Target) resolve.Target {
	t.Host = ""
	return t
}

// ended takes in how p ended, for the next connect.
func (d *dialer) ended(p *path, worked bool, err error) {
	if d.stuck++; !p.keeper.wedges || !wedged(err) {
		d.stuck = 0
	}
	d.fresh = errors.Is(err, ErrPoisoned) || d.stuck > 1 // the same port did not help
	d.stay, d.silent = resolve.Target{}, resolve.Target{}
	switch t := key(p.target); {
	case !worked:
		if d.tried == nil {
			d.tried = make(map[resolve.Target]bool)
		}
		d.tried[t] = true
		return
	case t.Proto == transport.UDP && !errors.Is(err, errMoved) && !errors.Is(err, ErrPoisoned):
		d.silent = t // opening a socket to it will not tell
	default:
		d.stay = t
	}
	d.tried = nil
}

// ports returns the local ports to try.
func (d *dialer) ports() []uint16 {
	port := d.last.Port()
	if port == 0 {
		port = d.flow.cfg.SourcePort
	}
	if d.fresh || port == 0 {
		return []uint16{0}
	}
	return []uint16{port, 0}
}

// try makes a path to t: first from the local port that the NAT knows, then
// from any other.
func (d *dialer) try(ctx context.Context, t resolve.Target) (*path, error) {
	source, err := d.flow.net.Source(t.Addr.Addr())
	if err != nil {
		return nil, err
	}
	source = source.Unmap()
	for _, port := range d.ports() {
		var p *path
		p, err = d.open(ctx, t, netip.AddrPortFrom(source, port))
		var refused *certError
		if err == nil || errors.As(err, &refused) || ctx.Err() != nil {
			return p, err
		}
	}
	return nil, err
}

// open makes a path to t from local.
func (d *dialer) open(ctx context.Context, t resolve.Target, local netip.AddrPort) (*path, error) {
	p := newPath(d.flow, t)
	if t.Proto == transport.UDP {
		pc, err := d.flow.net.ListenPacket(ctx, local)
		if err != nil {
			return nil, err
		}
		p.pc, p.local = pc, addrPort(pc.LocalAddr())
		return p, nil
	}
	dialling, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	raw, err := d.flow.net.Dial(dialling, local, t.Addr)
	if err != nil {
		return nil, err
	}
	conn := transport.Conn(resetting{raw, ctx})
	if err := conn.SetUserTimeout(userTimeout); err != nil {
		d.flow.log.Debug("a dead connection is seen late", "err", err)
	}
	if t.Proto == transport.TLS {
		if conn, err = d.secure(ctx, conn); err != nil {
			_ = raw.Abort()
			return nil, err
		}
	}
	lim := transport.DefaultLimits()
	stream := transport.NewStream(conn, t.Proto, lim, p)
	stream.KeepOpen()
	p.conn, p.stream, p.sock, p.local = conn, stream, stream, stream.Local()
	return p, nil
}

// secure shakes hands and checks who is there.
func (d *dialer) secure(ctx context.Context, conn transport.Conn) (transport.Conn, error) {
	config, err := d.flow.cfg.tlsConfig()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	t := tls.Client(conn, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("shaking hands: %w", err)
	}
	return transport.Secure(t, conn), nil
}

// A resetting connection closes with a reset, so that its local port can be
// dialled from again at once: by the next generation, and by the next run of
// the program, which shall find the NAT's mapping as it was.
type resetting struct {
	transport.Conn
	run context.Context
}

// ackTime is how long the last bytes of a run may take to arrive.
const ackTime = 500 * time.Millisecond

// Close implements net.Conn.
func (c resetting) Close() error {
	for start := time.Now(); c.run.Err() != nil && time.Since(start) < ackTime; {
		if n, err := c.Unacked(); err != nil || n == 0 {
			break
		}
		time.Sleep(ackTime / 50)
	}
	return c.Abort()
}

// attempts are the errors of several servers, in a line.
type attempts []error

// Error implements error.
func (a attempts) Error() string {
	var text []string
	for _, err := range a {
		text = append(text, err.Error())
	}
	return strings.Join(text, "; ")
}

// Unwrap implements errors' tree.
func (a attempts) Unwrap() []error { return a }
