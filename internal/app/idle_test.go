package app_test

import (
	"fmt"
	"testing"
	"time"

	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

// strict is a NAT that forgets soon, and lets nobody in whom it does not know.
func strict(n *memnet.NAT) {
	n.UDPTimeout, n.TCPTimeout = 35*time.Second, time.Minute
	n.Filtering = memnet.AddressAndPortDependent
}

// Ten minutes and more of idling behind a NAT that forgets after 35 s (UDP) and
// 60 s (TCP): the phone is called and calls, and the provider has seen one flow
// all the time.
func TestIdle(t *testing.T) {
	for _, proto := range transports {
		for name, quirk := range map[string]func(*peer.ProviderConfig){
			"":             func(*peer.ProviderConfig) {},
			" no pongs":    func(c *peer.ProviderConfig) { c.Quirks.Pong = peer.PongNone },
			" double pong": func(c *peer.ProviderConfig) { c.Quirks.Pong = peer.PongDouble },
			" bare Via":    func(c *peer.ProviderConfig) { c.Quirks.PlainVia = true },
			" no OPTIONS":  func(c *peer.ProviderConfig) { c.Quirks.Refuse = map[string]int{"OPTIONS": 405} },
		} {
			for _, d := range []time.Duration{75 * time.Second, 11 * time.Minute, 5 * time.Hour} {
				if d > time.Hour && name != "" {
					continue
				}
				t.Run(fmt.Sprint(proto, name, " ", d), func(t *testing.T) {
					live(t, plan{proto: proto, nat: strict, prov: quirk}, func(w *world) {
						alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.Refresh = true })
						was := w.registered(alice, "alice").Flow.Remote()
						w.sleep(d)
						far, near := w.called(alice, "alice")
						w.heard(far, near)
						w.over(near, far)
						near, far = w.answered(alice, "ring")
						w.heard(near, far)
						w.over(far, near)
						all := w.prov.Bindings("alice")
						if len(all) != 1 || all[0].Flow.Remote() != was {
							t.Errorf("%d bindings, now from %s, was %s", len(all), all[0].Flow.Remote(), was)
						}
						w.sleep(40 * time.Second)
						w.settled()
					})
				})
			}
		}
	}
}

// The control: without keep-alives, which the way to the provider swallows here,
// the same NAT loses the call.
func TestIdleWithoutKeepAlive(t *testing.T) {
	live(t, plan{proto: peer.UDP, nat: strict}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		w.registered(alice, "alice")
		w.lan.Filter(func(p memnet.Packet) bool {
			return p.Src.Addr().String() != lanProxy || p.Dst.Addr().String() == lanPhoneA
		})
		w.sleep(75 * time.Second)
		if _, err := w.prov.Call(w.ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if _, err := alice.Expect(w.within(40 * time.Second)); err == nil {
			t.Error("the call arrived: the NAT forgets nothing")
		}
	})
}
