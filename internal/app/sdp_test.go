package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// chatty is an SDP in which a phone tells its address wherever it can.
func chatty(s string) string {
	s = strings.Replace(s, "s=-", "s=call of "+lanPhoneA+"\r\ni=from "+lanPhoneA, 1)
	return s + "a=rtcp:40001 IN IP4 " + lanPhoneA + "\r\na=candidate:1 1 UDP 2130706431 " + lanPhoneA + " 40000 typ host\r\n" +
		"a=candidate:2 1 UDP 1694498815 198.51.100.9 40000 typ srflx raddr " + lanPhoneA + " rport 40000\r\na=ice-ufrag:x\r\na=ice-pwd:y\r\n" +
		"a=source-filter: incl IN IP4 * " + lanPhoneA + "\r\na=x-phone:" + lanPhoneA + ":5060\r\na=alt:1 1 : x y " + lanPhoneA + " 40000\r\n"
}

// M-1: whatever a phone writes into its SDP, nothing of the LAN leaves, and both
// sides hear each other; offers, answers, early ones and later ones.
func TestNoAddressInSDP(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.EditSDP = chatty })
				w.registered(alice, "alice")
				near, far := w.answered(alice, "ring")
				w.heard(near, far)
				w.must(near.Hold(w.within(time.Second)))
				w.must(near.Resume(w.within(time.Second)))
				w.must(far.Hold(w.within(time.Second)))
				w.over(near, far)
				out, err := w.prov.Call(w.ctx, "alice", peer.WithLateOffer())
				w.must(err)
				in, err := alice.Expect(w.within(time.Second))
				w.must(err)
				w.must(in.Progress(183, true))
				w.must(in.Answer())
				w.must(out.Answered(w.within(time.Second)))
				w.over(in, out)
				for method, ctype := range map[string]string{"OPTIONS": "application/sdp", "MESSAGE": "application/sdp", "INFO": "application/sdp"} {
					_, _ = alice.Request(w.within(time.Second), method, "bob", []string{"Content-Type: " + ctype}, offerOf(near))
				}
				w.clean()
			})
		})
	}
}

// M-3: streams keep their number and order; what is refused stays refused, and a
// stream that a re-INVITE adds has ports too.
func TestStreamsComeAndGo(t *testing.T) {
	video := func(port int) func(string) string {
		return func(s string) string {
			return s + fmt.Sprintf("m=video %d RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n", port)
		}
	}
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto, prov: func(c *peer.ProviderConfig) { c.EditSDP = video(0) }}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.EditSDP = video(41000) })
				w.registered(alice, "alice")
				near, far := w.answered(alice, "ring")
				w.heard(near, far)
				offer, answer := streams(far.RemoteSDP()), streams(near.RemoteSDP())
				if len(offer) != 2 || len(answer) != 2 || offer[1] == "video 41000" || offer[1] == "video 0" || answer[1] != "video 0" {
					t.Errorf("offer %q, answer %q", offer, answer)
				}
				three := offerOf(near) + "m=video 41000 RTP/AVP 96\r\nm=audio 41002 RTP/AVP 8\r\n"
				_, err := near.Request(w.within(time.Second), "INVITE", []string{"Content-Type: application/sdp"}, three)
				w.must(err)
				again := streams(far.RemoteSDP())
				if len(again) != 3 || again[0] != offer[0] || again[1] != offer[1] || again[2] == "audio 41002" {
					t.Errorf("then %q", again)
				}
				w.over(near, far)
				w.sleep(40 * time.Second)
				w.settled()
				w.clean()
			})
		})
	}
}

// streams returns kind and port of each m= line.
func streams(sdp string) (all []string) {
	for _, l := range strings.Split(sdp, "\r\n") {
		if rest, ok := strings.CutPrefix(l, "m="); ok {
			all = append(all, strings.Join(strings.Fields(rest)[:2], " "))
		}
	}
	return all
}

// M-14: a session refresh with the same SDP is the same SDP on the other side,
// byte for byte: nobody thinks that the media has moved.
func TestSameSDPStaysTheSame(t *testing.T) {
	both(t, plan{}, func(w *world, near, far *peer.Call) {
		w.heard(near, far)
		for _, pair := range [][2]*peer.Call{{near, far}, {far, near}} {
			offer, seen := offerOf(pair[0]), ""
			for range 3 {
				_, err := pair[0].Request(w.within(time.Second), "INVITE", []string{"Content-Type: application/sdp"}, offer)
				w.must(err)
				if seen != "" && pair[1].RemoteSDP() != seen {
					w.t.Errorf("\n%s\nbecame\n%s", seen, pair[1].RemoteSDP())
				}
				seen = pair[1].RemoteSDP()
				w.sleep(time.Minute)
			}
		}
		w.heard(near, far)
		w.over(near, far)
	})
}

// M-11: the SDP in a multipart body is ours, the other parts are not touched.
func TestMultipart(t *testing.T) {
	const parts = "--b\r\nContent-Type: application/pidf+xml\r\n\r\n<presence/>\r\n--b\r\nContent-Type: application/sdp\r\nContent-Disposition: session\r\n\r\n%s\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n\x00\x01\xff\r\n--b--\r\n"
	live(t, plan{proto: peer.TCP, prov: open}, func(w *world) {
		p := w.raw(w.phoneA, peer.UDP)
		_, offer, _ := strings.Cut(p.Fill("INVITE x SIP/2.0\n"+sdp), "\r\n\r\n")
		body := fmt.Sprintf(parts, offer)
		_, err := p.Send(dialog("INVITE", "alice", "sip:ring@"+domain, "Content-Type: multipart/mixed;boundary=b\n\n"+strings.ReplaceAll(body, "\r\n", "\n")))
		w.must(err)
		m, err := w.prov.WaitRequest(w.within(time.Second), "INVITE", 1)
		w.must(err)
		before, after, ok := strings.Cut(body, offer)
		if got := m.Body(); !ok || !strings.HasPrefix(got, before) || !strings.HasSuffix(got, after) || !strings.Contains(got, "c=IN IP4 "+wanRouter) {
			t.Errorf("%q", got)
		}
		if m.Get("content-length") != fmt.Sprint(len(m.Body())) {
			t.Errorf("Content-Length %s of %d", m.Get("content-length"), len(m.Body()))
		}
		w.clean()
	})
}

// M-22: many short calls of every kind leave no port behind.
func TestPortsComeBack(t *testing.T) {
	live(t, plan{proto: peer.TCP, extra: "[media]\nports = \"20000-20399\"\n"}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		w.registered(alice, "alice")
		for i := range 200 {
			switch i % 4 {
			case 0:
				far, near := w.called(alice, "alice")
				w.over(near, far)
			case 1:
				near, far := w.answered(alice, "ring")
				w.over(far, near)
			case 2:
				call, err := alice.Call(w.ctx, "busy")
				w.must(err)
				_ = call.Answered(w.within(time.Second))
			case 3:
				out, err := w.prov.Call(w.ctx, "alice")
				w.must(err)
				in, err := alice.Expect(w.within(time.Second))
				w.must(err)
				w.must(in.Ring())
				w.must(out.Cancel(w.within(time.Second)))
				w.must(in.Ended(w.within(time.Second)))
			}
			w.sleep(2 * time.Second)
		}
		w.sleep(40 * time.Second)
		w.settled()
		if w.count.Snapshot()["media_ports_exceeded_total"] != 0 {
			t.Error("ports ran out")
		}
	})
}
