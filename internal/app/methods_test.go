package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// P-23, P-32: what happens inside a call passes both ways as it was, unknown
// methods and headers too.
func TestMethodsInsideACall(t *testing.T) {
	both(t, plan{}, func(w *world, near, far *peer.Call) {
		rows := []struct {
			method string
			lines  []string
			body   string
		}{
			{"INFO", []string{"Content-Type: application/dtmf-relay", "Info-Package: dtmf"}, "Signal=5\r\nDuration=160\r\n"},
			{"MESSAGE", []string{"Content-Type: text/plain", "X-Odd : a,,b;;c"}, "hello"},
			{"NOTIFY", []string{"Event: refer", "Subscription-State: active;expires=60", "Content-Type: message/sipfrag"}, "SIP/2.0 100 Trying"},
			{"SUBSCRIBE", []string{"Event: refer", "Expires: 60"}, ""},
			{"REFER", []string{"Refer-To: <sip:bob@" + domain + ">", "Referred-By: <sip:alice@" + domain + ">"}, ""},
			{"OPTIONS", []string{"Accept: application/sdp"}, ""},
			{"UPDATE", nil, ""},
			{"FLASH", []string{"X-Empty:", "Subject: one\r\n two"}, "\x00\x01binary"},
		}
		for _, row := range rows {
			for i, by := range []*peer.Call{near, far} {
				_, err := by.Request(w.within(5*time.Second), row.method, row.lines, row.body)
				w.must(err)
				from, to := w.prov.Sent(row.method), w.inside(near).Received(row.method)
				if i == 0 {
					from, to = w.inside(near).Sent(row.method), w.prov.Received(row.method)
				}
				w.passed(requests(from), w.last(to))
			}
		}
		w.heard(near, far)
		w.over(near, far)
	})
}

// inside returns the phone that has a call.
func (w *world) inside(c *peer.Call) *peer.Phone {
	for _, p := range w.phones {
		for _, own := range p.Calls() {
			if own == c {
				return p
			}
		}
	}
	w.t.Fatal("no phone has the call")
	return nil
}

// requests returns the last request of a list.
func requests(list []*peer.Message) *peer.Message {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].IsRequest() {
			return list[i]
		}
	}
	return nil
}

// P-23: requests outside a call, from the phone and to it.
func TestMethodsOutsideACall(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				for _, row := range []struct {
					method string
					lines  []string
					body   string
				}{
					{"MESSAGE", []string{"Content-Type: text/plain"}, "hello\r\n"},
					{"OPTIONS", nil, ""},
					{"SUBSCRIBE", []string{"Event: message-summary", "Expires: 600", "Accept: application/simple-message-summary"}, ""},
					{"PUBLISH", []string{"Event: presence", "Expires: 60", "Content-Type: application/pidf+xml"}, "<presence/>"},
					{"NOTIFY", []string{"Event: check-sync", "Subscription-State: terminated"}, ""},
					{"INFO", []string{"Content-Type: application/x-any"}, "any"},
					{"REFER", []string{"Refer-To: <sip:bob@" + domain + ">"}, ""},
				} {
					_, err := alice.Request(w.within(5*time.Second), row.method, "echo", row.lines, row.body)
					w.must(err)
					w.passed(requests(alice.Sent(row.method)), w.last(w.prov.Received(row.method)))
					_, err = w.prov.Request(w.within(5*time.Second), row.method, "alice", row.lines, row.body)
					w.must(err)
					w.passed(requests(w.prov.Sent(row.method)), w.last(alice.Received(row.method)))
				}
				// Who does not know the method says so himself (RFC 3261 §8.2.1).
				if _, err := w.prov.Request(w.within(5*time.Second), "FLASH", "alice", nil, "x"); peer.Status(err) != 501 {
					t.Errorf("FLASH: %v, want 501", err)
				}
				w.sleep(40 * time.Second)
				w.settled()
				w.clean()
			})
		})
	}
}

