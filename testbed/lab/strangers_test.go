//go:build lab

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/need"
	"pinhole/testbed/peer"
)

// Nobody on the internet gets a byte from Pinhole on a router, at whichever of
// its sockets he knocks, though he can reach the router's LAN address too.
func TestStrangersGetNothing(t *testing.T) {
	need.Root(t)
	t.Parallel()
	for _, v := range []struct{ listen, proto string }{
		{"192.168.1.1:5060", peer.UDP}, {"192.168.1.1:5060", peer.TLS}, {"0.0.0.0:5060", peer.UDP}, {"0.0.0.0:5060", peer.TCP},
	} {
		t.Run(v.listen+"-"+v.proto, func(t *testing.T) {
			t.Parallel()
			c := NewCell(t, RouterOptions{})
			c.must(c.Internet.ip("addr add "+stranger.String()+"/32 dev lo", "route add "+lanPrefix.String()+" via "+routerWAN.String()))
			provider := c.StartProvider(Certificate{})
			c.StartSTUN()
			bob := c.OutsidePhone(outsidePhone)
			pinhole := c.StartPinhole(provider, PinholeOptions{Place: OnRouter, Proto: v.proto, Listen: v.listen})
			alice := pinhole.Phone("alice", peer.UDP, phoneLAN, nil)
			c.register(alice)
			pinhole.mapped(provider, "alice")

			knocked := 0
			for _, ip := range []netip.Addr{routerWAN, routerLAN} {
				udp, tcp := c.ports(c.Router, "udp"), c.ports(c.Router, "tcp")
				if !slices.Contains(udp, 5060) || !slices.Contains(tcp, 5060) || len(udp) < 4 {
					t.Fatalf("pinhole has the ports %d, %d", udp, tcp)
				}
				for _, port := range append(udp, 5061) {
					knocked += c.knockUDP(netip.AddrPortFrom(ip, port))
				}
				for _, port := range append(tcp, 5061) {
					c.knockTCP(netip.AddrPortFrom(ip, port))
				}
			}
			// What was in Pinhole's queues before this is dealt with after it.
			c.register(alice)
			t.Logf("%d datagrams of a stranger; called: %s; calls out: %s", knocked, c.callIn(bob, alice), c.callOut(alice, bob))

			came := 0
			for _, pkt := range c.WAN.Packets() {
				if pkt.Src.Addr() == stranger {
					came++
				}
				if pkt.Dst.Addr() == stranger {
					t.Errorf("the stranger got %q from %v", pkt.Payload, pkt.Src)
				}
			}
			if came < knocked {
				t.Errorf("only %d of %d datagrams of the stranger reached the router", came, knocked)
			}
			c.assertNoLeaks(provider, "REGISTER", "INVITE", "ACK", "BYE")
		})
	}
}

// ports returns the ports of the sockets in a namespace: all of UDP, and of TCP
// those that listen or are the flow's.
func (c *Cell) ports(n *Netns, proto string) (all []uint16) {
	c.t.Helper()
	table, err := readProc(n, proto)
	c.must(err)
	for _, line := range table {
		_, port, _ := strings.Cut(line[1], ":")
		v, err := strconv.ParseUint(port, 16, 16)
		c.must(err)
		if !slices.Contains(all, uint16(v)) {
			all = append(all, uint16(v))
		}
	}
	return all
}

// readProc reads the fields of the lines of a namespace's socket table.
func readProc(n *Netns, proto string) (lines [][]string, err error) {
	var text []byte
	err = n.do(func() error {
		text, err = os.ReadFile("/proc/thread-self/net/" + proto)
		return err
	})
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 12 && f[0] != "sl" {
			lines = append(lines, f)
		}
	}
	return lines, err
}

// knocks are what a stranger says: SIP in several ways, keep-alives, STUN, RTP.
func knocks(to netip.AddrPort, proto string) []string {
	request := func(method, uri, contact string) string {
		return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/%s %v:5060;branch=z9hG4bK%s%d;rport\r\nMax-Forwards: 70\r\n"+
			"From: <sip:x@%s>;tag=1\r\nTo: <%s>\r\nCall-ID: knock-%s-%d\r\nCSeq: 1 %s\r\n%sContent-Length: 0\r\n\r\n",
			method, uri, proto, stranger, method, to.Port(), domain, uri, method, to.Port(), method, contact)
	}
	contact := fmt.Sprintf("Contact: <sip:x@%v:5060>\r\n", stranger)
	return []string{
		request("OPTIONS", "sip:"+to.String(), ""),
		request("OPTIONS", "sip:"+domain, ""),
		request("REGISTER", "sip:"+domain, contact),
		request("INVITE", "sip:alice@"+to.String(), contact),
		request("INVITE", "sip:bob@"+domain, contact),
		"OPTIONS broken\r\n\r\n",
		"\r\n\r\n",
		"\x00\x01\x00\x00\x21\x12\xa4\x42pinhole-lab!",
		"\x80\x00\x00\x01\x00\x00\x00\xa0\x01\x02\x03\x04" + strings.Repeat("\xd5", 160),
		"\x80\xc9\x00\x01\x01\x02\x03\x04",
	}
}

// knockUDP returns how many datagrams it sent.
func (c *Cell) knockUDP(to netip.AddrPort) (n int) {
	c.t.Helper()
	pc, err := hostNet{c.Internet}.ListenPacket(c.t.Context(), netip.AddrPortFrom(stranger, 0))
	c.must(err)
	c.onClose(pc.Close)
	for _, text := range knocks(to, "UDP") {
		_, err := pc.WriteToUDPAddrPort([]byte(text), to)
		c.must(err)
		n++
	}
	return n
}

// knockTCP connects, where that is possible, says all at once and waits for the
// end of the connection.
func (c *Cell) knockTCP(to netip.AddrPort) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	defer cancel()
	conn, err := hostNet{c.Internet}.Dial(ctx, netip.AddrPortFrom(stranger, 0), to)
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(strings.Join(knocks(to, "TCP"), ""))) // it may be over already
	c.must(conn.SetReadDeadline(time.Now().Add(patience)))
	got, err := io.ReadAll(conn)
	if len(got) > 0 {
		c.t.Errorf("%v told a stranger %q", to, got)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("%v keeps a stranger's connection open", to)
	}
}
