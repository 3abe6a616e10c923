package peer_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v2"
	"github.com/pion/turn/v3"

	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

// The server tells a client behind a NAT its mapped address, over UDP and TCP,
// and relays for a user.
func TestSTUN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		t.Cleanup(n.Close)
		wan := n.Segment("wan", netip.MustParsePrefix("203.0.113.0/24"))
		isp, home := wan.Host("203.0.113.5"), wan.Host("203.0.113.10")
		s, err := peer.NewTURN(isp, netip.MustParseAddrPort("203.0.113.5:3478"), "test", map[string]string{"u": "p"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		udp, err := home.ListenPacket(ctx, netip.MustParseAddrPort("203.0.113.10:4000"))
		if err != nil {
			t.Fatal(err)
		}
		ask := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
		if _, err := udp.WriteToUDPAddrPort(ask.Raw, s.Addr()); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1500)
		size, _, err := udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatal(err)
		}
		wantMapped(t, buf[:size], "203.0.113.10:4000")

		tcp, err := home.Dial(ctx, netip.MustParseAddrPort("203.0.113.10:4001"), s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tcp.Write(ask.Raw); err != nil {
			t.Fatal(err)
		}
		if size, err = tcp.Read(buf); err != nil {
			t.Fatal(err)
		}
		wantMapped(t, buf[:size], "203.0.113.10:4001")
		relayed(t, s, udp)
	})
}

func wantMapped(t *testing.T, b []byte, want string) {
	t.Helper()
	m := &stun.Message{Raw: b}
	var mapped stun.XORMappedAddress
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	if err := mapped.GetFrom(m); err != nil || mapped.String() != want {
		t.Errorf("mapped %v, want %s (%v)", mapped, want, err)
	}
}

// relayed asks for a relayed address over udp.
func relayed(t *testing.T, s *peer.STUN, udp net.PacketConn) {
	t.Helper()
	c, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: s.Addr().String(), Conn: udp, Username: "u", Password: "p", Realm: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	defer c.Close()
	relay, err := c.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	if s.Allocations() != 1 {
		t.Errorf("%d allocations", s.Allocations())
	}
	if err := relay.Close(); err != nil {
		t.Error(err)
	}
}
