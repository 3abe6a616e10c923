package app_test

import (
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// Two phones on one account: both ring, one answers, the other is cancelled.
func TestTwoPhonesOneAccount(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		one := w.phone(w.phoneA, "alice", peer.UDP)
		two := w.phone(w.phoneB, "alice", peer.TCP)
		w.registered(one, "alice")
		w.registered(two, "alice")
		outside, err := w.prov.Call(w.ctx, "alice", peer.ToURI("sip:alice@"+wanRouter))
		w.must(err)
		first, err := one.Expect(w.within(5 * time.Second))
		w.must(err)
		second, err := two.Expect(w.within(5 * time.Second))
		w.must(err)
		w.must(first.Ring())
		w.must(second.Ring())
		w.must(outside.Rings(w.within(5 * time.Second)))
		w.must(second.Answer())
		w.must(outside.Answered(w.within(5 * time.Second)))
		w.must(first.Ended(w.within(5 * time.Second)))
		if by := first.EndedBy(); by == nil || by.Method() != "CANCEL" {
			t.Errorf("the other phone ended by %v", by)
		}
		w.heard(outside, second)
		w.must(outside.Hangup(w.ctx))
		w.must(second.Ended(w.within(5 * time.Second)))
		w.clean()
	})
}

// The provider forks to both aliases itself, with one Call-ID and From tag.
func TestProviderForks(t *testing.T) {
	live(t, plan{proto: peer.TLS}, func(w *world) {
		one, two := w.phone(w.phoneA, "alice", peer.UDP), w.phone(w.phoneB, "alice", peer.UDP)
		w.registered(one, "alice")
		w.registered(two, "alice")
		calls, err := w.prov.CallAll(w.ctx, "alice")
		w.must(err)
		if len(calls) != 2 {
			t.Fatalf("%d calls", len(calls))
		}
		first, err := one.Expect(w.within(5 * time.Second))
		w.must(err)
		second, err := two.Expect(w.within(5 * time.Second))
		w.must(err)
		w.must(first.Ring())
		w.must(second.Ring())
		w.must(second.Answer())
		w.must(first.Ended(w.within(5 * time.Second)))
		w.must(second.Confirmed(w.within(5 * time.Second)))
		for _, outside := range calls {
			if outside.Answered(w.within(5*time.Second)) == nil {
				w.heard(outside, second)
				w.must(outside.Hangup(w.ctx))
			}
		}
		w.must(second.Ended(w.within(5 * time.Second)))
	})
}

// Two accounts on one phone: each call arrives at its own.
func TestTwoAccountsOnePhone(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		bob := w.phone(w.phoneA, "bob", peer.UDP)
		w.registered(alice, "alice")
		w.registered(bob, "bob")
		for user, p := range map[string]*peer.Phone{"alice": alice, "bob": bob} {
			outside, inside := w.called(p, user)
			w.heard(outside, inside)
			w.must(inside.Hangup(w.ctx))
			w.must(outside.Ended(w.within(5 * time.Second)))
		}
	})
}

// A calls B through the provider, which sends the call back with the same
// Call-ID and tags.
func TestHairpin(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice, bob := w.phone(w.phoneA, "alice", peer.UDP), w.phone(w.phoneB, "bob", peer.TCP)
				w.registered(alice, "alice")
				w.registered(bob, "bob")
				out, err := alice.Call(w.ctx, "bob")
				w.must(err)
				in, err := bob.Expect(w.within(10 * time.Second))
				w.must(err)
				w.must(in.Ring())
				w.must(out.Rings(w.within(10 * time.Second)))
				w.must(in.Answer())
				w.must(out.Answered(w.within(10 * time.Second)))
				w.must(in.Confirmed(w.within(10 * time.Second)))
				w.heard(out, in)
				w.must(in.Hangup(w.ctx))
				w.must(out.Ended(w.within(5 * time.Second)))
				w.clean()
			})
		})
	}
}

// A phone without an instance id that connects again leaves no second alias.
func TestReconnectedPhoneHasOneAlias(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		p := w.phone(w.phoneA, "alice", peer.TCP)
		w.registered(p, "alice")
		for range 3 {
			w.must(p.Reconnect(w.ctx))
			w.registered(p, "alice")
		}
		if all := w.prov.Bindings("alice"); len(all) != 1 {
			t.Errorf("%d bindings at the provider", len(all))
		}
		outside, inside := w.called(p, "alice")
		w.heard(outside, inside)
	})
}

// What providers do to the Request-URI.
func TestRequestURIs(t *testing.T) {
	for name, row := range map[string]struct {
		opts   []peer.Option
		status int // 0: the phone rings
	}{
		"number":            {[]peer.Option{peer.ToNumber("+49301234567")}, 0},
		"number, national":  {[]peer.Option{peer.ToURI("sip:0301234567@" + wanRouter + ";user=phone")}, 0},
		"another host":      {[]peer.Option{peer.ToHost("sip.example.com")}, 0},
		"our private host":  {[]peer.Option{peer.ToHost(lanProxy + ":5060")}, 0},
		"parameters cut":    {[]peer.Option{peer.WithoutParams()}, 0},
		"address of record": {[]peer.Option{peer.ToAOR()}, 0},
		"nobody's number":   {[]peer.Option{peer.ToURI("sip:+4999@" + wanRouter), peer.WithTo("sip:+4999@" + domain)}, 404},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, plan{proto: peer.TCP, extra: "[upstream.main.alias]\n\"+49301234567\" = \"alice\"\n"}, func(w *world) {
				alice, bob := w.phone(w.phoneA, "alice", peer.UDP), w.phone(w.phoneB, "bob", peer.UDP)
				w.registered(alice, "alice")
				w.registered(bob, "bob")
				outside, err := w.prov.Call(w.ctx, "alice", row.opts...)
				w.must(err)
				if row.status != 0 {
					if err := outside.Answered(w.within(10 * time.Second)); peer.Status(err) != row.status {
						t.Errorf("%v, want %d", err, row.status)
					}
					return
				}
				inside, err := alice.Expect(w.within(10 * time.Second))
				w.must(err)
				w.must(inside.Answer())
				w.must(outside.Answered(w.within(10 * time.Second)))
				w.heard(outside, inside)
			})
		})
	}
}
