package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

// answered lets a phone call a number that the test answers.
func (w *world) answered(p *peer.Phone, number string) (inside, outside *peer.Call) {
	w.t.Helper()
	inside, err := p.Call(w.ctx, number)
	w.must(err)
	outside, err = w.prov.Expect(w.within(10 * time.Second))
	w.must(err)
	w.must(outside.Answer())
	w.must(inside.Answered(w.within(10 * time.Second)))
	w.must(outside.Confirmed(w.within(10 * time.Second)))
	return inside, outside
}

// both runs f in a call that came in and in one that went out, over each
// upstream transport; near is the phone's end.
func both(t *testing.T, p plan, f func(w *world, near, far *peer.Call)) {
	for _, proto := range transports {
		for _, out := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %s", proto, map[bool]string{true: "out", false: "in"}[out]), func(t *testing.T) {
				p.proto = proto
				live(t, p, func(w *world) {
					alice := w.phone(w.phoneA, "alice", peer.UDP)
					w.registered(alice, "alice")
					var near, far *peer.Call
					if out {
						near, far = w.answered(alice, "ring")
					} else {
						far, near = w.called(alice, "alice")
					}
					f(w, near, far)
					w.sleep(40 * time.Second)
					w.settled()
					w.clean()
				})
			})
		}
	}
}

// over ends a call from one end.
func (w *world) over(by, other *peer.Call) {
	w.t.Helper()
	w.must(by.Hangup(w.within(5 * time.Second)))
	w.must(other.Ended(w.within(5 * time.Second)))
}

// M-4: hold and resume from either side; the relay's ports stay.
func TestHoldAndResume(t *testing.T) {
	both(t, plan{}, func(w *world, near, far *peer.Call) {
		w.heard(near, far)
		for range 2 {
			for _, pair := range [][2]*peer.Call{{near, far}, {far, near}} {
				by, other := pair[0], pair[1]
				before := mediaLines(other.RemoteSDP())
				w.must(by.Hold(w.within(5 * time.Second)))
				if !strings.Contains(other.RemoteSDP(), "a=sendonly") || !strings.Contains(by.RemoteSDP(), "a=recvonly") {
					w.t.Errorf("hold: offer\n%s\nanswer\n%s", other.RemoteSDP(), by.RemoteSDP())
				}
				w.sleep(10 * time.Minute)
				w.must(by.Resume(w.within(5 * time.Second)))
				w.heard(near, far)
				if after := mediaLines(other.RemoteSDP()); after != before {
					w.t.Errorf("media moved from\n%s\nto\n%s", before, after)
				}
			}
		}
		w.over(near, far)
	})
}

// mediaLines are the lines of an SDP that say where media goes.
func mediaLines(sdp string) string {
	var out []string
	for _, l := range strings.Split(sdp, "\r\n") {
		if strings.HasPrefix(l, "c=") || strings.HasPrefix(l, "m=") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// The old way to hold, c=0.0.0.0, stays 0.0.0.0 on the other side.
func TestHoldByZeroAddress(t *testing.T) {
	both(t, plan{}, func(w *world, near, far *peer.Call) {
		w.heard(near, far)
		for _, pair := range [][2]*peer.Call{{near, far}, {far, near}} {
			offer := offerOf(pair[0])
			held := replaceLine(offer, "c=", "c=IN IP4 0.0.0.0")
			_, err := pair[0].Request(w.within(5*time.Second), "INVITE", []string{"Content-Type: application/sdp"}, held)
			w.must(err)
			if !strings.Contains(pair[1].RemoteSDP(), "c=IN IP4 0.0.0.0") {
				w.t.Errorf("held as\n%s", pair[1].RemoteSDP())
			}
			w.must(pair[0].Resume(w.within(5 * time.Second)))
			w.heard(near, far)
		}
		w.over(far, near)
	})
}

// offerOf is an offer by hand of one end's audio.
func offerOf(c *peer.Call) string {
	ip, port := c.Media().Local().Addr(), c.Media().Local().Port()
	return fmt.Sprintf("v=0\r\no=- 1 99 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n", ip, ip, port)
}

// replaceLine replaces the first line of an SDP that starts with prefix.
func replaceLine(sdp, prefix, with string) string {
	all := strings.Split(sdp, "\r\n")
	for i, l := range all {
		if strings.HasPrefix(l, prefix) {
			all[i] = with
			break
		}
	}
	return strings.Join(all, "\r\n")
}

// M-15: a refused re-INVITE leaves the media where it was, whoever refused it.
func TestRefusedReinvite(t *testing.T) {
	refuse := false
	handle := func(r *peer.Request) bool {
		if !refuse || r.Method() != "INVITE" {
			return false
		}
		_ = r.Respond(488, "", nil, "")
		return true
	}
	p := plan{prov: func(c *peer.ProviderConfig) { c.Handle = handle }}
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			p.proto, refuse = proto, false
			live(t, p, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.Handle = handle })
				w.registered(alice, "alice")
				far, near := w.called(alice, "alice")
				w.heard(near, far)
				refuse = true
				for i, by := range []*peer.Call{near, far} {
					elsewhere := []string{lanPhoneB, wanSIP2}[i]
					offer := replaceLine(replaceLine(offerOf(by), "m=", "m=audio 9 RTP/AVP 0"), "c=", "c=IN IP4 "+elsewhere)
					_, err := by.Request(w.within(5*time.Second), "INVITE", []string{"Content-Type: application/sdp"}, offer)
					if peer.Status(err) != 488 {
						t.Errorf("%v, want 488", err)
					}
					w.heard(near, far)
				}
				w.over(far, near)
				w.sleep(40 * time.Second)
				w.settled()
				w.clean()
			})
		})
	}
}

