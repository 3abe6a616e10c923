package nat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"pinhole/internal/transport"
)

// maxAnswer bounds a Binding answer: an address and a few texts.
const maxAnswer = 2048

// ProbeUDP asks the first two of servers (one is enough) in parallel for the
// mapped address of pc, each three times within 2.1 s, and returns the first
// answer. It owns the reads of pc while it runs and leaves pc without a read
// deadline; datagrams that are not its answers are lost. An answer of the
// slower server may still come to pc afterwards. It ends early with ctx's
// error when ctx does, with ErrNoAnswer when nobody answered.
func ProbeUDP(ctx context.Context, pc transport.PacketConn, servers []netip.AddrPort) (netip.AddrPort, error) {
	var asked []*Prober
	for _, s := range servers[:min(2, len(servers))] {
		asked = append(asked, NewProber(s))
	}
	defer wakeOn(ctx, pc.SetReadDeadline)()
	var why error // the last thing that went wrong, for the log
	for {
		asked = sendDue(pc, asked, &why)
		if len(asked) == 0 {
			return netip.AddrPort{}, errors.Join(ErrNoAnswer, why)
		}
		mapped, p, err := readUntil(ctx, pc, asked, earliest(asked))
		switch {
		case ctx.Err() != nil:
			return netip.AddrPort{}, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded): // somebody's turn to send
		case p == nil:
			return netip.AddrPort{}, err
		case err == nil:
			return mapped, nil
		default:
			why = err
			asked = slices.DeleteFunc(asked, func(q *Prober) bool { return q == p })
		}
	}
}

// sendDue sends every request that is due and returns the probers that still
// wait. A send that fails counts as lost on the way.
func sendDue(pc transport.PacketConn, asked []*Prober, why *error) []*Prober {
	waiting := asked[:0]
	for _, p := range asked {
		b, err := p.Request(time.Now())
		if err != nil {
			continue
		}
		waiting = append(waiting, p)
		if b == nil {
			continue
		}
		if _, err := pc.WriteToUDPAddrPort(b, p.Server()); err != nil {
			*why = fmt.Errorf("probing stun server %v: %w", p.Server(), err)
		}
	}
	return waiting
}

// earliest returns when the first of asked has something to do.
func earliest(asked []*Prober) time.Time {
	at := asked[0].Next()
	for _, p := range asked[1:] {
		if p.Next().Before(at) {
			at = p.Next()
		}
	}
	return at
}

// readUntil reads until deadline or until one of asked, p, has its answer or
// refusal. p is nil when reading itself failed.
func readUntil(ctx context.Context, pc transport.PacketConn, asked []*Prober, deadline time.Time) (mapped netip.AddrPort, p *Prober, err error) {
	if err := pc.SetReadDeadline(deadline); err != nil {
		return mapped, nil, err
	}
	if ctx.Err() != nil { // looked at after the deadline was set, as wakeOn sets another
		return mapped, nil, ctx.Err()
	}
	b := make([]byte, maxAnswer)
	for {
		n, from, err := pc.ReadFromUDPAddrPort(b)
		if err != nil {
			return mapped, nil, err
		}
		for _, p := range asked {
			if mapped, done, err := p.Handle(b[:n], from); done {
				return mapped, p, err
			}
		}
	}
}

// wakeOn makes blocked calls fail once ctx ends, by way of setDeadline. The
// function returned undoes it and clears the deadline; nothing runs after it.
func wakeOn(ctx context.Context, setDeadline func(time.Time) error) (undo func()) {
	ran := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ran)
		_ = setDeadline(time.Unix(1, 0)) // the caller reads ctx's error
	})
	return func() {
		if !stop() {
			<-ran
		}
		_ = setDeadline(time.Time{}) // a closed socket needs none
	}
}

// ProbeTCP asks server over TCP from local, the local address and port of a
// flow, which the NAT thereby maps as it maps the flow (where it maps
// independently of the destination; else only the IP address is true). It runs until it has the answer or ctx ends, and leaves no
// TIME-WAIT on local.
func ProbeTCP(ctx context.Context, n transport.Net, local, server netip.AddrPort) (netip.AddrPort, error) {
	conn, err := n.Dial(ctx, local, server)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("probing stun server %v over tcp: %w", server, err)
	}
	mapped, err := askTCP(ctx, conn)
	if aerr := conn.Abort(); err == nil && aerr != nil && !errors.Is(aerr, net.ErrClosed) {
		err = aerr
	}
	switch {
	case ctx.Err() != nil && err != nil:
		return netip.AddrPort{}, ctx.Err()
	case err != nil:
		return netip.AddrPort{}, fmt.Errorf("probing stun server %v over tcp: %w", server, err)
	}
	return mapped, nil
}

// askTCP runs one transaction on conn: the length field frames the answer.
func askTCP(ctx context.Context, conn net.Conn) (netip.AddrPort, error) {
	defer wakeOn(ctx, conn.SetDeadline)()
	request := bindingRequest()
	if _, err := conn.Write(request); err != nil {
		return netip.AddrPort{}, err
	}
	b := make([]byte, maxAnswer)
	if _, err := io.ReadFull(conn, b[:headerSize]); err != nil {
		return netip.AddrPort{}, err
	}
	size := headerSize + int(binary.BigEndian.Uint16(b[2:]))
	if !IsSTUN(b) || size > len(b) {
		return netip.AddrPort{}, errors.New("reading stun: no binding answer")
	}
	if _, err := io.ReadFull(conn, b[headerSize:size]); err != nil {
		return netip.AddrPort{}, err
	}
	mapped, done, err := answerTo(request, b[:size])
	if !done {
		return netip.AddrPort{}, errors.New("reading stun: no binding answer")
	}
	return mapped, err
}
