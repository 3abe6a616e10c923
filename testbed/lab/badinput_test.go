//go:build lab

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/need"
	"pinhole/testbed/peer"
)

// maxResident is what Pinhole may take at most, whatever somebody on the LAN
// throws at it. It takes 10 MiB with two phones in service, and 19 with 1,000
// connections more.
const maxResident = 32 << 20

// An attack goes on until over is closed, and longer where it is not done.
type attack func(c *Cell, over <-chan struct{}) error

// Whatever somebody on the LAN sends, Pinhole stays small and serves its phones
// while it goes on.
func TestBadInput(t *testing.T) {
	need.Root(t)
	t.Parallel()
	for name, attack := range map[string]attack{
		"random-datagrams": (*Cell).randomDatagrams, "endless-headers": (*Cell).endlessHeaders,
		"bodies-of-4-GB": (*Cell).hugeBodies, "idle-connections": (*Cell).idleConnections,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := NewCell(t, RouterOptions{})
			provider := c.StartProvider(Certificate{})
			c.StartSTUN()
			bob := c.OutsidePhone(outsidePhone)
			pinhole := c.StartPinhole(provider, PinholeOptions{Place: OnHost, Proto: peer.TCP})
			alice := pinhole.Phone("alice", peer.UDP, phoneLAN, nil)
			amy := pinhole.Phone("amy", peer.TCP, phoneLAN, nil)
			serve := func(when string) {
				c.register(alice)
				c.register(amy)
				out, in := c.connectCall(bob, amy, "amy")
				c.hangUp(out, in)
				t.Logf("%s: called: %s; calls out: %s", when, c.callIn(bob, alice), c.callOut(alice, bob))
			}
			serve("before")
			watch := c.watchMemory(pinhole)
			over, done := make(chan struct{}), make(chan error, 1)
			end := sync.OnceFunc(func() { close(over) })
			c.onClose(func() error { end(); return nil })
			go func() { done <- attack(c, over) }()
			serve("meanwhile")
			end()
			if err := <-done; err != nil {
				t.Error(err)
			}
			serve("after")
			before, most := watch()
			t.Logf("resident memory: %.1f MiB before, at most %.1f MiB", mib(before), mib(most))
			if most > maxResident {
				t.Errorf("it took %.1f MiB, want at most %.0f", mib(most), mib(maxResident))
			}
			c.assertNoLeaks(provider, "REGISTER", "INVITE", "ACK", "BYE")
		})
	}
}

// ended says whether over is closed.
func ended(over <-chan struct{}) bool {
	select {
	case <-over:
		return true
	default:
		return false
	}
}

func mib(n int) float64 { return float64(n) / (1 << 20) }

// watchMemory looks at Pinhole's memory all the time; the function that it
// returns ends that and returns the first and the highest value.
func (c *Cell) watchMemory(p *Pinhole) func() (first, most int) {
	c.t.Helper()
	first, err := p.Resident()
	c.must(err)
	most := first
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for {
			select {
			case <-stop:
				return
			case <-again.C:
			}
			if now, err := p.Resident(); err != nil {
				c.t.Errorf("pinhole is gone: %v", err)
				return
			} else if now > most {
				most = now
			}
		}
	})
	end := sync.OnceFunc(func() { close(stop); watching.Wait() })
	c.onClose(func() error { end(); return nil }) // before Pinhole is killed
	return func() (int, int) {
		end()
		return first, most
	}
}

// pinholeLAN is where Pinhole listens in these cells.
var pinholeLAN = netip.AddrPortFrom(hostLAN, 5060)

// randomDatagrams sends 10,000 datagrams as quickly as Pinhole reads them, and
// then 1,000 a second: noise, noise after a start line, and requests with some of
// their bytes changed.
func (c *Cell) randomDatagrams(over <-chan struct{}) error {
	const least, burst = 10000, 50
	pc, err := hostNet{c.Phones}.ListenPacket(context.Background(), netip.AddrPortFrom(otherLAN, 0))
	if err != nil {
		return err
	}
	defer pc.Close()
	go drain(pc)
	r := rand.New(rand.NewPCG(1, 2))
	n := 0
	for ; n < least || !ended(over); n++ {
		if _, err := pc.WriteToUDPAddrPort(noise(r, n), pinholeLAN); err != nil {
			return err
		}
		if n%burst == 0 {
			if err := c.allRead(); err != nil {
				return err
			}
			if n >= least {
				time.Sleep(burst * time.Millisecond)
			}
		}
	}
	c.t.Logf("%d datagrams were sent", n)
	return c.allRead()
}