// M-12: an INVITE without SDP: the offer comes in the 200, the answer in the
// ACK, and both are ours.
func TestLateOffer(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto+" out", func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.LateOffer = true })
				w.registered(alice, "alice")
				near, far := w.answered(alice, "ring")
				if far.Invite().Body() != "" || !strings.Contains(far.RemoteSDP(), "c=IN IP4 "+wanRouter) {
					t.Errorf("the answer in the ACK:\n%s", far.RemoteSDP())
				}
				w.heard(near, far)
				w.over(near, far)
				w.sleep(40 * time.Second)
				w.settled()
				w.clean()
			})
		})
		t.Run(proto+" in", func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				far, near := w.called(alice, "alice", peer.WithLateOffer())
				if near.Invite().Body() != "" || !strings.Contains(near.RemoteSDP(), "c=IN IP4 "+lanProxy) {
					t.Errorf("the answer in the ACK:\n%s", near.RemoteSDP())
				}
				w.heard(near, far)
				w.over(far, near)
				w.sleep(40 * time.Second)
				w.settled()
				w.clean()
			})
		})
	}
}

// Early media: what is heard before the answer, both ways; 183 and 200 lead to
// the same ports (M-13).
func TestEarlyMedia(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto+" out", func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				near, err := alice.Call(w.ctx, "early")
				w.must(err)
				far, err := w.prov.Expect(w.within(5 * time.Second))
				w.must(err)
				w.must(near.Rings(w.within(5 * time.Second)))
				early := mediaLines(near.RemoteSDP())
				start := time.Now()
				near.Media().Talk(true)
				if _, err := near.Media().WaitHeard(w.within(900*time.Millisecond), near.Media(), start); err != nil {
					t.Errorf("no early audio: %v", err)
				}
				w.must(near.Answered(w.within(5 * time.Second)))
				if late := mediaLines(near.RemoteSDP()); late != early {
					t.Errorf("183\n%s\n200\n%s", early, late)
				}
				w.heard(near, nil)
				w.over(near, far)
				w.clean()
			})
		})
		t.Run(proto+" in", func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				far, err := w.prov.Call(w.ctx, "alice")
				w.must(err)
				near, err := alice.Expect(w.within(5 * time.Second))
				w.must(err)
				w.must(near.Progress(183, true))
				w.must(far.Rings(w.within(5 * time.Second)))
				w.heard(near, far)
				early := mediaLines(far.RemoteSDP())
				w.must(near.Answer())
				w.must(far.Answered(w.within(5 * time.Second)))
				if late := mediaLines(far.RemoteSDP()); late != early {
					t.Errorf("183\n%s\n200\n%s", early, late)
				}
				w.heard(near, far)
				w.over(far, near)
				w.clean()
			})
		})
	}
}