// P-25: a subscription: NOTIFY comes before the 200 and after it, and the
// refresh goes the same way. The provider's Contact is shown as it is.
func TestSubscription(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"SUBSCRIBE": true} })
				alice := w.raw(w.phoneA, peer.UDP)
				w.rawRegister(alice, "alice", "secret")
				_, err := alice.Send(dialog("SUBSCRIBE", "alice", "sip:alice@"+domain, "Event: dialog\nExpires: 600"))
				w.must(err)
				sub, err := w.prov.WaitRequest(w.within(time.Second), "SUBSCRIBE", 1)
				w.must(err)
				notify := func(n int) *peer.Message {
					w.must(w.prov.SendRaw(sub.Flow, notifyFor(sub, n)))
					m, err := alice.Wait(w.within(time.Second), func(m *peer.Message) bool {
						seq, _ := m.CSeq()
						return !m.Sent && m.Method() == "NOTIFY" && m.IsRequest() && int(seq) == n
					})
					w.must(err)
					w.must(alice.Respond(m, 200, nil, ""))
					_, err = w.prov.Wait(w.within(time.Second), func(m *peer.Message) bool {
						seq, method := m.CSeq()
						return !m.Sent && method == "NOTIFY" && m.Status() == 200 && int(seq) == n
					})
					w.must(err)
					return m
				}
				early := notify(1)
				if got := early.Elems("record-route"); len(got) != 1 || !strings.Contains(got[0], lanProxy) {
					t.Errorf("Record-Route of the NOTIFY: %q", got)
				}
				w.respond(sub, "200 OK", []string{"Contact: <sip:notifier@" + wanSIP + ":5060>", "Expires: 600"}, "")
				ok, err := alice.Wait(w.within(time.Second), func(m *peer.Message) bool { return m.Status() == 200 && m.Method() == "SUBSCRIBE" })
				w.must(err)
				if ok.Get("contact") != "<sip:notifier@"+wanSIP+":5060>" {
					t.Errorf("Contact %q", ok.Get("contact"))
				}
				notify(2)
				refresh := strings.ReplaceAll(dialog("SUBSCRIBE", "alice", "sip:notifier@"+wanSIP+":5060", "Event: dialog\nExpires: 600\nRoute: "+ok.Get("record-route")),
					"To: <sip:notifier@"+wanSIP+":5060>", "To: "+ok.Get("to"))
				_, err = alice.Send(refresh)
				w.must(err)
				again, err := w.prov.WaitRequest(w.within(time.Second), "SUBSCRIBE", 2)
				w.must(err)
				if again.URI() != "sip:notifier@"+wanSIP+":5060" || again.Get("route") != "" || again.Get("contact") != sub.Get("contact") {
					t.Errorf("the refresh:\n%s", again.Raw)
				}
				w.respond(again, "200 OK", nil, "")
				w.clean()
			})
		})
	}
}

// notifyFor writes the n-th NOTIFY to a SUBSCRIBE.
func notifyFor(sub *peer.Message, n int) string {
	to, proto := sub.Get("from"), "UDP"
	if sub.Proto != peer.UDP {
		proto = strings.ToUpper(sub.Proto)
	}
	from := sub.Get("to") + ";tag=byhand"
	return fmt.Sprintf("NOTIFY %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bKn%d;rport\r\nMax-Forwards: 70\r\n"+
		"From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d NOTIFY\r\nContact: <sip:notifier@%s:5060>\r\n"+
		"Event: dialog\r\nSubscription-State: active\r\nContent-Length: 0\r\n\r\n",
		uriOf(sub.Get("contact")), proto, sub.To, n, from, to, sub.CallID(), n, wanSIP)
}

