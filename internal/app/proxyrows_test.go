package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// P-1: Max-Forwards goes down by one; where there is none 70 is put; 0 is the
// end.
func TestMaxForwards(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		p := w.raw(w.phoneA, peer.UDP)
		for had, want := range map[string]string{"70": "69", "1": "0", "": "70", "300": "70", "007": "6"} {
			p.Set("callid", "mf"+had)
			text := strings.Replace(dialog("MESSAGE", "alice", "sip:bob@"+domain, ""), "Max-Forwards: 70", "Max-Forwards: "+had, 1)
			if had == "" {
				text = strings.Replace(text, "Max-Forwards: \n", "", 1)
			}
			_, err := p.Exchange(w.within(time.Second), text)
			w.must(err)
			if got := w.last(w.prov.Received("MESSAGE")).Values("max-forwards"); len(got) != 1 || got[0] != want {
				t.Errorf("%q became %q, want %q", had, got, want)
			}
		}
		m, err := p.Exchange(w.within(time.Second), strings.Replace(dialog("MESSAGE", "alice", "sip:bob@"+domain, ""), "Max-Forwards: 70", "Max-Forwards: 0", 1))
		w.must(err)
		if m.Status() != 483 {
			t.Errorf("0: %s", m.Start())
		}
	})
}

// P-2: a tag in Proxy-Require is ours to refuse, one in Require is not.
func TestProxyRequire(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		p := w.raw(w.phoneA, peer.UDP)
		m, err := p.Exchange(w.within(time.Second), dialog("MESSAGE", "alice", "sip:bob@"+domain, "Proxy-Require: sec-agree, nothing\nRequire: other"))
		w.must(err)
		if m.Status() != 420 || m.Get("unsupported") != "sec-agree, nothing" {
			t.Errorf("%s\n%s", m.Start(), m.Raw)
		}
		_, err = p.Exchange(w.within(time.Second), dialog("MESSAGE", "alice", "sip:bob@"+domain, "Require: other"))
		w.must(err)
		if got := w.last(w.prov.Received("MESSAGE")).Get("require"); got != "other" {
			t.Errorf("Require %q", got)
		}
	})
}

// P-21: our own Route goes, others stay in their order, the Request-URI too.
func TestRoutes(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		p := w.raw(w.phoneA, peer.UDP)
		for routes, want := range map[string]string{
			"Route: <sip:" + lanProxy + ":5060;lr>":                                                                     "",
			"Route: <sip:" + lanProxy + ";lr>, <sip:orig@proxy.example.com;lr>":                                         "<sip:orig@proxy.example.com;lr>",
			"Route: <sip:main@" + lanProxy + ":5060;lr>\nRoute: <sip:a@x.example.com;lr>\nRoute: <sip:b@y.example.com>": "<sip:a@x.example.com;lr> <sip:b@y.example.com>",
			"Route: <sip:orig@proxy.example.com;lr>":                                                                    "<sip:orig@proxy.example.com;lr>",
		} {
			p.Set("callid", fmt.Sprint("route", len(routes)))
			_, err := p.Exchange(w.within(time.Second), dialog("MESSAGE", "alice", "sip:bob@"+domain, routes))
			w.must(err)
			m := w.last(w.prov.Received("MESSAGE"))
			if got := strings.Join(m.Elems("route"), " "); got != want || m.URI() != "sip:bob@"+domain {
				t.Errorf("%s\nleft %q to %s, want %q", routes, got, m.URI(), want)
			}
		}
	})
}

