package memnet

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestMapping: what remotes see of one socket (RFC 4787 §4.1).
func TestMapping(t *testing.T) {
	for _, c := range []struct {
		name             string
		nat              NAT
		sameIP, sameHost bool // does the other port, the other address see the same port?
	}{
		{"endpoint-independent", NAT{}, true, true},
		{"endpoint-independent, preserving", NAT{PreservePort: true}, true, true},
		{"address-dependent", NAT{Mapping: AddressDependent}, true, false},
		{"address- and port-dependent", NAT{Mapping: AddressAndPortDependent}, false, false},
		{"linux masquerade", NAT{Mapping: AddressAndPortDependent, PreservePort: true, Overload: true}, true, true},
		{"linux masquerade random", NAT{Mapping: AddressAndPortDependent, Overload: true}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, c.nat, func(w *world) {
				a := w.udp(w.phone, "192.168.1.10:5060")
				b1, b2, b3 := w.udp(w.provider, "198.51.100.10:1000"), w.udp(w.provider, "198.51.100.10:2000"), w.udp(w.provider, "198.51.100.11:1000")
				first := w.seen(a, b1, "198.51.100.10:1000")
				if got := w.seen(a, b2, "198.51.100.10:2000") == first; got != c.sameIP {
					t.Errorf("other port sees the same: %t", got)
				}
				if got := w.seen(a, b3, "198.51.100.11:1000") == first; got != c.sameHost {
					t.Errorf("other address sees the same: %t", got)
				}
				w.want("again", w.seen(a, b1, "198.51.100.10:1000"), first)
				if got := ap(first).Port() == 5060; got != c.nat.PreservePort {
					t.Errorf("port preserved: %t (%s)", got, first)
				}
				if m, ok := w.nat.Mapped(false, ap("192.168.1.10:5060"), ap("198.51.100.10:1000")); !ok || m.String() != first {
					t.Errorf("Mapped is %v, %t", m, ok)
				}
			})
		})
	}
}

// TestFiltering: who gets in once a socket has sent to 198.51.100.10:1000
// (RFC 4787 §5).
func TestFiltering(t *testing.T) {
	for _, c := range []struct {
		name               string
		filtering          Behaviour
		otherPort, another bool
	}{
		{"endpoint-independent", EndpointIndependent, true, true},
		{"address-dependent", AddressDependent, true, false},
		{"address- and port-dependent", AddressAndPortDependent, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, NAT{Filtering: c.filtering}, func(w *world) {
				a := w.udp(w.phone, "192.168.1.10:5060")
				b1, b2, b3 := w.udp(w.provider, "198.51.100.10:1000"), w.udp(w.provider, "198.51.100.10:2000"), w.udp(w.provider, "198.51.100.11:1000")
				outside := w.seen(a, b1, "198.51.100.10:1000")
				in := func(what, from string, got string, ok bool) {
					t.Helper()
					if !ok {
						from = "nothing"
					}
					w.want(what, got, from)
				}
				in("same port", "198.51.100.10:1000", w.seen(b1, a, outside), true)
				in("other port", "198.51.100.10:2000", w.seen(b2, a, outside), c.otherPort)
				in("other address", "198.51.100.11:1000", w.seen(b3, a, outside), c.another)
			})
		})
	}
}