// P-32: attended transfer: Refer-To with a Replaces that names a dialog by its
// Call-ID, which holds the phone's LAN address on the LAN and is opaque outside,
// and means the same call on both sides.
func TestTransfer(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				first, firstOut := w.answered(alice, "ring")
				second, secondOut := w.answered(alice, "ring")
				if !strings.HasSuffix(second.CallID(), "@"+lanPhoneA) || strings.Contains(secondOut.CallID(), lanPhoneA) {
					t.Fatalf("Call-ID %s inside, %s outside", second.CallID(), secondOut.CallID())
				}
				replaces := func(callID, to, from string) string { return callID + ";to-tag=" + to + ";from-tag=" + from }
				for _, escape := range []func(string) string{
					strings.NewReplacer("@", "%40", ";", "%3B", "=", "%3D").Replace,
					strings.NewReplacer("@", "%40", ";", "%3B", "=", "%3D", ".", "%2E").Replace,
				} {
					inside := "<sip:gw@" + wanSIP + "?Replaces=" + escape(replaces(second.CallID(), "x", "y")) + ">"
					_, err := first.Request(w.within(5*time.Second), "REFER", []string{"Refer-To: " + inside}, "")
					w.must(err)
					got := w.last(w.prov.Received("REFER")).Get("refer-to")
					want := "<sip:gw@" + wanSIP + "?Replaces=" + strings.NewReplacer("@", "%40", ";", "%3B", "=", "%3D").Replace(replaces(secondOut.CallID(), "x", "y")) + ">"
					if got != want {
						t.Errorf("Refer-To outside\n%s\nwant\n%s", got, want)
					}
				}
				// The provider refers the phone to the other call by the name it knows.
				outside := "<sip:gw@" + wanSIP + "?Replaces=" + strings.ReplaceAll(replaces(secondOut.CallID(), "x", "y"), "@", "%40") + ">"
				_, err := firstOut.Request(w.within(5*time.Second), "REFER", []string{"Refer-To: " + outside}, "")
				w.must(err)
				got := w.last(alice.Received("REFER")).Get("refer-to")
				want := "<sip:gw@" + wanSIP + "?Replaces=" + strings.ReplaceAll(replaces(second.CallID(), "x", "y"), "@", "%40") + ">"
				if got != want {
					t.Errorf("Refer-To inside\n%s\nwant\n%s", got, want)
				}
				// And an INVITE with Replaces, both ways.
				for _, h := range []string{"Replaces", "Join", "Target-Dialog"} {
					_, err := alice.Call(w.ctx, "busy", h+": "+replaces(second.CallID(), "x", "y"))
					w.must(err)
					w.sleep(time.Second)
					if got, want := w.last(w.prov.Received("INVITE")).Get(h), replaces(secondOut.CallID(), "x", "y"); got != want {
						t.Errorf("%s outside %q, want %q", h, got, want)
					}
					_, err = w.prov.Call(w.ctx, "alice", peer.WithHeaders(h+": "+replaces(secondOut.CallID(), "x", "y")))
					w.must(err)
					in, err := alice.Expect(w.within(5 * time.Second))
					w.must(err)
					if got, want := in.Invite().Get(h), replaces(second.CallID(), "x", "y"); got != want {
						t.Errorf("%s inside %q, want %q", h, got, want)
					}
					w.must(in.Reject(486))
				}
				w.over(firstOut, first)
				w.over(second, secondOut)
				w.sleep(40 * time.Second)
				w.settled()
				w.clean()
			})
		})
	}
}

// A phone that never registered calls out, is hung up on and called back inside
// the dialog.
func TestUnregisteredPhoneCalls(t *testing.T) {
	for _, proto := range transports {
		for _, lan := range []string{peer.UDP, peer.TCP} {
			t.Run(proto+" from "+lan, func(t *testing.T) {
				live(t, plan{proto: proto}, func(w *world) {
					alice := w.phone(w.phoneA, "alice", lan)
					near, far := w.answered(alice, "ring")
					w.heard(near, far)
					w.must(far.Hold(w.within(5 * time.Second)))
					w.must(far.Resume(w.within(5 * time.Second)))
					w.heard(near, far)
					w.over(far, near)
					if by := near.EndedBy(); by.CallID() != near.CallID() || !strings.Contains(by.CallID(), lanPhoneA) {
						t.Errorf("BYE of %s, the call is %s", by.CallID(), near.CallID())
					}
					w.sleep(40 * time.Second)
					w.settled()
					w.clean()
				})
			})
		}
	}
}

// A phone that moves its Contact in a re-INVITE is found at the new one.
func TestTargetRefresh(t *testing.T) {
	live(t, plan{proto: peer.TCP, prov: open}, func(w *world) {
		alice := w.raw(w.phoneA, peer.UDP)
		_, err := alice.Send(dialog("INVITE", "alice", "sip:ring@"+domain, sdp))
		w.must(err)
		far, err := w.prov.Expect(w.within(time.Second))
		w.must(err)
		w.must(far.Answer())
		ok, err := alice.Wait(w.within(time.Second), func(m *peer.Message) bool { return m.Status() == 200 })
		w.must(err)
		within := func(method, contact, more string) string {
			s := strings.ReplaceAll(dialog(method, "alice", uriOf(ok.Get("contact")), "Route: "+ok.Get("record-route")+"\n"+more), "To: <"+uriOf(ok.Get("contact"))+">", "To: "+ok.Get("to"))
			return strings.ReplaceAll(s, "<sip:alice@{addr}", "<sip:"+contact+"@{addr}")
		}
		_, err = alice.Send(within("ACK", "alice", ""))
		w.must(err)
		alice.Set("cseq", "2")
		_, err = alice.Exchange(w.within(time.Second), within("INVITE", "desk", sdp))
		w.must(err)
		_, err = alice.Send(within("ACK", "desk", ""))
		w.must(err)
		w.sleep(time.Second)
		go func() { _ = far.Hangup(w.ctx) }()
		bye, err := alice.WaitRequest(w.within(5*time.Second), "BYE", 1)
		w.must(err)
		if !strings.HasPrefix(bye.URI(), "sip:desk@"+lanPhoneA) {
			t.Errorf("BYE to %s", bye.URI())
		}
		w.must(alice.Respond(bye, 200, nil, ""))
		w.sleep(40 * time.Second)
		w.settled()
		w.clean()
	})
}
