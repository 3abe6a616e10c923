package app_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/memnet"
	"pinhole/testbed/peer"
)

const (
	wanEdge     = "203.0.113.3" // Pinhole itself, where it runs on the router
	wanStranger = "198.51.100.66"
)

// A scan is what a stranger tries.
func scan(to string) []string {
	var out []string
	for _, method := range []string{"OPTIONS", "REGISTER", "INVITE", "MESSAGE", "BYE", "CANCEL", "ACK", "NOTIFY", "SUBSCRIBE", "FOO"} {
		for _, target := range []string{"sip:" + to, "sip:alice@" + to, "sip:100@" + domain, "sip:" + domain} {
			out = append(out, dialog(method, "scanner", target, ""))
		}
	}
	return append(out,
		"SIP/2.0 200 OK\nVia: SIP/2.0/UDP "+to+";branch=z9hG4bK00000000deadbeefdeadbeef\nFrom: <sip:a@b>;tag=1\nTo: <sip:a@b>;tag=2\nCall-ID: x\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n",
		"INVITE sip:a@b SIP/7.0\nVia: x\n\n", "GET / HTTP/1.1\n\n", "\n\n", "\x00\x01\x00\x00\x21\x12\xa4\x42123456789012",
	)
}

// Promise 9, H-7, F-12: a stranger on the internet gets no byte from any socket
// of ours, over UDP or TCP, and all of it is counted.
func TestStrangersGetSilence(t *testing.T) {
	const listener = "[listen.wan]\naddress = \"" + wanEdge + ":5060\"\ntransports = [\"udp\", \"tcp\"]\nallow = [\"192.168.1.0/24\"]\n"
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto, edge: true, extra: listener}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				flow := w.registered(alice, "alice").Flow.Remote()
				far, near := w.called(alice, "alice")
				w.heard(far, near)
				heard := 0
				w.wan.Tap(func(p memnet.Packet) {
					if p.Dst.Addr().String() == wanStranger && p.Src.Addr().String() == wanEdge && (!p.TCP || len(p.Payload) > 0) {
						heard++
						t.Errorf("the stranger got %q", p.Payload)
					}
				})
				stranger := w.wan.Host(wanStranger)
				targets := []netip.AddrPort{flow, netip.MustParseAddrPort(wanEdge + ":5060")}
				rtp := far.Media().Remote()
				targets = append(targets, rtp, netip.AddrPortFrom(rtp.Addr(), rtp.Port()+1))
				for _, to := range targets {
					for _, over := range []string{peer.UDP, peer.TCP} {
						w.tries(stranger, over, to)
					}
				}
				w.sleep(time.Minute)
				all := w.count.Snapshot()
				if all["stranger_datagrams_total"] == 0 || all["stranger_connections_total"] == 0 {
					t.Errorf("counted %d datagrams, %d connections", all["stranger_datagrams_total"], all["stranger_connections_total"])
				}
				w.heard(far, near)
				w.over(far, near)
				w.settled()
			})
		})
	}
}

// tries sends a scan from a host to one of our sockets.
func (w *world) tries(from *memnet.Host, over string, to netip.AddrPort) {
	w.t.Helper()
	for i, m := range scan(to.String()) {
		if over == peer.TCP && i%8 != 0 {
			continue // a connection each: some will do
		}
		p, err := peer.NewRawPhone(w.ctx, from, over, netip.AddrPort{}, to, nil)
		if err != nil {
			continue // refused
		}
		_ = p.SendBytes([]byte(p.Fill(m)))
		w.sleep(10 * time.Millisecond)
		p.Close()
	}
}

// A neighbour on the LAN outside the allowed networks is a stranger too.
func TestLANStrangersGetSilence(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		other := w.lan.Host("10.9.9.9")
		w.lan.Tap(func(p memnet.Packet) {
			if p.Dst.Addr().String() == "10.9.9.9" && (!p.TCP || len(p.Payload) > 0) {
				t.Errorf("got %q", p.Payload)
			}
		})
		for _, over := range []string{peer.UDP, peer.TCP} {
			w.tries(other, over, netip.MustParseAddrPort(lanProxy+":5060"))
		}
		w.registered(w.phone(w.phoneA, "alice", peer.UDP), "alice")
	})
}

