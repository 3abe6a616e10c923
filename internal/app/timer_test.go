package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// since returns when messages came, counted from a moment.
func since(start time.Time, list []*peer.Message) []time.Duration {
	var out []time.Duration
	for _, m := range list {
		out = append(out, m.At.Sub(start))
	}
	return out
}

func seconds(all ...float64) []time.Duration {
	out := make([]time.Duration, len(all))
	for i, s := range all {
		out[i] = time.Duration(s * float64(time.Second))
	}
	return out
}

// P-8: nobody answers an INVITE: it is repeated over UDP as timer A says, and
// after 32 s the phone hears 408.
func TestProviderSilent(t *testing.T) {
	for proto, want := range map[string][]time.Duration{
		peer.UDP: seconds(0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5), peer.TCP: seconds(0), peer.TLS: seconds(0),
	} {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"INVITE": true} })
				start := time.Now()
				call, err := alice.Call(w.ctx, "ring")
				w.must(err)
				if err := call.Answered(w.within(time.Minute)); peer.Status(err) != 408 {
					t.Errorf("%v, want 408", err)
				}
				if got := time.Since(start); got != 32*time.Second {
					t.Errorf("408 after %v", got)
				}
				if got := since(start, w.prov.Received("INVITE")); !slices.Equal(got, want) {
					t.Errorf("INVITEs at %v, want %v", got, want)
				}
				w.sleep(40 * time.Second)
				w.settled()
			})
		})
	}
}

// P-7: the phone has its 100 within 200 ms, once; the provider's own 100 ends
// the repeats and goes no further.
func TestLateTrying(t *testing.T) {
	live(t, plan{proto: peer.UDP}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		w.registered(alice, "alice")
		w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"INVITE": true, "CANCEL": true} })
		start := time.Now()
		call, err := alice.Call(w.ctx, "ring")
		w.must(err)
		w.sleep(5 * time.Second)
		invite := w.last(w.prov.Received("INVITE"))
		w.respond(invite, "100 Trying", nil, "")
		w.sleep(30 * time.Second)
		w.respond(invite, "180 Ringing", []string{"Contact: <sip:gw@" + wanSIP + ">"}, "")
		w.sleep(time.Second)
		if got, want := since(start, w.prov.Received("INVITE")), seconds(0, 0.5, 1.5, 3.5); !slices.Equal(got, want) {
			t.Errorf("INVITEs at %v, want %v", got, want)
		}
		answers := alice.Responses("INVITE")
		if got, want := since(start, answers), seconds(0.2, 35); !slices.Equal(got, want) || answers[0].Status() != 100 || answers[1].Status() != 180 {
			t.Errorf("responses at %v, want %v", got, want)
		}
		w.respond(invite, "486 Busy Here", nil, "")
		if err := call.Answered(w.within(time.Second)); peer.Status(err) != 486 {
			t.Error(err)
		}
	})
}

// P-16: timer C ends what rings for too long; 180 starts it anew, 100 does not.
func TestTimerC(t *testing.T) {
	const timerC = 181 * time.Second
	for _, row := range []struct {
		answer string
		cancel time.Duration
	}{{"100 Trying", timerC}, {"180 Ringing", 100*time.Second + timerC}, {"183 Session Progress", 100*time.Second + timerC}} {
		for _, answered := range []bool{true, false} {
			t.Run(fmt.Sprint(row.answer, answered), func(t *testing.T) {
				live(t, plan{proto: peer.UDP, prov: open}, func(w *world) {
					w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"INVITE": true, "CANCEL": true} })
					alice := w.phone(w.phoneA, "alice", peer.UDP)
					w.registered(alice, "alice")
					start := time.Now()
					call, err := alice.Call(w.ctx, "ring")
					w.must(err)
					w.sleep(time.Second)
					invite := w.last(w.prov.Received("INVITE"))
					w.respond(invite, "100 Trying", nil, "")
					w.sleep(99 * time.Second)
					w.respond(invite, row.answer, nil, "")
					cancel, err := w.prov.WaitRequest(w.within(time.Hour), "CANCEL", 1)
					w.must(err)
					if got := cancel.At.Sub(start); got != row.cancel {
						t.Errorf("CANCEL after %v, want %v", got, row.cancel)
					}
					w.respond(cancel, "200 OK", nil, "")
					want := 408
					if answered {
						want = 487
						w.respond(invite, "487 Request Terminated", nil, "")
					}
					if err := call.Answered(w.within(33 * time.Second)); peer.Status(err) != want {
						t.Errorf("%v, want %d", err, want)
					}
					w.sleep(40 * time.Second)
					w.settled()
				})
			})
		}
	}
}

// P-17: a MESSAGE that nobody answers: one 100 after 3.5 s, never a 408;
// an answer after 10 s passes, one after 40 s does not.
func TestMessageAnsweredLate(t *testing.T) {
	for _, lan := range []string{peer.UDP, peer.TCP} {
		for _, late := range []time.Duration{10 * time.Second, 40 * time.Second} {
			t.Run(lan+" "+late.String(), func(t *testing.T) {
				live(t, plan{proto: peer.UDP}, func(w *world) {
					alice := w.raw(w.phoneA, lan)
					w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"MESSAGE": true} })
					start := time.Now()
					_, err := alice.Send(dialog("MESSAGE", "alice", "sip:bob@"+domain, "Content-Type: text/plain\n\nhello"))
					w.must(err)
					w.sleep(late)
					all := w.prov.Received("MESSAGE")
					w.respond(w.last(all), "200 OK", nil, "")
					w.sleep(time.Minute)
					if got := since(start, all); !slices.Equal(got[:5], seconds(0, 0.5, 1.5, 3.5, 7.5)) {
						t.Errorf("sent at %v", got)
					}
					var got []string
					for _, m := range alice.Responses("MESSAGE") {
						got = append(got, fmt.Sprint(m.Status(), " ", m.At.Sub(start)))
					}
					want := []string{"100 3.5s"}
					if late == 10*time.Second {
						want = append(want, "200 10s")
					}
					if !slices.Equal(got, want) {
						t.Errorf("the phone got %q, want %q", got, want)
					}
					w.settled()
				})
			})
		}
	}
}

