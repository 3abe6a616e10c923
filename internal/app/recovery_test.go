package app_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// The router gets another public address: a phone on a connection is told by its
// closing and comes back at once, without being asked; the provider is left with
// one alias of it, the new one.
func TestAddressChange(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.TCP, func(c *peer.PhoneConfig) { c.Refresh = true })
				bob := w.phone(w.phoneB, "bob", peer.UDP, func(c *peer.PhoneConfig) { c.Refresh = true })
				old := w.registered(alice, "alice").URI
				w.registered(bob, "bob")
				w.router.SetOutside("203.0.113.77")
				changed := time.Now()
				const noticed, udpLease = 40 * time.Second, 180 * time.Second
				w.moved("alice", "203.0.113.77", changed.Add(noticed+10*time.Second))
				t.Logf("alice: reachable again after %v", time.Since(changed))
				w.moved("bob", "203.0.113.77", changed.Add(noticed+udpLease))
				t.Logf("bob: reachable again after %v", time.Since(changed))
				if all := w.prov.Bindings("alice"); len(all) != 1 || all[0].URI == old {
					t.Errorf("the provider holds %d bindings of alice, the first %s", len(all), all[0].URI)
				}
				outside, inside := w.called(alice, "alice")
				w.heard(outside, inside)
				outside, inside = w.called(bob, "bob")
				w.heard(outside, inside)
			})
		})
	}
}

// moved waits until the provider holds a user's alias at an address.
func (w *world) moved(user, addr string, until time.Time) {
	w.t.Helper()
	for time.Now().Before(until) {
		for _, b := range w.prov.Bindings(user) {
			if strings.Contains(b.URI, addr) {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Fatalf("%s has not moved\nlog:\n%s", user, w.log)
}

// While the provider is away a known phone keeps a short lease, an unknown one is
// told to come again soon, and calls fail at once; afterwards all is well with no
// word from the phones.
func TestOutage(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		bob := w.phone(w.phoneB, "bob", peer.UDP)
		w.registered(alice, "alice")
		w.prov.Stop(true)
		time.Sleep(10 * time.Second)
		r, err := alice.Register(w.within(10 * time.Second))
		w.must(err)
		if r.Expires != 30*time.Second {
			t.Errorf("a known phone got a lease of %v", r.Expires)
		}
		_, err = bob.Register(w.within(10 * time.Second))
		if peer.Status(err) != 503 {
			t.Fatalf("an unknown phone got %v", err)
		}
		answers := bob.Responses("REGISTER")
		wait, err := strconv.Atoi(answers[len(answers)-1].Get("Retry-After"))
		if err != nil || wait < 1 || wait > 30 {
			t.Errorf("Retry-After %q", answers[len(answers)-1].Get("Retry-After"))
		}
		start := time.Now()
		call, err := alice.Call(w.ctx, "echo")
		w.must(err)
		if err := call.Answered(w.within(10 * time.Second)); peer.Status(err) != 503 || time.Since(start) > time.Second {
			t.Errorf("a call in an outage: %v after %v", err, time.Since(start))
		}
		w.must(w.prov.Restart(false))
		_, err = w.prov.WaitRequest(w.within(5*time.Minute), "OPTIONS", 2)
		w.must(err)
		outside, inside := w.called(alice, "alice")
		w.heard(outside, inside)
	})
}

// Many phones lost at once come back at the rate, not all together; those that
// must wait are told to come again soon instead of being refused.
func TestRate(t *testing.T) {
	const phones, rate = 40, 5
	live(t, plan{proto: peer.UDP, extra: "[register]\nrate = 5\nlan_expires = \"60s\"\n", prov: func(c *peer.ProviderConfig) {
		for i := range phones {
			c.Users["u"+strconv.Itoa(i)] = "x"
		}
	}}, func(w *world) {
		var all []*peer.Phone
		for i := range phones {
			p := w.phone(w.phoneA, "u"+strconv.Itoa(i), peer.UDP, func(c *peer.PhoneConfig) { c.Password = "x"; c.FreshAuth = true })
			w.registered(p, "u"+strconv.Itoa(i))
			all = append(all, p)
		}
		w.router.SetOutside("203.0.113.77")
		time.Sleep(time.Minute)
		before := len(w.prov.Received("REGISTER"))
		waiting := 0
		for _, p := range all {
			r, err := p.Register(w.within(10 * time.Second))
			w.must(err)
			if r.Expires == 30*time.Second {
				waiting++
			}
		}
		if sent := (len(w.prov.Received("REGISTER")) - before) / 2; sent > rate+1 || waiting != phones-sent {
			t.Errorf("%d went up at once, %d were told to wait", sent, waiting)
		}
	})
}