// Nor does anybody outside reach through the NAT's mapping: the router filters
// nothing here.
func TestStrangersBehindAnOpenNAT(t *testing.T) {
	for _, proto := range transports {
		t.Run(proto, func(t *testing.T) {
			live(t, plan{proto: proto, nat: func(n *memnet.NAT) { n.Filtering = memnet.EndpointIndependent }}, func(w *world) {
				flow := w.registered(w.phone(w.phoneA, "alice", peer.UDP), "alice").Flow.Remote()
				w.wan.Tap(func(p memnet.Packet) {
					if p.Dst.Addr().String() == wanStranger && (!p.TCP || len(p.Payload) > 0) {
						t.Errorf("the stranger got %q", p.Payload)
					}
				})
				stranger := w.wan.Host(wanStranger)
				for _, over := range []string{peer.UDP, peer.TCP} {
					w.tries(stranger, over, flow)
				}
				w.sleep(time.Minute)
				w.settled()
			})
		})
	}
}

// 10,000 datagrams of noise, and of SIP with bytes changed, from a phone's
// address and on the flow: the answers are few, and nothing stays behind.
func TestRandomDatagrams(t *testing.T) {
	live(t, plan{proto: peer.UDP}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.UDP)
		flow := w.registered(alice, "alice").Flow
		noisy := w.raw(w.phoneB, peer.UDP)
		rnd := rand.New(rand.NewPCG(1, 2))
		models := []string{registerOf("bob"), dialog("INVITE", "bob", "sip:echo@"+domain, sdp), dialog("OPTIONS", "bob", "sip:"+domain, "")}
		for _, m := range append(w.prov.Messages(), alice.Messages()...) {
			models = append(models, m.Raw)
		}
		for i := range 10_000 {
			var b []byte
			if i%2 == 0 {
				b = make([]byte, rnd.IntN(1500))
				for j := range b {
					b[j] = byte(rnd.Uint32())
				}
			} else {
				b = []byte(noisy.Fill(models[rnd.IntN(len(models))]))
				for range 1 + rnd.IntN(8) {
					b[rnd.IntN(len(b))] = byte(rnd.Uint32())
				}
				if rnd.IntN(4) == 0 {
					b = b[:rnd.IntN(len(b))]
				}
			}
			if i%4 < 2 {
				w.must(noisy.SendBytes(b))
			} else {
				w.must(flow.Send(b))
			}
			if i%100 == 0 {
				w.sleep(10 * time.Millisecond)
			}
		}
		w.sleep(time.Second)
		broken := 0
		for _, m := range noisy.Messages() {
			if m.Status() == 400 || m.Status() == 505 {
				broken++
			}
		}
		if broken > 30 {
			t.Errorf("%d answers to broken messages", broken)
		}
		outside, err := w.prov.Call(w.ctx, "alice")
		w.must(err)
		var inside *peer.Call
		for inside == nil || inside.CallID() != outside.CallID() { // some of the noise rang too
			inside, err = alice.Expect(w.within(5 * time.Second))
			w.must(err)
		}
		w.must(inside.Answer())
		w.must(outside.Answered(w.within(5 * time.Second)))
		w.heard(outside, inside)
		w.over(inside, outside)
		w.sleep(4 * time.Minute)
		w.settled()
	})
}

// F-9: what UDP phones send to keep their NAT open gets no answer.
func TestUDPKeepAlivesGetNoAnswer(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		p := w.raw(w.phoneA, peer.UDP)
		w.rawRegister(p, "alice", "secret")
		sent := 0
		w.lan.Tap(func(k memnet.Packet) {
			if k.Src.String() == lanProxy+":5060" {
				sent++
			}
		})
		for _, b := range []string{"", "\r\n", "\r\n\r\n", "\x00", "\x00\x00\x00\x00", "jaK", " "} {
			for range 100 {
				w.must(p.SendBytes([]byte(b)))
			}
		}
		w.sleep(time.Second)
		if sent != 0 {
			t.Errorf("%d answers", sent)
		}
		if _, err := w.prov.Call(w.ctx, "alice"); err != nil {
			t.Error(err)
		}
		_, err := p.Wait(w.within(time.Second), request("INVITE"))
		w.must(err)
	})
}

