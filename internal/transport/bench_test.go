package transport_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"pinhole/internal/message"
	"pinhole/internal/transport"
)

// An echo answers each message, and counts the answers it gets.
type echo struct {
	owner
	answer []byte
	got    chan struct{}
}

func (e *echo) Message(s transport.Socket, from netip.AddrPort, _ *message.Message, err error) {
	if err != nil {
		panic(err)
	}
	if e.got != nil {
		e.got <- struct{}{}
		return
	}
	_ = s.Send(e.answer, from)
}

// BenchmarkSystemTCP is a message there and back over loopback, of 32 under
// way at a time: two reads, two frames, two parses, two writes.
func BenchmarkSystemTCP(b *testing.B) {
	sys := transport.System()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ln, err := sys.Listen(ctx, ap("127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	msg := []byte(options("a", "body"))
	far, near := &echo{answer: msg}, &echo{got: make(chan struct{}, 64)}
	done := make(chan error, 2)
	go func() {
		done <- transport.ServeStream(ctx, ln, transport.TCP, nil, nil, transport.DefaultLimits(), far)
	}()
	c, err := sys.Dial(ctx, netip.AddrPort{}, ap(ln.Addr().String()))
	if err != nil {
		b.Fatal(err)
	}
	s := transport.NewStream(c, transport.TCP, transport.DefaultLimits(), near)
	go func() { done <- s.Run(ctx) }()
	b.ReportAllocs()
	flying := 0
	for b.Loop() {
		if flying == 32 {
			<-near.got
			flying--
		}
		if err := s.Send(msg, netip.AddrPort{}); err != nil {
			b.Fatal(err)
		}
		flying++
	}
	for range flying {
		<-near.got
	}
	s.Close(errors.New("done"))
	stop()
	<-done
	<-done
}

// BenchmarkSystemUDP is the same over UDP.
func BenchmarkSystemUDP(b *testing.B) {
	sys := transport.System()
	ctx, stop := context.WithCancel(context.Background())
	msg := []byte(options("a", "body"))
	far, near := &echo{answer: msg}, &echo{got: make(chan struct{}, 64)}
	done := make(chan error, 2)
	var at [2]netip.AddrPort
	var pcs [2]transport.PacketConn
	for i, h := range []*echo{far, near} {
		pc, err := sys.ListenPacket(ctx, ap("127.0.0.1:0"))
		if err != nil {
			b.Fatal(err)
		}
		pcs[i], at[i] = pc, ap(pc.LocalAddr().String())
		go func() { done <- transport.ServeUDP(ctx, pc, nil, transport.DefaultLimits(), h) }()
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pcs[1].WriteToUDPAddrPort(msg, at[0]); err != nil {
			b.Fatal(err)
		}
		<-near.got
	}
	stop()
	<-done
	<-done
}