// TestLifetime: a UDP mapping ends UDPTimeout after the last datagram that
// counts, and not before.
func TestLifetime(t *testing.T) {
	for _, c := range []struct {
		name    string
		nat     NAT
		wait    time.Duration
		inbound time.Duration // the provider sends that long after the phone; 0: it does not
		reaches bool
	}{
		{"in time", NAT{UDPTimeout: 30 * time.Second}, 30*time.Second - 1, 0, true},
		{"too late", NAT{UDPTimeout: 30 * time.Second}, 30 * time.Second, 0, false},
		{"default", NAT{}, 120*time.Second - 1, 0, true},
		{"default, too late", NAT{}, 120 * time.Second, 0, false},
		{"inbound refreshes", NAT{UDPTimeout: 30 * time.Second, RefreshInbound: true}, 50 * time.Second, 25 * time.Second, true},
		{"inbound does not", NAT{UDPTimeout: 30 * time.Second}, 50 * time.Second, 25 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.nat.PreservePort = true
			inWorld(t, c.nat, func(w *world) {
				a, b := w.udp(w.phone, "192.168.1.10:5060"), w.udp(w.provider, "198.51.100.10:1000")
				outside := w.seen(a, b, "198.51.100.10:1000")
				sent := time.Now()
				if c.inbound > 0 {
					time.Sleep(c.inbound)
					w.want("meanwhile", w.seen(b, a, outside), "198.51.100.10:1000")
				}
				time.Sleep(c.wait - time.Since(sent))
				want := "nothing"
				if c.reaches {
					want = "198.51.100.10:1000"
				}
				w.want("in the end", w.seen(b, a, outside), want)
			})
		})
	}
}

// TestPortTaken: of two hosts with the same source port, the second gets
// another one; a port that is free towards a remote serves both where the NAT
// overloads.
func TestPortTaken(t *testing.T) {
	for _, c := range []struct {
		name string
		nat  NAT
		same bool // towards different remotes
	}{
		{"one mapping a port", NAT{PreservePort: true}, false},
		{"overload", NAT{PreservePort: true, Mapping: AddressAndPortDependent, Overload: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, c.nat, func(w *world) {
				other := w.lan.Host("192.168.1.11")
				a1, a2 := w.udp(w.phone, "192.168.1.10:5060"), w.udp(other, "192.168.1.11:5060")
				b, b2 := w.udp(w.provider, "198.51.100.10:1000"), w.udp(w.provider, "198.51.100.11:1000")
				w.want("first", w.seen(a1, b, "198.51.100.10:1000"), "203.0.113.2:5060")
				if got := w.seen(a2, b, "198.51.100.10:1000"); got == "203.0.113.2:5060" || got == "nothing" {
					t.Errorf("second, same remote: %s", got)
				}
				if got := w.seen(a2, b2, "198.51.100.11:1000") == "203.0.113.2:5060"; got != c.same {
					t.Errorf("second, other remote, has the port: %t", got)
				}
				w.want("answer to the first", w.seen(b, a1, "203.0.113.2:5060"), "198.51.100.10:1000")
			})
		})
	}
}

func TestStateLoss(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(w *world)
		want string // what the provider sees afterwards; "other": another port
	}{
		{"flush", func(w *world) { w.nat.Flush() }, "203.0.113.2:5060"},
		{"rebind", func(w *world) { w.nat.Rebind() }, "other"},
		{"address", func(w *world) { w.nat.SetOutside("203.0.113.99") }, "203.0.113.99:5060"},
		{"block", func(w *world) { w.nat.Block(true) }, "nothing"},
		{"block and unblock", func(w *world) { w.nat.Block(true); w.nat.Block(false) }, "203.0.113.2:5060"},
		{"cable", func(w *world) { w.phone.Down() }, "nothing"},
		{"cable in again", func(w *world) { w.phone.Down(); w.phone.Up() }, "203.0.113.2:5060"},
		{"total loss", func(w *world) { w.wan.Loss(1) }, "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, NAT{PreservePort: true}, func(w *world) {
				a, b := w.udp(w.phone, "192.168.1.10:5060"), w.udp(w.provider, "198.51.100.10:1000")
				w.want("before", w.seen(a, b, "198.51.100.10:1000"), "203.0.113.2:5060")
				c.lose(w)
				if got := w.seen(b, a, "203.0.113.2:5060"); got != "nothing" && c.name != "block and unblock" && c.name != "cable in again" {
					t.Errorf("provider first: seen by the phone from %s", got)
				}
				got := w.seen(a, b, "198.51.100.10:1000")
				if c.want == "other" {
					if got == "nothing" || got == "203.0.113.2:5060" {
						t.Errorf("after: %s", got)
					}
					return
				}
				w.want("after", got, c.want)
			})
		})
	}
}