// sdp is an offer of a raw phone.
const sdp = "Content-Type: application/sdp\n\n" + `v=0
o=- 1 1 IN IP4 {host}
s=-
c=IN IP4 {host}
t=0 0
m=audio 40000 RTP/AVP 0
`

// P-9: an INVITE that comes again after its 2xx goes no further, and the 2xx is
// the callee's to repeat. P-10: every 2xx is forwarded, also that of another
// fork. P-13: a repeated ACK has the same branch, and none is answered.
func TestRepeats(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto, prov: open}, func(w *world) {
				w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"INVITE": true} })
				alice := w.raw(w.phoneA, peer.UDP)
				raw, err := alice.Send(dialog("INVITE", "alice", "sip:ring@"+domain, sdp))
				w.must(err)
				w.sleep(10 * time.Millisecond)
				invite := w.last(w.prov.Received("INVITE"))
				for _, tag := range []string{"a", "a", "a", "b"} {
					ok := strings.Replace(answerTo(invite, "200 OK", []string{"Contact: <sip:gw@" + wanSIP + ">"}, ""), ";tag=byhand", ";tag="+tag, 1)
					w.must(w.prov.SendRaw(invite.Flow, ok))
					w.sleep(10 * time.Millisecond)
				}
				var tags string
				for _, m := range withStatus(alice.Responses("INVITE"), 200) {
					tags += m.Get("to")[len(m.Get("to"))-1:]
				}
				if tags != "aaab" {
					t.Errorf("the phone got 2xx of %q", tags)
				}
				for range 3 {
					w.must(alice.SendBytes([]byte(raw)))
					w.sleep(time.Second)
				}
				if a, b := len(w.prov.Received("INVITE")), len(alice.Responses("INVITE")); a != 1 || b != 4 {
					t.Errorf("after repeats: %d INVITEs passed, %d responses", a, b)
				}
				ack := alice.Fill(strings.ReplaceAll(dialog("ACK", "alice", "sip:ring@"+domain, ""), "To: <sip:ring@"+domain+">", "To: <sip:ring@"+domain+">;tag=a"))
				for range 3 {
					w.must(alice.SendBytes([]byte(ack)))
				}
				w.sleep(time.Second)
				acks := w.prov.Received("ACK")
				if len(acks) != 3 || w.branchOf(acks[0]) != w.branchOf(acks[2]) || w.branchOf(acks[0]) == w.branchOf(invite) {
					t.Errorf("%d ACKs", len(acks))
				}
				if n := len(alice.Responses("ACK")); n != 0 {
					t.Errorf("%d answers to ACK", n)
				}
				w.clean()
			})
		})
	}
}

// P-11, D-8: a response that no transaction of ours waits for is dropped,
// wherever it comes from; a forged challenge harvests nothing.
func TestForeignResponses(t *testing.T) {
	live(t, plan{proto: peer.UDP, prov: open}, func(w *world) {
		w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"INVITE": true} })
		alice, mallory := w.raw(w.phoneA, peer.UDP), w.raw(w.phoneB, peer.UDP)
		_, err := alice.Send(dialog("INVITE", "alice", "sip:ring@"+domain, sdp))
		w.must(err)
		w.sleep(10 * time.Millisecond)
		invite := w.last(w.prov.Received("INVITE"))
		branch := w.branchOf(invite)
		challenge := []string{`WWW-Authenticate: Digest realm="` + domain + `", nonce="mine"`}
		forged := answerTo(invite, "401 Unauthorized", challenge, "")
		w.must(mallory.SendBytes([]byte(forged))) // right branch, from the LAN
		flip := "0"
		if branch[len(branch)-1] == '0' {
			flip = "1"
		}
		for _, wrong := range []string{"z9hG4bK", "z9hG4bK1", branch[:len(branch)-1] + flip, strings.ToUpper(branch) + "0", branch + "0"} {
			w.must(w.prov.SendRaw(invite.Flow, strings.ReplaceAll(forged, branch, wrong)))
		}
		w.must(w.prov.SendRaw(invite.Flow, strings.ReplaceAll(forged, "1 INVITE", "1 BYE")))
		w.sleep(300 * time.Millisecond)
		if got := alice.Responses(""); len(got) != 1 || got[0].Status() != 100 {
			t.Errorf("the phone got %d responses: %v", len(got), got)
		}
		w.respond(invite, "486 Busy Here", nil, "")
		w.sleep(40 * time.Second)
		before := len(alice.Responses(""))
		w.must(w.prov.SendRaw(invite.Flow, forged)) // right branch, too late
		w.sleep(time.Second)
		if n := len(alice.Responses("")); n != before || len(withStatus(alice.Responses(""), 401)) != 0 {
			t.Errorf("a late response passed")
		}
		w.settled()
	})
}
