package peer_test

import (
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// Two registered phones on one account.
func two(w *world, proto string) (a, b *peer.Phone) {
	a, b = w.phone(0, "alice", proto), w.phone(1, "alice", proto)
	w.registered(a)
	w.registered(b)
	return a, b
}

// A calls B through the proxy and both hear each other.
func TestProxiedCall(t *testing.T) {
	for _, proto := range []string{peer.UDP, peer.TCP} {
		t.Run(proto, func(t *testing.T) {
			inMemory(t, peer.ProviderConfig{}, func(w *world) {
				alice, bob := w.phone(0, "alice", proto), w.phone(1, "bob", peer.UDP)
				w.registered(alice)
				w.registered(bob)
				a, err := alice.Call(w.ctx, "bob")
				w.must("call", err)
				b := w.expect(bob)
				w.must("ring", b.Ring())
				w.must("rings", a.Rings(w.ctx))
				w.must("answer", b.Answer())
				w.must("answered", a.Answered(w.ctx))
				w.must("confirmed", b.Confirmed(w.ctx))
				if a.CallID() != b.CallID() {
					t.Errorf("Call-IDs differ: %s, %s", a.CallID(), b.CallID())
				}
				w.audio(a, b)
				w.must("hold", b.Hold(w.ctx))
				w.must("resume", b.Resume(w.ctx))
				for _, method := range []string{"INFO", "MESSAGE", "UPDATE", "OPTIONS"} {
					_, err = a.Request(w.ctx, method, nil, "")
					w.must(method, err)
				}
				w.must("hangup", b.Hangup(w.ctx))
				w.must("ended", a.Ended(w.ctx))
			})
		})
	}
}

// On hold, the other side is silent.
func TestHold(t *testing.T) {
	inMemory(t, peer.ProviderConfig{Numbers: map[string]peer.Answer{"100": peer.AnswerNow}}, func(w *world) {
		a, err := w.phone(0, "alice", peer.UDP).Call(w.ctx, "100")
		w.must("call", err)
		w.must("answered", a.Answered(w.ctx))
		b := w.expect(w.prov)
		w.must("hold", a.Hold(w.ctx))
		got, err := a.Audio(w.ctx, time.Second, b)
		w.must("audio", err)
		if got.In.Sent != 0 || got.Out.Fraction() != 1 {
			t.Errorf("on hold: %+v", got)
		}
		w.must("resume", a.Resume(w.ctx))
		w.audio(a, b)
	})
}

// What an outgoing call can come to.
func TestNumbers(t *testing.T) {
	numbers := map[string]peer.Answer{
		"1": peer.AnswerEcho, "2": peer.AnswerBusy, "3": peer.AnswerLate, "4": peer.AnswerEarly, "5": peer.AnswerRings,
	}
	inMemory(t, peer.ProviderConfig{Numbers: numbers}, func(w *world) {
		alice := w.phone(0, "alice", peer.TCP)
		call := func(number string) *peer.Call {
			c, err := alice.Call(w.ctx, number)
			w.must("call", err)
			return c
		}
		echo := call("1")
		w.must("answered", echo.Answered(w.ctx))
		got, err := echo.Audio(w.ctx, time.Second, nil)
		w.must("audio", err)
		if !got.OK() || got.Out.First < 0 {
			t.Errorf("echo: %+v", got)
		}
		if err := call("2").Answered(w.ctx); peer.Status(err) != 486 {
			t.Errorf("busy: %v", err)
		}
		if err := call("9").Answered(w.ctx); peer.Status(err) != 404 {
			t.Errorf("nobody: %v", err)
		}
		late := call("3")
		w.must("rings", late.Rings(w.ctx))
		w.must("answered", late.Answered(w.ctx))
		w.must("hangup", late.Hangup(w.ctx))
		early := call("4")
		w.must("rings", early.Rings(w.ctx))
		early.Media().Talk(true)
		_, err = early.Media().WaitHeard(w.ctx, early.Media(), time.Time{})
		w.must("early audio", err)
		w.must("answered", early.Answered(w.ctx))
		gone := call("5")
		w.must("rings", gone.Rings(w.ctx))
		w.must("cancel", gone.Hangup(w.ctx))
		if err := gone.Answered(w.ctx); peer.Status(err) != 487 {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// The phone rejects, or the caller gives up.
func TestInboundEnds(t *testing.T) {
	inMemory(t, peer.ProviderConfig{}, func(w *world) {
		alice := w.phone(0, "alice", peer.UDP)
		w.registered(alice)
		in, err := w.prov.Call(w.ctx, "alice")
		w.must("call", err)
		w.must("reject", w.expect(alice).Reject(486))
		if err := in.Answered(w.ctx); peer.Status(err) != 486 {
			t.Errorf("rejected: %v", err)
		}
		in, err = w.prov.Call(w.ctx, "alice", peer.ToNumber("+4930123456"), peer.WithoutParams())
		w.must("call", err)
		c := w.expect(alice)
		if want := "sip:+4930123456@" + alice.Flow().Local().String(); c.Invite().URI() != want {
			t.Errorf("called %q, want %q", c.Invite().URI(), want)
		}
		w.must("ring", c.Ring())
		w.must("rings", in.Rings(w.ctx))
		w.must("cancel", in.Cancel(w.ctx))
		w.must("ended", c.Ended(w.ctx))
		if c.EndedBy() == nil || c.EndedBy().Method() != "CANCEL" {
			t.Errorf("ended by %v", c.EndedBy())
		}
		if err := in.Answered(w.ctx); peer.Status(err) != 487 {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// A provider forks with one Call-ID: one phone answers, the other is cancelled.
func TestFork(t *testing.T) {
	inMemory(t, peer.ProviderConfig{}, func(w *world) {
		a, b := two(w, peer.TCP)
		calls, err := w.prov.CallAll(w.ctx, "alice")
		w.must("call", err)
		atA, atB := w.expect(a), w.expect(b)
		if atA.CallID() != atB.CallID() {
			t.Errorf("two Call-IDs")
		}
		w.must("ring", atA.Ring())
		w.must("ring", atB.Ring())
		w.must("rings", calls[0].Rings(w.ctx))
		w.must("rings", calls[1].Rings(w.ctx))
		w.must("answer", atB.Answer())
		w.must("answered", calls[1].Answered(w.ctx))
		w.must("ended", atA.Ended(w.ctx))
		w.audio(calls[1], atB)
		w.must("hangup", atB.Hangup(w.ctx))
		w.must("ended", calls[1].Ended(w.ctx))
	})
}

// A proxied call is forked to all bindings of the account too; the caller may
// give up, or all may refuse.
func TestProxiedFork(t *testing.T) {
	inMemory(t, peer.ProviderConfig{}, func(w *world) {
		a, b := two(w, peer.UDP)
		bob := w.phone(1, "bob", peer.UDP)
		out, err := bob.Call(w.ctx, "alice")
		w.must("call", err)
		atA, atB := w.expect(a), w.expect(b)
		w.must("ring", atA.Ring())
		w.must("rings", out.Rings(w.ctx))
		w.must("answer", atA.Answer())
		w.must("answered", out.Answered(w.ctx))
		w.must("ended", atB.Ended(w.ctx))
		w.audio(out, atA)
		w.must("hangup", out.Hangup(w.ctx))

		out, err = bob.Call(w.ctx, "alice")
		w.must("call", err)
		atA, atB = w.expect(a), w.expect(b)
		w.must("ring", atB.Ring())
		w.must("rings", out.Rings(w.ctx))
		w.must("cancel", out.Cancel(w.ctx))
		w.must("ended", atA.Ended(w.ctx))
		w.must("ended", atB.Ended(w.ctx))
		if err := out.Answered(w.ctx); peer.Status(err) != 487 {
			t.Errorf("cancelled: %v", err)
		}

		out, err = bob.Call(w.ctx, "alice")
		w.must("call", err)
		w.must("reject", w.expect(a).Reject(486))
		w.must("reject", w.expect(b).Reject(603))
		if err := out.Answered(w.ctx); peer.Status(err) != 603 {
			t.Errorf("refused: %v", err)
		}
	})
}

// Other methods pass outside a dialog, both ways.
func TestOtherMethods(t *testing.T) {
	inMemory(t, peer.ProviderConfig{Numbers: map[string]peer.Answer{"100": peer.AnswerNow}}, func(w *world) {
		alice := w.phone(0, "alice", peer.TCP)
		w.registered(alice)
		for _, method := range []string{"MESSAGE", "SUBSCRIBE", "PUBLISH"} {
			_, err := alice.Request(w.ctx, method, "100", []string{"Event: presence"}, "")
			w.must(method, err)
		}
		_, err := alice.Request(w.ctx, "MESSAGE", "alice", []string{"Content-Type: text/plain"}, "to myself")
		w.must("MESSAGE", err)
		for _, method := range []string{"OPTIONS", "NOTIFY", "MESSAGE"} {
			_, err := w.prov.Request(w.ctx, method, "alice", nil, "")
			w.must(method, err)
		}
		if _, err := alice.Request(w.ctx, "NEWMETHOD", "100", nil, ""); peer.Status(err) != 501 {
			t.Errorf("unknown method: %v", err)
		}
	})
}

// The control: a provider that routes by the Contact's address does not reach a
// phone whose Contact is not where it is.
func TestByURI(t *testing.T) {
	inMemory(t, peer.ProviderConfig{Quirks: peer.Quirks{ByURI: true}}, func(w *world) {
		alice := w.phone(0, "alice", peer.TCP, func(c *peer.PhoneConfig) { c.ContactURI = "sip:{user}@192.168.1.9;transport=tcp" })
		w.registered(alice)
		if _, err := w.prov.Call(w.ctx, "alice"); err == nil {
			t.Error("reached a private Contact over TCP")
		}
		bob := w.phone(1, "bob", peer.UDP, func(c *peer.PhoneConfig) { c.ContactURI = "sip:{user}@192.168.1.9" })
		w.registered(bob)
		if c, err := w.prov.Call(w.ctx, "bob"); err == nil && c.Answered(w.ctx) == nil {
			t.Error("reached a private Contact over UDP")
		}
		good := w.phone(1, "bob", peer.TCP)
		w.registered(good)
		if _, err := w.prov.Call(w.ctx, "bob"); err != nil {
			t.Errorf("did not reach an honest Contact: %v", err)
		}
		w.expect(good)
	})
}