// F-8: a ping on a connection is answered with one CRLF, whole, in pieces, or
// glued to messages.
func TestPongs(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		p := w.raw(w.phoneA, peer.TCP)
		options := p.Fill(dialog("OPTIONS", "alice", "sip:"+lanProxy, ""))
		for i, pieces := range [][]string{
			{"\r\n\r\n"}, {"\r\n", "\r\n"}, {"\r", "\n\r", "\n"}, {options + "\r\n\r\n"}, {"\r\n\r\n" + options}, {"\r\n\r\n" + options + "\r\n", "\r\n"},
		} {
			before := p.Flow().Pongs()
			for _, b := range pieces {
				w.must(p.SendBytes([]byte(b)))
				w.sleep(10 * time.Millisecond)
			}
			want := strings.Count(strings.Join(pieces, ""), "\r\n\r\n") - strings.Count(strings.Join(pieces, ""), options)
			if got := p.Flow().Pongs() - before; got != want {
				t.Errorf("%d: %d pongs, want %d", i, got, want)
			}
		}
	})
}

// F-10: a phone may ask us for its address on the SIP port.
func TestSTUNOnTheSIPPort(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		pc, err := w.phoneA.ListenPacket(w.ctx, netip.MustParseAddrPort(lanPhoneA+":7000"))
		w.must(err)
		defer func() { _ = pc.Close() }()
		_, err = pc.WriteToUDPAddrPort([]byte("\x00\x01\x00\x00\x21\x12\xa4\x42123456789012"), netip.MustParseAddrPort(lanProxy+":5060"))
		w.must(err)
		w.must(pc.SetReadDeadline(time.Now().Add(time.Second)))
		b := make([]byte, 100)
		n, _, err := pc.ReadFromUDPAddrPort(b)
		w.must(err)
		if n < 32 || b[0] != 1 || b[1] != 1 || string(b[8:20]) != "123456789012" {
			t.Errorf("%x", b[:n])
		}
	})
}

// H-6: bodies of 4 GB, headers without an end, half messages and a thousand idle
// connections: each costs little, ends in time, and no phone notices.
func TestHostileConnections(t *testing.T) {
	live(t, plan{proto: peer.TCP}, func(w *world) {
		alice := w.phone(w.phoneA, "alice", peer.TCP)
		w.registered(alice, "alice")
		before := heap()
		for name, bytes := range map[string]string{
			"4 GB":           dialogText("Content-Length: 4294967295") + "body",
			"8 EB":           dialogText("Content-Length: 9223372036854775807"),
			"20 digits":      dialogText("Content-Length: 99999999999999999999"),
			"endless header": "INVITE sip:a@b SIP/2.0\r\nX: " + strings.Repeat("x", 1<<20),
			"endless line":   strings.Repeat("I", 1<<20),
			"endless lines":  "INVITE sip:a@b SIP/2.0\r\n" + strings.Repeat("X: y\r\n", 1<<17),
			"half a message": "INVITE sip:a@b SIP/2.0\r\nVia: ",
			"half a body":    dialogText("Content-Length: 100") + "only this",
		} {
			p := w.raw(w.phoneB, peer.TCP)
			_ = p.SendBytes([]byte(bytes))
			w.sleep(15 * time.Second)
			if p.Flow().Alive() {
				t.Errorf("%s: the connection is open after 15 s", name)
			}
		}
		outside, inside := w.called(alice, "alice")
		var idle []transport.Conn
		var neighbour *memnet.Host
		for i := range 1000 {
			host := netip.AddrFrom4([4]byte{192, 168, 1, byte(20 + i/5)})
			if i%5 == 0 {
				neighbour = w.lan.Host(host.String())
			}
			if c, err := neighbour.Dial(w.ctx, netip.AddrPort{}, netip.MustParseAddrPort(lanProxy+":5060")); err == nil {
				idle = append(idle, c)
			}
		}
		const bound = 32 << 20 // the in-memory network's share included
		if grown := int64(heap()) - int64(before); grown > bound {
			t.Errorf("the heap grew by %d bytes", grown)
		}
		if len(idle) != 1000 {
			t.Errorf("%d connections", len(idle))
		}
		w.heard(outside, inside)
		w.over(outside, inside)
		w.must(alice.Reconnect(w.ctx))
		w.registered(alice, "alice")
		w.sleep(31 * time.Second)
		for _, c := range idle {
			w.must(c.SetReadDeadline(time.Now().Add(time.Millisecond)))
			if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("an idle connection is open: %v", err)
			}
			_ = c.Close()
		}
		outside, inside = w.called(alice, "alice")
		w.over(inside, outside)
	})
}