// P-26: received and rport are set in the phone's topmost Via, whatever it
// claims, and the answer comes from the socket that was asked.
func TestReceivedAndRport(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		for _, row := range []struct{ via, want string }{
			{"{addr};branch={branch};rport", ";rport={port};received={host}"},
			{"10.1.2.3:5060;branch={branch};rport", ";rport={port};received={host}"},
			{"phone.local;branch={branch}", ";received={host}"},
			{"{addr};branch={branch}", ""},
			{"{addr};rport=1;received=1.2.3.4;branch={branch}", ";rport={port};received={host}"},
		} {
			p := w.raw(w.phoneA, peer.UDP)
			text := strings.Replace(dialog("OPTIONS", "alice", "sip:"+lanProxy, ""), "{addr};branch={branch};rport\nFrom", row.via+", SIP/2.0/UDP lower.example.net;branch=z9hG4bKx;odd\nFrom", 1)
			raw, err := p.Send(text)
			w.must(err)
			m, err := p.Receive(w.within(time.Second))
			w.must(err)
			vias := m.Elems("via")
			if len(vias) != 2 || vias[1] != "SIP/2.0/UDP lower.example.net;branch=z9hG4bKx;odd" {
				t.Errorf("Vias %q", vias)
			}
			want := strings.NewReplacer("{port}", fmt.Sprint(p.Flow().Local().Port()), "{host}", lanPhoneA).Replace(row.want)
			if want != "" && !strings.HasSuffix(vias[0], want) || want == "" && strings.Contains(vias[0], "received") {
				t.Errorf("sent\n%s\ngot Via %q, want %q", raw, vias[0], want)
			}
			if m.From.String() != lanProxy+":5060" {
				t.Errorf("from %s", m.From)
			}
		}
	})
}

// P-28, P-29: a datagram of 32 KiB arrives whole, and with one right
// Content-Length, which it may lack or abbreviate; one of 60 KiB is read whole,
// and refused for its body.
func TestLength(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto}, func(w *world) {
				p := w.raw(w.phoneA, peer.UDP)
				for i, row := range []struct{ line, body string }{
					{"Content-Length: {length}", strings.Repeat("x", 31<<10)}, {"l: {length}", "body"}, {"CONTENT-LENGTH  :  {length}", "body"}, {"X: y", "body"}, {"l: 4", "body and more"},
				} {
					p.Set("callid", fmt.Sprint("length", i))
					raw, err := p.Send(strings.Replace(dialog("MESSAGE", "alice", "sip:bob@"+domain, "Content-Type: text/plain\n\n"+row.body), "Content-Length: {length}", row.line, 1))
					w.must(err)
					m, err := w.prov.WaitRequest(w.within(5*time.Second), "MESSAGE", i+1)
					w.must(err)
					want := row.body
					if strings.HasSuffix(row.line, " 4") {
						want = want[:4]
					}
					if m.Body() != want || m.Get("content-length") != fmt.Sprint(len(want)) || len(m.Values("content-length")) != 1 {
						t.Errorf("%.300q\nbecame\n%.600q", raw, m.Raw)
					}
				}
				m, err := p.Exchange(w.within(time.Second), dialog("MESSAGE", "alice", "sip:bob@"+domain, "Content-Type: text/plain\n\n"+strings.Repeat("x", 60<<10)))
				w.must(err)
				if m.Status() != 413 {
					t.Errorf("60 KiB: %s", m.Start())
				}
			})
		})
	}
}

// P-30: a phone on a connection gets its answers there; one whose connection is
// gone while it rings leaves nothing behind.
func TestPhoneHangsUpTheConnection(t *testing.T) {
	for _, out := range []bool{true, false} {
		t.Run(map[bool]string{true: "calling", false: "called"}[out], func(t *testing.T) {
			live(t, plan{proto: peer.TCP}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.TCP)
				w.registered(alice, "alice")
				if out {
					_, err := alice.Call(w.ctx, "ring")
					w.must(err)
					far, err := w.prov.Expect(w.within(time.Second))
					w.must(err)
					alice.Flow().Close()
					w.sleep(time.Second)
					w.must(far.Answer())
					w.sleep(time.Second)
					_ = far.Hangup(w.within(5 * time.Second))
				} else {
					far, err := w.prov.Call(w.ctx, "alice")
					w.must(err)
					near, err := alice.Expect(w.within(time.Second))
					w.must(err)
					w.must(near.Ring())
					w.must(far.Rings(w.within(time.Second)))
					alice.Flow().Close()
					if err := far.Answered(w.within(time.Second)); peer.Status(err) != 480 {
						t.Errorf("%v, want 480", err)
					}
				}
				w.sleep(7 * time.Minute)
				w.settled()
			})
		})
	}
}

