package app_test

import (
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// second is a phone of the second provider.
func second(c *peer.PhoneConfig) { c.Domain = domain2 }

// The right phone: the same user name at two upstreams. Each provider reaches
// its own phone, by any form of the Request-URI, and never the other's.
func TestSameUserAtTwoUpstreams(t *testing.T) {
	for name, where := range map[string]bool{"two phones": false, "one phone": true} {
		t.Run(name, func(t *testing.T) {
			live(t, plan{proto: peer.TLS, second: true}, func(w *world) {
				host := w.phoneB
				if where {
					host = w.phoneA
				}
				one, two := w.phone(w.phoneA, "alice", peer.UDP), w.phone(host, "alice", peer.UDP, second)
				_, err := one.Register(w.ctx)
				w.must(err)
				_, err = two.Register(w.ctx)
				w.must(err)
				for _, row := range []struct {
					prov  *peer.Provider
					phone *peer.Phone
					other *peer.Phone
				}{{w.prov, one, two}, {w.prov2, two, one}} {
					if n := len(row.prov.Bindings("alice")); n != 1 {
						t.Fatalf("%d bindings", n)
					}
					for _, opts := range [][]peer.Option{nil, {peer.WithoutParams()}, {peer.ToAOR()}, {peer.ToURI("sip:alice@" + wanRouter)}} {
						out, err := row.prov.Call(w.ctx, "alice", opts...)
						w.must(err)
						in, err := row.phone.Expect(w.within(5 * time.Second))
						w.must(err)
						w.must(in.Answer())
						w.must(out.Answered(w.within(5 * time.Second)))
						w.heard(in, out)
						w.over(in, out)
					}
					if n := len(row.other.Received("INVITE")); row.prov == w.prov && n != 0 {
						t.Errorf("the other phone got %d INVITEs", n)
					}
					near, err := row.phone.Call(w.ctx, "ring")
					w.must(err)
					far, err := row.prov.Expect(w.within(5 * time.Second))
					w.must(err)
					w.must(far.Answer())
					w.must(near.Answered(w.within(5 * time.Second)))
					w.heard(near, far)
					w.over(far, near)
				}
				bob := w.phone(w.phoneA, "bob", peer.UDP, second)
				_, err = bob.Register(w.ctx)
				w.must(err)
				// The alias of one upstream opens nothing at the other.
				uri := w.prov.Bindings("alice")[0].URI
				out, err := w.prov2.Call(w.ctx, "alice", peer.ToURI(strings.Replace(uri, "alice", "nobody", 1)), peer.WithTo("sip:nobody@"+domain2))
				w.must(err)
				if err := out.Answered(w.within(5 * time.Second)); peer.Status(err) != 404 {
					t.Errorf("a foreign alias: %v, want 404", err)
				}
				w.sleep(40 * time.Second)
				w.settled()
				w.clean()
			})
		})
	}
}

// One upstream is down: its phones hear so at once, those of the other notice
// nothing.
func TestOneUpstreamDown(t *testing.T) {
	live(t, plan{proto: peer.TCP, second: true}, func(w *world) {
		one, two := w.phone(w.phoneA, "alice", peer.UDP), w.phone(w.phoneB, "alice", peer.UDP, second)
		_, err := one.Register(w.ctx)
		w.must(err)
		_, err = two.Register(w.ctx)
		w.must(err)
		w.prov2.Stop(true)
		w.sleep(10 * time.Second)
		call, err := two.Call(w.ctx, "echo")
		w.must(err)
		if err := call.Answered(w.within(10 * time.Second)); peer.Status(err) != 503 {
			t.Errorf("%v, want 503", err)
		}
		if m := withStatus(two.Responses("INVITE"), 503); len(m) != 1 || m[0].Get("retry-after") != "" {
			t.Errorf("503 with Retry-After: a phone would stop calling")
		}
		outside, inside := w.called(one, "alice")
		w.over(outside, inside)
		w.must(w.prov2.Restart(false))
		w.sleep(2 * time.Minute)
		_, err = two.Register(w.ctx)
		w.must(err)
		out, err := w.prov2.Call(w.ctx, "alice")
		w.must(err)
		in, err := two.Expect(w.within(5 * time.Second))
		w.must(err)
		w.must(in.Answer())
		w.must(out.Answered(w.within(5 * time.Second)))
	})
}

// A phone without instance id that comes from another port leaves no second
// alias: with its Call-ID it is known by that, without by its address.
func TestPhoneComesFromAnotherPort(t *testing.T) {
	for _, lan := range []string{peer.UDP, peer.TCP} {
		t.Run(lan, func(t *testing.T) {
			live(t, plan{proto: peer.TCP}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", lan)
				old := w.registered(alice, "alice").URI
				for range 3 {
					w.must(alice.Reconnect(w.ctx))
					if now := w.registered(alice, "alice").URI; now != old {
						t.Errorf("alias %s became %s", old, now)
					}
				}
				if n := len(w.prov.Bindings("alice")); n != 1 {
					t.Errorf("%d bindings", n)
				}
				outside, inside := w.called(alice, "alice")
				w.heard(outside, inside)
			})
		})
	}
}

