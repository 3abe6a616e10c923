package flow

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
)

// TestNoKeepAlive: for an hour an idle flow sends nothing, though the provider
// answers pings and asks for them.
func TestNoKeepAlive(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		inWorld(t, keeps, func(t *testing.T, w *world) {
			s := w.serve(one+":5060", nil, true)
			cfg := plain
			cfg.Port, cfg.Pong, cfg.NoKeepAlive = 5060, true, true
			w.run(cfg)
			w.at(Up, 0)
			conn := s.accepted()
			w.flow.PromisePong(1)
			w.flow.SetKeepAlive(1, time.Minute)
			w.flow.SetNAT(1, true)
			w.none(time.Hour)
			if at := conn.pinged(); len(at) > 0 {
				t.Errorf("%d pings, the first at %v", len(at), at[0])
			}
		})
	})
	t.Run("udp", func(t *testing.T) {
		inWorld(t, memnet.NAT{}, func(t *testing.T, w *world) {
			w.udp(w.provider, one+":5060", func(transport.PacketConn, []byte, netip.AddrPort) {})
			asked := 0
			w.udp(w.others, stun1, func(transport.PacketConn, []byte, netip.AddrPort) { asked++ })
			w.run(Config{Server: one, Transport: "udp", STUN: []string{stun1}, NoKeepAlive: true})
			w.at(Up, 0)
			w.flow.SetKeepAlive(1, time.Minute)
			w.none(time.Hour)
			synctest.Wait()
			if asked == 0 || asked > 5 { // one round, with its repeats
				t.Errorf("the STUN server was asked %d times", asked)
			}
		})
	})
}