// allRead waits until nothing is left in Pinhole's UDP socket; it is an error if
// something was lost there.
func (c *Cell) allRead() error {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for start := time.Now(); time.Since(start) < patience; <-again.C {
		lines, err := readProc(c.Host, "udp")
		if err != nil {
			return err
		}
		at := slices.IndexFunc(lines, func(f []string) bool { return strings.HasSuffix(f[1], fmt.Sprintf(":%04X", pinholeLAN.Port())) })
		if at < 0 {
			return errors.New("pinhole has no socket for its phones")
		}
		f := lines[at]
		if lost := f[len(f)-1]; lost != "0" {
			return fmt.Errorf("%s datagrams were lost: the test is too quick", lost)
		}
		if _, waiting, _ := strings.Cut(f[4], ":"); strings.Trim(waiting, "0") == "" {
			return nil
		}
	}
	return fmt.Errorf("pinhole has not read its datagrams within %v", patience)
}

// drain reads what comes, to its end.
func drain(pc transport.PacketConn) {
	b := make([]byte, 1<<16)
	for {
		if _, _, err := pc.ReadFromUDPAddrPort(b); err != nil {
			return
		}
	}
}

// noise returns a datagram; n makes each request new.
func noise(r *rand.Rand, n int) []byte {
	random := make([]byte, r.IntN(1400))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	method := []string{"OPTIONS", "REGISTER", "MESSAGE", "SUBSCRIBE", "BYE", "CANCEL", "ACK", "FOO"}[r.IntN(8)]
	text := lanRequest(method, []string{domain, "example.net"}[n%2], n)
	switch r.IntN(4) {
	case 0:
		return random
	case 1:
		return append([]byte(method+" sip:"+domain+" SIP/2.0\r\n"), random...)
	case 2:
		return text[:r.IntN(len(text))]
	}
	for range 1 + r.IntN(5) {
		at := r.IntN(len(text))
		if n%2 == 0 && !inValue(text, at) {
			continue // see inValue
		}
		text[at] = byte(r.Uint32())
	}
	return text
}

// inValue says whether a byte is in the value of a header. What goes on to the
// provider has good names: Kamailio hangs up on some that RFC 3261 allows, as
// Expire`, and so on all phones.
func inValue(text []byte, at int) bool {
	line := text[bytes.LastIndexByte(text[:at], '\n')+1 : at]
	return bytes.IndexByte(line, ':') > 0
}

// lanRequest returns a request of somebody on the LAN to nobody of a domain.
func lanRequest(method, at string, n int) []byte {
	return fmt.Appendf(nil, "%s sip:nobody@%s SIP/2.0\r\nVia: SIP/2.0/UDP %v:5070;branch=z9hG4bKnoise%d;rport\r\n"+
		"Route: <sip:%v;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:noise@%s>;tag=%d\r\nTo: <sip:nobody@%s>\r\nCall-ID: noise-%d@%v\r\n"+
		"CSeq: %d %s\r\nContact: <sip:noise@%v:5070>\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n",
		method, at, otherLAN, n, pinholeLAN, at, n, at, n, otherLAN, n, method, otherLAN)
}

// endlessHeaders sends headers that never end: in one line, or in ever more
// lines.
func (c *Cell) endlessHeaders(over <-chan struct{}) error {
	start := "INVITE sip:bob@" + domain + " SIP/2.0\r\n"
	letters := bytes.Repeat([]byte("a"), 1<<16)
	for first := true; first || !ended(over); first = false {
		for _, header := range []struct {
			text string
			more []byte
		}{
			{"", letters},
			{start, bytes.Repeat([]byte("X: y\r\n"), 1<<13)},
			{start, bytes.Repeat([]byte("Via: SIP/2.0/TCP a;branch=z9hG4bKa\r\n"), 1<<11)},
			{start + "Subject: ", letters},
			{start + "Subject: a\r\n ", bytes.Repeat([]byte(" \r\n"), 1<<14)},
			{start + "Via: SIP/2.0/TCP [", letters},
			{start + "Contact: \"", letters},
		} {
			if err := c.stuff(header.text, header.more); err != nil {
				return err
			}
		}
	}
	return nil
}