// A phone that starts again with another Call-ID, from its old address, takes
// its alias over; a second phone of the account at another address does not.
func TestPhoneStartsAgain(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		fixed := func(c *peer.PhoneConfig) { c.Contacts = []string{"<sip:alice@" + lanPhoneA + ":5060>"} }
		alice := w.phone(w.phoneA, "alice", peer.UDP, fixed)
		old := w.registered(alice, "alice").URI
		alice.Close()
		again := w.phone(w.phoneA, "alice", peer.UDP, fixed)
		if now := w.registered(again, "alice").URI; now != old || len(w.prov.Bindings("alice")) != 1 {
			t.Errorf("alias %s became %s, %d bindings", old, now, len(w.prov.Bindings("alice")))
		}
		other := w.phone(w.phoneB, "alice", peer.UDP)
		if now := w.registered(other, "alice").URI; now == old || len(w.prov.Bindings("alice")) != 2 {
			t.Errorf("the second phone: alias %s, %d bindings", now, len(w.prov.Bindings("alice")))
		}
	})
}

// Promise 6: the log says step by step how a call found its phone, or why none.
func TestDecisionLog(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		alice, bob := w.phone(w.phoneA, "alice", peer.UDP), w.phone(w.phoneB, "bob", peer.UDP)
		w.registered(alice, "alice")
		w.registered(bob, "bob")
		outside, inside := w.called(alice, "alice")
		w.over(outside, inside)
		if !strings.Contains(w.log.String(), `match="token in user alice: none; token in parameter `) {
			t.Error("no steps of the call that found its phone")
		}
		out, err := w.prov.Call(w.ctx, "alice", peer.ToURI("sip:+4999@"+wanRouter), peer.WithTo("sip:+4999@"+domain))
		w.must(err)
		if err := out.Answered(w.within(time.Second)); peer.Status(err) != 404 {
			t.Errorf("%v, want 404", err)
		}
		for _, want := range []string{"AOR user +4999: none", "To user +4999: none", "alias map +4999: none", "learned number +4999: none", "sole account: absent", "remedy="} {
			if !strings.Contains(w.log.String(), want) {
				t.Errorf("the log lacks %q", want)
			}
		}
	})
}

// a call to a phone whose connection is closed is answered at once.
func TestPhoneGone(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.TCP)
		w.registered(alice, "alice")
		alice.Flow().Close()
		w.sleep(100 * time.Millisecond)
		start := time.Now()
		out, err := w.prov.Call(w.ctx, "alice")
		w.must(err)
		if err := out.Answered(w.within(time.Minute)); peer.Status(err) != 480 || time.Since(start) > time.Second {
			t.Errorf("%v after %v, want 480 at once", err, time.Since(start))
		}
		if !strings.Contains(w.log.String(), "phone cannot be reached") {
			t.Error("nothing in the log")
		}
		w.sleep(40 * time.Second)
		w.settled()
	})
}

// P-31: calls go to the providers only, and inbound ones to phones only.
func TestNoOpenRelay(t *testing.T) {
	live(t, plan{proto: peer.TCP, second: true}, func(w *world) {
		raw := w.raw(w.phoneA, peer.UDP)
		foreign := strings.ReplaceAll(dialog("INVITE", "alice", "sip:bob@elsewhere.example.org", sdp), "@"+domain, "@elsewhere.example.org")
		m, err := raw.Exchange(w.within(time.Second), foreign)
		w.must(err)
		if m.Status() != 403 {
			t.Errorf("to a foreign domain: %s", m.Start())
		}
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		w.registered(alice, "alice")
		for _, uri := range []string{"sip:bob@elsewhere.example.org", "sip:carol@" + domain2, "sip:198.51.100.77"} {
			out, err := w.prov.Call(w.ctx, "alice", peer.ToURI(uri), peer.WithTo(uri))
			w.must(err)
			w.sleep(time.Second)
			if in := alice.Received("INVITE"); len(in) == 0 {
				if err := out.Answered(w.within(time.Second)); peer.Status(err) != 404 {
					t.Errorf("%s: %v", uri, err)
				}
			}
			w.must(out.Cancel(w.within(time.Second)))
		}
		if n := len(w.prov2.Received("INVITE")); n != 0 {
			t.Errorf("%d INVITEs went from one provider to the other", n)
		}
	})
}

// Two accounts of one phone over one socket, with one instance id and one
// Call-ID: they have their own aliases, and each call says for which it is.
func TestTwoAccountsOneSocket(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		p := w.raw(w.phoneA, peer.UDP)
		for _, user := range []string{"alice", "bob"} {
			text := strings.Replace(registerOf(user), "{proto}>", `{proto}>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"`, 1)
			m, err := p.Authorised(w.within(time.Second), text, user, map[string]string{"alice": "secret", "bob": "hunter2"}[user])
			w.must(err)
			if m.Status() != 200 {
				t.Fatal(m.Start())
			}
		}
		a, b := w.prov.Bindings("alice"), w.prov.Bindings("bob")
		if len(a) != 1 || len(b) != 1 || a[0].CallID == b[0].CallID || strings.Split(a[0].URI, ";b=")[1] == strings.Split(b[0].URI, ";b=")[1] {
			t.Fatalf("aliases %v and %v", a, b)
		}
		for i, user := range []string{"alice", "bob", "alice"} {
			_, err := w.prov.Call(w.ctx, user)
			w.must(err)
			m, err := p.WaitRequest(w.within(time.Second), "INVITE", i+1)
			w.must(err)
			if !strings.HasPrefix(m.URI(), "sip:"+user+"@"+lanPhoneA) {
				t.Errorf("a call for %s went to %s", user, m.URI())
			}
			w.must(p.Respond(m, 486, nil, ""))
		}
	})
}