// P-37: OPTIONS to us is ours to answer, OPTIONS to an alias goes to the phone;
// for a phone that is gone it is 480.
func TestOptions(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		p := w.raw(w.phoneB, peer.UDP)
		m, err := p.Exchange(w.within(time.Second), dialog("OPTIONS", "bob", "sip:"+lanProxy+":5060", ""))
		w.must(err)
		if m.Status() != 200 || m.Get("accept") == "" {
			t.Errorf("%s", m.Start())
		}
		alice, bob := w.phone(w.phoneA, "alice", peer.TCP), w.phone(w.phoneB, "bob", peer.UDP)
		w.registered(alice, "alice")
		w.registered(bob, "bob")
		_, err = w.prov.Request(w.within(time.Second), "OPTIONS", "alice", nil, "")
		w.must(err)
		if n := len(alice.Received("OPTIONS")); n != 1 {
			t.Errorf("the phone got %d", n)
		}
		alice.Flow().Close()
		w.sleep(100 * time.Millisecond)
		if _, err := w.prov.Request(w.within(time.Second), "OPTIONS", "alice", nil, ""); peer.Status(err) != 480 {
			t.Errorf("the phone is gone: %v", err)
		}
	})
}

// a GRUU in a dialog is the provider's and stays.
func TestGRUUStays(t *testing.T) {
	live(t, plan{proto: peer.TCP, prov: open}, func(w *world) {
		p := w.raw(w.phoneA, peer.UDP)
		gruu := "<sip:alice@" + domain + ";gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"
		_, err := p.Send(strings.Replace(dialog("INVITE", "alice", "sip:ring@"+domain, sdp), "<sip:alice@{addr};transport={proto}>", gruu, 1))
		w.must(err)
		m, err := w.prov.WaitRequest(w.within(time.Second), "INVITE", 1)
		w.must(err)
		if m.Get("contact") != gruu {
			t.Errorf("Contact %s", m.Get("contact"))
		}
	})
}

// D-9, P-34, P§1: what others signed or negotiate passes as it is.
func TestSignedAndNegotiatedHeaders(t *testing.T) {
	extra := []string{
		"Identity: \"eyJhbGciOiJFUzI1NiJ9..sig\";info=<https://cert.example.org/p.cer>;alg=ES256", "Date: Thu, 21 Feb 2002 13:02:03 GMT",
		"Session-Expires: 1800;refresher=uas", "Min-SE: 90", "Supported: timer,replaces", "P-Preferred-Identity: \"A\" <sip:alice@" + domain + ">",
		"Privacy: id;header", "Accept-Language: da, en-gb;q=0.8", "Geolocation: <cid:a@b>", "History-Info: <sip:x@y>;index=1", "X-Long: " + strings.Repeat("y", 3000),
	}
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto, prov: open}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				w.registered(alice, "alice")
				call, err := alice.Call(w.ctx, "ring", extra...)
				w.must(err)
				far, err := w.prov.Expect(w.within(time.Second))
				w.must(err)
				w.passed(call.Invite(), far.Invite())
				w.must(far.Answer())
				w.must(call.Answered(w.within(time.Second)))
				w.passed(w.last(withStatus(w.prov.Sent("INVITE"), 200)), w.last(withStatus(alice.Responses("INVITE"), 200)))
				out, err := w.prov.Call(w.ctx, "alice", peer.WithHeaders(extra...))
				w.must(err)
				in, err := alice.Expect(w.within(time.Second))
				w.must(err)
				w.passed(out.Invite(), in.Invite())
			})
		})
	}
}
