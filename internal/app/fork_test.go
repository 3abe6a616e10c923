package app_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// P-20: of the answers of two phones the best goes to the caller: a 6xx, else
// the lowest class; challenges of both together; never a 503.
func TestBestAnswerOfAFork(t *testing.T) {
	for _, row := range []struct{ one, two, want int }{
		{486, 603, 603}, {603, 486, 603}, {404, 503, 404}, {503, 486, 486}, {486, 404, 486}, {404, 486, 404}, {503, 503, 480}, {407, 401, 407}, {480, 302, 302}, {500, 486, 486},
	} {
		t.Run(fmt.Sprint(row.one, row.two), func(t *testing.T) {
			live(t, plan{proto: peer.TCP}, func(w *world) {
				answers := func(status int, after time.Duration) func(*peer.PhoneConfig) {
					return func(c *peer.PhoneConfig) {
						c.Handle = func(r *peer.Request) bool {
							if r.Method() != "INVITE" {
								return false
							}
							var lines []string
							if status == 401 || status == 407 {
								lines = []string{map[int]string{401: "WWW", 407: "Proxy"}[status] + fmt.Sprintf(`-Authenticate: Digest realm="%d", nonce="n"`, status)}
							}
							time.AfterFunc(after, func() { _ = r.Respond(status, "", lines, "") })
							return true
						}
					}
				}
				w.registered(w.phone(w.phoneA, "alice", peer.UDP, answers(row.one, time.Second)), "alice")
				w.registered(w.phone(w.phoneB, "alice", peer.TCP, answers(row.two, 2*time.Second)), "alice")
				out, err := w.prov.Call(w.ctx, "alice", peer.ToURI("sip:alice@"+wanRouter))
				w.must(err)
				if err := out.Answered(w.within(10 * time.Second)); peer.Status(err) != row.want {
					t.Errorf("%v, want %d", err, row.want)
				}
				if row.want == 407 {
					answers := out.Responses()
					m := answers[len(answers)-1]
					got := append(m.Values("proxy-authenticate"), m.Values("www-authenticate")...)
					if !slices.Equal(got, []string{`Digest realm="407", nonce="n"`, `Digest realm="401", nonce="n"`}) {
						t.Errorf("challenges %q", got)
					}
				}
				w.sleep(40 * time.Second)
				w.settled()
			})
		})
	}
}

// Two phones answer at the same moment: the caller has both 2xx, keeps one and
// ends the other (RFC 3261 §13.2.2.4).
func TestTwoPhonesAnswerAtOnce(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				w.wan.Delay(20 * time.Millisecond)
				w.lan.Delay(20 * time.Millisecond)
				auto := func(c *peer.PhoneConfig) { c.AutoAnswer = true }
				one, two := w.phone(w.phoneA, "alice", peer.UDP, auto), w.phone(w.phoneB, "alice", peer.UDP, auto)
				w.registered(one, "alice")
				w.registered(two, "alice")
				out, err := w.prov.Call(w.ctx, "alice", peer.ToURI("sip:alice@"+wanRouter))
				w.must(err)
				w.must(out.Answered(w.within(5 * time.Second)))
				a, err := one.Expect(w.within(time.Second))
				w.must(err)
				b, err := two.Expect(w.within(time.Second))
				w.must(err)
				w.sleep(2 * time.Second)
				winner, loser := a, b
				if a.EndedBy() != nil {
					winner, loser = b, a
				}
				if by := loser.EndedBy(); by == nil || by.Method() != "BYE" && by.Method() != "CANCEL" || winner.EndedBy() != nil {
					t.Fatalf("ended by %v and %v", a.EndedBy(), b.EndedBy())
				}
				w.heard(out, winner)
				w.over(out, winner)
				w.sleep(40 * time.Second)
				w.settled()
				w.clean()
			})
		})
	}
}

// One phone of two is gone, another does not answer: the third rings and gets
// the call.
func TestForkWithAPhoneThatIsGone(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		gone, there := w.phone(w.phoneA, "alice", peer.TCP), w.phone(w.phoneB, "alice", peer.UDP)
		mute := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) {
			c.Handle = func(r *peer.Request) bool { r.Drop(); return true }
		})
		for _, p := range []*peer.Phone{gone, there, mute} {
			w.registered(p, "alice")
		}
		gone.Flow().Close()
		w.sleep(100 * time.Millisecond)
		out, err := w.prov.Call(w.ctx, "alice", peer.ToURI("sip:alice@"+wanRouter))
		w.must(err)
		in, err := there.Expect(w.within(time.Second))
		w.must(err)
		w.sleep(5 * time.Second)
		w.must(in.Answer())
		w.must(out.Answered(w.within(time.Second)))
		w.heard(out, in)
		w.over(in, out)
		w.sleep(40 * time.Second)
		w.settled()
	})
}

// CANCEL while the media of an inbound call is still being opened, for its STUN
// server is silent: the caller hears 487, the phone nothing.
func TestCancelBeforeThePhoneIsAsked(t *testing.T) {
	live(t, plan{proto: peer.UDP}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		w.registered(alice, "alice")
		w.stun.Close()
		for range 4 { // these take the probed ports
			w.called(alice, "alice")
		}
		before := len(alice.Received("INVITE"))
		late, err := w.prov.Call(w.ctx, "alice")
		w.must(err)
		w.must(late.Cancel(w.within(time.Second))) // as soon as the 100 has come
		if err := late.Answered(w.within(10 * time.Second)); peer.Status(err) != 487 {
			t.Errorf("%v, want 487", err)
		}
		if n := len(alice.Received("INVITE")) - before; n != 0 {
			t.Errorf("the phone was asked")
		}
		w.sleep(7 * time.Minute)
		w.settled()
	})
}