// TestForward: a forwarded range reaches its host unasked, and is its source
// range on the way out even where ports are not preserved.
func TestForward(t *testing.T) {
	inWorld(t, NAT{Filtering: AddressAndPortDependent, Forwards: []Forward{{From: 20000, To: 20009, Host: "192.168.1.10"}}}, func(w *world) {
		a, b := w.udp(w.phone, "192.168.1.10:20004"), w.udp(w.provider, "198.51.100.10:1000")
		w.want("unasked", w.seen(b, a, "203.0.113.2:20004"), "198.51.100.10:1000")
		w.want("answer", w.seen(a, b, "198.51.100.10:1000"), "203.0.113.2:20004")
		w.want("outside the range", w.seen(b, a, "203.0.113.2:20010"), "nothing")
		c := w.udp(w.provider, "198.51.100.11:1000")
		w.want("to another", w.seen(a, c, "198.51.100.11:1000"), "203.0.113.2:20004")
	})
}

// TestInputAccept: a datagram that comes before ours takes the port, so that
// ours leaves from another one; punching first keeps it.
func TestInputAccept(t *testing.T) {
	linux := NAT{
		Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent,
		PreservePort: true, Overload: true, RefreshInbound: true, InputAccept: true,
	}
	for _, c := range []struct {
		name  string
		punch bool
		want  bool
	}{
		{"they first", false, false},
		{"we first", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, linux, func(w *world) {
				a, b := w.udp(w.phone, "192.168.1.10:20000"), w.udp(w.provider, "198.51.100.10:1000")
				if c.punch {
					w.send(a, "198.51.100.10:1000", "punch")
					w.arrived(b)
				}
				w.send(b, "203.0.113.2:20000", "audio")
				if got := w.seen(a, b, "198.51.100.10:1000") == "203.0.113.2:20000"; got != c.want {
					t.Errorf("port kept: %t", got)
				}
			})
		})
	}
}

func TestHairpin(t *testing.T) {
	for _, on := range []bool{false, true} {
		t.Run(map[bool]string{false: "off", true: "on"}[on], func(t *testing.T) {
			inWorld(t, NAT{PreservePort: true, Hairpin: on}, func(w *world) {
				a, c, b := w.udp(w.phone, "192.168.1.10:5060"), w.udp(w.lan.Host("192.168.1.11"), "192.168.1.11:7000"), w.udp(w.provider, "198.51.100.10:1000")
				w.seen(a, b, "198.51.100.10:1000")
				want := "nothing"
				if on {
					want = "203.0.113.2:7000"
				}
				w.want("inside to outside address", w.seen(c, a, "203.0.113.2:5060"), want)
			})
		})
	}
}

// TestDoubleNAT: the provider sees the outermost address, and either NAT can
// lose its state.
func TestDoubleNAT(t *testing.T) {
	inWorld(t, NAT{PreservePort: true}, func(w *world) {
		inner := w.net.Segment("inner", netip.MustParsePrefix("10.0.0.0/24"))
		n2 := w.net.NAT(NAT{Inside: inner, InsideAddr: "10.0.0.1", Outside: w.lan, OutsideAddr: "192.168.1.2", PreservePort: true})
		a, b := w.udp(inner.Host("10.0.0.10"), "10.0.0.10:5060"), w.udp(w.provider, "198.51.100.10:1000")
		w.want("out", w.seen(a, b, "198.51.100.10:1000"), "203.0.113.2:5060")
		w.want("in", w.seen(b, a, "203.0.113.2:5060"), "198.51.100.10:1000")
		n2.Flush()
		w.want("in after the inner lost its state", w.seen(b, a, "203.0.113.2:5060"), "nothing")
	})
}

