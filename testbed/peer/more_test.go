package peer_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

// The offer may come in the 200, both ways.
func TestLateOffer(t *testing.T) {
	inMemory(t, peer.ProviderConfig{Numbers: map[string]peer.Answer{"100": peer.AnswerNow}}, func(w *world) {
		alice := w.phone(0, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.LateOffer = true })
		w.registered(alice)
		out, err := alice.Call(w.ctx, "100")
		w.must("call", err)
		w.must("answered", out.Answered(w.ctx))
		far := w.expect(w.prov)
		w.must("confirmed", far.Confirmed(w.ctx))
		if out.Invite().Body() != "" || far.Ack().Body() == "" {
			t.Error("the offer was not late")
		}
		w.audio(out, far)
		in, err := w.prov.Call(w.ctx, "alice", peer.WithLateOffer())
		w.must("call", err)
		got := w.expect(alice)
		w.must("answer", got.Answer())
		w.must("confirmed", got.Confirmed(w.ctx))
		w.audio(in, got)
	})
}

// Provisional responses are acknowledged where both sides do that.
func TestReliable(t *testing.T) {
	conf := peer.ProviderConfig{Numbers: map[string]peer.Answer{"100": peer.AnswerEarly}, Reliable: true}
	lossy(t, 0.1, conf, func(w *world) {
		alice := w.phone(0, "alice", peer.UDP, func(c *peer.PhoneConfig) { c.Reliable = true })
		w.registered(alice)
		out, err := alice.Call(w.ctx, "100")
		w.must("call", err)
		w.must("answered", out.Answered(w.ctx))
		if n := len(w.prov.Received("PRACK")); n != 1 {
			t.Errorf("%d PRACKs", n)
		}
		w.must("hangup", out.Hangup(w.ctx))
		in, err := w.prov.Call(w.ctx, "alice")
		w.must("call", err)
		got := w.expect(alice)
		w.must("progress", got.Progress(183, true))
		_, err = alice.WaitRequest(w.ctx, "PRACK", 1)
		w.must("PRACK", err)
		w.must("answer", got.Answer())
		w.must("answered", in.Answered(w.ctx))
	})
}

// Requests inside a dialog may be challenged, and answers bear a route set.
func TestChallengeAll(t *testing.T) {
	const route = "<sip:203.0.113.5:5060;lr;a=1>"
	conf := peer.ProviderConfig{
		Numbers: map[string]peer.Answer{"100": peer.AnswerNow},
		Quirks:  peer.Quirks{ChallengeAll: true, RecordRoute: []string{route}},
	}
	inMemory(t, conf, func(w *world) {
		out, err := w.phone(0, "alice", peer.UDP).Call(w.ctx, "100")
		w.must("call", err)
		w.must("answered", out.Answered(w.ctx))
		far := w.expect(w.prov)
		w.must("confirmed", far.Confirmed(w.ctx))
		w.prov.ExpireNonces()
		w.must("hold", out.Hold(w.ctx))
		w.prov.ExpireNonces()
		w.must("hangup", out.Hangup(w.ctx))
		for _, m := range w.prov.Received("BYE") {
			if !slices.Equal(m.Values("route"), []string{route}) {
				t.Errorf("BYE with the routes %q", m.Values("route"))
			}
		}
		if n := len(w.prov.Received("BYE")); n != 2 {
			t.Errorf("%d BYEs", n)
		}
	})
}

// A test may take a request into its own hands.
func TestHandle(t *testing.T) {
	conf := peer.ProviderConfig{Handle: func(r *peer.Request) bool {
		return r.Method() == "REGISTER" && r.Respond(499, "My Own", []string{"X-Own: yes"}, "") == nil
	}}
	inMemory(t, conf, func(w *world) {
		r, err := w.phone(0, "alice", peer.TCP).Register(w.ctx)
		if peer.Status(err) != 499 || r.Response.Start() != "SIP/2.0 499 My Own" || r.Response.Get("x-own") != "yes" {
			t.Errorf("got %v", err)
		}
	})
}

// Another socket leaves the old binding at the registrar.
func TestReconnect(t *testing.T) {
	for _, proto := range []string{peer.UDP, peer.TCP} {
		t.Run(proto, func(t *testing.T) {
			inMemory(t, peer.ProviderConfig{}, func(w *world) {
				alice := w.phone(0, "alice", proto)
				w.registered(alice)
				w.must("reconnect", alice.Reconnect(w.ctx))
				w.registered(alice)
				list, err := w.prov.WaitBinding(w.ctx, "alice", 2)
				w.must("two bindings", err)
				if list[0].Flow.Remote() == list[1].Flow.Remote() {
					t.Error("the same source")
				}
				_, err = w.prov.Call(w.ctx, "alice")
				w.must("call", err)
				w.expect(alice)
			})
		})
	}
}

// A flow that is paused reads nothing until it goes on.
func TestPause(t *testing.T) {
	inMemory(t, peer.ProviderConfig{}, func(w *world) {
		alice := w.phone(0, "alice", peer.TCP)
		w.registered(alice)
		alice.Flow().Pause(true)
		for _, branch := range []string{"a", "b", "c"} {
			w.must("send", w.prov.SendRaw(w.prov.Bindings("alice")[0].Flow, "OPTIONS sip:alice SIP/2.0\r\n"+
				"Via: SIP/2.0/TCP 203.0.113.5;branch=z9hG4bK"+branch+"\r\nFrom: <sip:x>;tag=1\r\nTo: <sip:alice>\r\n"+
				"Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"))
		}
		synctest.Wait()
		if n := len(alice.Received("OPTIONS")); n > 0 {
			t.Errorf("%d OPTIONS read while paused", n)
		}
		alice.Flow().Pause(false)
		_, err := alice.WaitRequest(w.ctx, "OPTIONS", 3)
		w.must("three OPTIONS", err)
	})
}

func TestDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		t.Cleanup(n.Close)
		wan := n.Segment("wan", netip.MustParsePrefix("203.0.113.0/24"))
		server, err := peer.NewDNS(wan.Host("203.0.113.1"), netip.MustParseAddrPort("203.0.113.1:53"),
			"sip.example.com. 60 IN A 203.0.113.5", "_sip._udp.example.com. 60 IN SRV 0 0 5060 sip.example.com.")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		pc, err := wan.Host("203.0.113.10").ListenPacket(t.Context(), netip.MustParseAddrPort("203.0.113.10:0"))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int{"Sip.example.com.": dns.RcodeSuccess, "nowhere.example.com.": dns.RcodeNameError} {
			var q, a dns.Msg
			q.SetQuestion(name, dns.TypeA)
			b, err := q.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pc.WriteToUDPAddrPort(b, server.Addr()); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 1500)
			size, _, err := pc.ReadFromUDPAddrPort(buf)
			if err != nil || a.Unpack(buf[:size]) != nil || a.Rcode != want {
				t.Errorf("%s: %v %v", name, &a, err)
			}
		}
		server.Down(true)
		if err := pc.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if len(server.Asked()) != 2 {
			t.Errorf("asked %q", server.Asked())
		}
	})
}