// hugeBodies announces bodies of 4 GB and others, and sends what is taken of
// them.
func (c *Cell) hugeBodies(over <-chan struct{}) error {
	pc, err := hostNet{c.Phones}.ListenPacket(context.Background(), netip.AddrPortFrom(otherLAN, 0))
	if err != nil {
		return err
	}
	defer pc.Close()
	go drain(pc)
	for n := 0; n == 0 || !ended(over); n++ {
		for i, length := range []uint64{1 << 32, 1<<32 - 1, 1<<63 - 1, 1 << 31, 70000} {
			text := string(lanRequest("MESSAGE", "example.net", 10*n+i))
			text = strings.Replace(text, "Content-Length: 0", "Content-Length: "+strconv.FormatUint(length, 10), 1)
			if err := c.stuff(text, bytes.Repeat([]byte("a"), 1<<16)); err != nil {
				return err
			}
			if _, err := pc.WriteToUDPAddrPort([]byte(text+"a"), pinholeLAN); err != nil {
				return err
			}
		}
	}
	return nil
}

// stuff sends text and then more, again and again, until Pinhole closes the
// connection. It is an error if it takes very much, or neither reads nor closes.
func (c *Cell) stuff(text string, more []byte) error {
	const most = 64 << 20
	conn, err := hostNet{c.Phones}.Dial(context.Background(), netip.AddrPortFrom(otherLAN, 0), pinholeLAN)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		return err
	}
	sent, err := conn.Write([]byte(text))
	for err == nil && sent < most {
		n := 0
		n, err = conn.Write(more)
		sent += n
	}
	switch {
	case err == nil:
		return fmt.Errorf("pinhole took %d bytes after %.60q", sent, text)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("after %.60q pinhole neither reads nor closes", text)
	}
	return nil
}

// idleConnections holds 1,000 connections of 125 addresses that say nothing, and
// tries as many again from one of them, which are refused. In the end they are
// all closed.
func (c *Cell) idleConnections(over <-chan struct{}) error {
	const addresses, each = 125, 8
	var lines []string
	var from []netip.Addr
	for ip := netip.MustParseAddr("192.168.1.100"); len(from) < addresses; ip = ip.Next() {
		lines, from = append(lines, fmt.Sprintf("addr add %v/24 dev eth0", ip)), append(from, ip)
	}
	if err := c.Phones.ip(lines...); err != nil {
		return err
	}
	var held []transport.Conn
	for i := range addresses * each {
		conn, err := hostNet{c.Phones}.Dial(context.Background(), netip.AddrPortFrom(from[i%addresses], 0), pinholeLAN)
		if err != nil {
			return err
		}
		defer conn.Close()
		held = append(held, conn)
	}
	for range addresses * each {
		if err := c.refused(from[0]); err != nil {
			return err
		}
	}
	table, err := readProc(c.Host, "tcp")
	if err != nil {
		return err
	}
	open := 0
	for _, f := range table {
		if f[3] == "01" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", pinholeLAN.Port())) { // ESTABLISHED
			open++
		}
	}
	if c.t.Logf("%d connections are open", open); open < addresses*each {
		return fmt.Errorf("%d connections are open, want %d", open, addresses*each)
	}
	<-over
	for _, conn := range held {
		if err := conn.SetReadDeadline(time.Now().Add(10 * patience)); err != nil {
			return err
		}
		if n, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("an idle connection is not closed: %d bytes, %w", n, err)
		}
	}
	return nil
}

// refused makes sure that Pinhole ends a connection at once, without a word.
func (c *Cell) refused(from netip.Addr) error {
	conn, err := hostNet{c.Phones}.Dial(context.Background(), netip.AddrPortFrom(from, 0), pinholeLAN)
	if errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("a connection too many is not closed: %d bytes, %w", n, err)
	}
	return nil
}