// dialogText is a request with a header line in place of Content-Length.
func dialogText(line string) string {
	return "MESSAGE sip:bob@" + domain + " SIP/2.0\r\nVia: SIP/2.0/TCP 192.168.1.11;branch=z9hG4bKhostile\r\nFrom: <sip:a@b>;tag=1\r\n" +
		"To: <sip:b@b>\r\nCall-ID: hostile\r\nCSeq: 1 MESSAGE\r\n" + line + "\r\n\r\n"
}

// P-5: what comes back to us is not sent out again: it ends at a phone, or with
// an error, after few messages.
func TestLoops(t *testing.T) {
	for _, row := range []struct{ uri, to string }{
		{"sip:nobody@" + wanRouter, "sip:nobody@" + domain}, {"sip:echo@" + domain, "sip:echo@" + domain}, {"sip:+4999@" + wanSIP, "sip:+4999@" + domain},
	} {
		t.Run(row.uri, func(t *testing.T) {
			live(t, plan{proto: peer.TCP, prov: open}, func(w *world) {
				alice, bob := w.phone(w.phoneA, "alice", peer.UDP), w.phone(w.phoneB, "bob", peer.UDP)
				w.registered(alice, "alice")
				w.registered(bob, "bob")
				w.prov.Set(func(q *peer.Quirks) { q.Ignore = map[string]bool{"INVITE": true} })
				call, err := alice.Call(w.ctx, "echo")
				w.must(err)
				invite, err := w.prov.WaitRequest(w.within(time.Second), "INVITE", 1)
				w.must(err)
				returned := strings.Replace(invite.Raw, invite.URI(), row.uri, 1)
				returned = strings.Replace(returned, "\r\n", "\r\nVia: SIP/2.0/TCP "+wanSIP+";branch=z9hG4bKback\r\n", 1)
				w.must(w.prov.SendRaw(invite.Flow, returned))
				answer, err := w.prov.Wait(w.within(time.Second), func(m *peer.Message) bool { return !m.Sent && m.Status() >= 200 && m.Method() == "INVITE" })
				w.must(err)
				if answer.Status() != 404 {
					t.Errorf("%s", answer.Start())
				}
				w.respond(invite, "482 Loop Detected", nil, "")
				if err := call.Answered(w.within(time.Second)); peer.Status(err) != 482 {
					t.Error(err)
				}
				if n := len(w.prov.Received("INVITE")); n != 1 {
					t.Errorf("%d INVITEs", n)
				}
				w.sleep(40 * time.Second)
				w.settled()
			})
		})
	}
}

// A phone that is a PBX may send a call back for ever: Max-Forwards ends it.
func TestLoopThroughAPhone(t *testing.T) {
	live(t, plan{proto: peer.TCP, prov: open}, func(w *world) {
		hops := 0
		var pbx *peer.RawPhone
		forward := func(m *peer.Message) {
			text := strings.Replace(m.Raw, "INVITE "+m.URI(), "INVITE sip:alice@"+domain, 1)
			text = strings.Replace(text, "\r\n", fmt.Sprintf("\r\nVia: SIP/2.0/TCP %s;branch=z9hG4bKpbx%d\r\n", pbx.Flow().Local(), hops), 1)
			for _, v := range m.Values("record-route") {
				text = strings.Replace(text, "Record-Route: "+v+"\r\n", "", 1)
			}
			hops++
			_ = pbx.SendBytes([]byte(text))
		}
		pbx = w.raw(w.phoneA, peer.TCP)
		w.rawRegister(pbx, "alice", "secret")
		_, err := w.prov.Call(w.ctx, "alice")
		w.must(err)
		for n := 1; ; n++ {
			ctx := w.within(time.Second)
			m, err := pbx.WaitRequest(ctx, "INVITE", n)
			if err != nil {
				break
			}
			if hops > 100 {
				t.Fatal("the loop does not end")
			}
			forward(m)
		}
		if hops < 10 || hops > 40 { // 70, and each round counts it down twice
			t.Errorf("%d hops", hops)
		}
		w.sleep(5 * time.Minute)
		w.settled()
	})
}

// heap returns the bytes in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