// TestIPv6: the other family is routed, not translated.
func TestIPv6(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		a, b := w.udp(w.phone, "[2001:db8:1::10]:5060"), w.udp(w.provider, "[2001:db8:2::10]:5060")
		w.want("out", w.seen(a, b, "[2001:db8:2::10]:5060"), "[2001:db8:1::10]:5060")
		w.want("in", w.seen(b, a, "[2001:db8:1::10]:5060"), "[2001:db8:2::10]:5060")
	})
}

// TestSeedRepeats: the same seed loses the same packets, another one others.
func TestSeedRepeats(t *testing.T) {
	run := func(seed uint64) string {
		got := ""
		synctest.Test(t, func(t *testing.T) {
			n := New(seed)
			defer n.Close()
			s := n.Segment("wan")
			s.Loss(0.3)
			s.Reorder(0.2, 10*time.Millisecond)
			s.Jitter(5 * time.Millisecond)
			w := &world{t: t, net: n}
			a, b := w.udp(s.Host("192.0.2.1"), "192.0.2.1:1"), w.udp(s.Host("192.0.2.2"), "192.0.2.2:1")
			for i := range 64 {
				w.send(a, "192.0.2.2:1", string(rune('0'+i)))
			}
			time.Sleep(time.Second)
			for {
				from, text := w.arrived(b)
				if from == "nothing" {
					return
				}
				got += text
			}
		})
		return got
	}
	a, again, b := run(1), run(1), run(2)
	if a != again {
		t.Errorf("seed 1 gave\n%s, then\n%s", a, again)
	}
	if a == b {
		t.Errorf("seeds 1 and 2 both gave %s", a)
	}
	if len(a) < 30 || len(a) > 60 {
		t.Errorf("%d of 64 arrived", len(a))
	}
}

// TestDelay: to the instant.
func TestDelay(t *testing.T) {
	inWorld(t, NAT{}, func(w *world) {
		w.wan.Delay(40 * time.Millisecond)
		w.lan.Delay(2 * time.Millisecond)
		a, b := w.udp(w.phone, "192.168.1.10:5060"), w.udp(w.provider, "198.51.100.10:1000")
		start := time.Now()
		w.send(a, "198.51.100.10:1000", "hello")
		buf := make([]byte, 10)
		if _, _, err := b.ReadFromUDPAddrPort(buf); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 42*time.Millisecond {
			t.Errorf("took %v", d)
		}
	})
}

// TestTapAndFilter: a tap sees each segment's own addresses, and what was
// lost; a filter drops.
func TestTapAndFilter(t *testing.T) {
	inWorld(t, NAT{PreservePort: true}, func(w *world) {
		var inside, outside []Packet
		w.lan.Tap(func(p Packet) { inside = append(inside, p) })
		w.wan.Tap(func(p Packet) { outside = append(outside, p) })
		w.wan.Filter(func(p Packet) bool { return string(p.Payload) != "secret" })
		a, b := w.udp(w.phone, "192.168.1.10:5060"), w.udp(w.provider, "198.51.100.10:1000")
		w.want("open", w.seen(a, b, "198.51.100.10:1000"), "203.0.113.2:5060")
		w.send(a, "198.51.100.10:1000", "secret")
		from, _ := w.arrived(b)
		w.want("filtered", from, "nothing")
		if len(inside) != 2 || len(outside) != 2 {
			t.Fatalf("%d packets inside, %d outside", len(inside), len(outside))
		}
		w.want("inside", inside[0].Src.String(), "192.168.1.10:5060")
		w.want("outside", outside[0].Src.String(), "203.0.113.2:5060")
		if outside[0].Lost || !outside[1].Lost || string(outside[1].Payload) != "secret" {
			t.Errorf("outside: %+v", outside)
		}
	})
}