// P-34: reliable provisional responses, both ways, with RSeq and RAck as they
// were.
func TestReliableProvisional(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto, prov: func(c *peer.ProviderConfig) { c.Reliable = true }}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.Reliable = true })
				w.registered(alice, "alice")
				far, near := w.called(alice, "alice")
				w.passed(w.last(w.prov.Sent("PRACK")), w.last(alice.Received("PRACK")))
				w.heard(near, far)
				w.over(near, far)

				near, far = w.answered(alice, "ring")
				w.passed(w.last(alice.Sent("PRACK")), w.last(w.prov.Received("PRACK")))
				w.heard(near, far)
				w.over(far, near)
				for _, m := range append(w.prov.Sent("PRACK"), alice.Sent("PRACK")...) {
					if !m.IsRequest() && m.Status() != 200 {
						t.Errorf("PRACK got %s", m.Start())
					}
				}
				if n := len(w.prov.Received("PRACK")) + len(alice.Received("PRACK")); n != 2 {
					t.Errorf("%d PRACKs", n)
				}
				w.clean()
			})
		})
	}
}

// The SDP of an UPDATE is ours too, both ways.
func TestUpdate(t *testing.T) {
	both(t, plan{}, func(w *world, near, far *peer.Call) {
		for _, by := range []*peer.Call{near, far} {
			_, err := by.Request(w.within(5*time.Second), "UPDATE", []string{"Content-Type: application/sdp"}, offerOf(by))
			w.must(err)
			w.heard(near, far)
		}
		w.over(near, far)
	})
}

// D-3: the provider challenges what happens inside the call, BYE included, and
// the phone's answer verifies because its Request-URI is untouched.
func TestChallengesInsideACall(t *testing.T) {
	both(t, plan{prov: func(c *peer.ProviderConfig) { c.Quirks.ChallengeAll = true }}, func(w *world, near, far *peer.Call) {
		if !strings.HasSuffix(w.t.Name(), "out") { // the phone's end of an inbound call has no credentials
			if _, err := near.Request(w.within(time.Second), "BYE", nil, ""); peer.Status(err) != 407 {
				w.t.Errorf("%v, want 407", err)
			}
			w.heard(near, far) // a BYE that was only challenged ends nothing
			w.over(far, near)
			return
		}
		w.must(near.Hold(w.within(5 * time.Second)))
		w.must(near.Resume(w.within(5 * time.Second)))
		w.heard(near, far)
		w.prov.ExpireNonces()
		w.over(near, far)
		if n := len(withStatus(w.prov.Sent("BYE"), 407)); n != 1 {
			w.t.Errorf("%d challenges to BYE", n)
		}
	})
}

// M-13 of the transaction layer: calls survive the loss of any message over UDP.
func TestCallsOverALossyNetwork(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			live(t, plan{proto: peer.UDP, seed: seed, nat: func(n *memnet.NAT) { n.UDPTimeout = time.Hour }}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				w.wan.Loss(0.05)
				w.lan.Loss(0.05)
				minute := time.Minute
				for range 5 {
					far, err := w.prov.Call(w.ctx, "alice")
					w.must(err)
					near, err := alice.Expect(w.within(minute))
					w.must(err)
					w.must(near.Ring())
					w.must(near.Answer())
					w.must(far.Answered(w.within(minute)))
					w.must(near.Confirmed(w.within(minute)))
					w.must(near.Hold(w.within(minute)))
					w.must(near.Hangup(w.within(minute)))
					w.must(far.Ended(w.within(minute)))

					near, err = alice.Call(w.ctx, "ring")
					w.must(err)
					far, err = w.prov.Expect(w.within(minute))
					w.must(err)
					w.must(far.Answer())
					w.must(near.Answered(w.within(minute)))
					w.must(far.Confirmed(w.within(minute)))
					w.must(far.Hangup(w.within(minute)))
					w.must(near.Ended(w.within(minute)))
				}
				w.wan.Loss(0)
				w.lan.Loss(0)
				w.sleep(40 * time.Second)
				w.settled()
				w.clean()
			})
		})
	}
}
