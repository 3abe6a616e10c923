//go:build lab

package lab

import (
	"net/netip"
	"testing"

	"pinhole/testbed/need"
	"pinhole/testbed/peer"
)

// Phones that are not ours register through Pinhole, are called and heard.

func TestBaresipBehindPinhole(t *testing.T) {
	need.Root(t)
	t.Parallel()
	for _, v := range []struct{ lan, proto string }{{"udp", peer.TLS}, {"tcp", peer.UDP}} {
		t.Run(v.lan+"-to-"+v.proto, func(t *testing.T) {
			t.Parallel()
			c := NewCell(t, RouterOptions{ALG: true})
			provider := c.StartProvider(Certificate{})
			c.StartSTUN()
			bob := c.OutsidePhone(outsidePhone)
			pinhole := c.StartPinhole(provider, PinholeOptions{Place: OnHost, Proto: v.proto})
			baresip := c.StartBaresip(c.Phones, "alice", phoneLAN, netip.AddrPortFrom(hostLAN, 5060), v.lan)
			pinhole.mapped(provider, "alice")

			call, err := bob.Call(c.within(patience), "alice")
			if err != nil {
				t.Fatal(err)
			}
			if err := call.Answered(c.within(patience)); err != nil {
				t.Fatal(err)
			}
			audio, err := call.Audio(c.within(patience), talk, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := call.Hangup(c.within(patience)); err != nil {
				t.Fatal(err)
			}
			c.eventually("baresip counts the call", patience, func() error {
				_, _, err := baresip.Packets()
				return err
			})
			sent, received, _ := baresip.Packets()
			tone := call.Media().Strange()
			t.Logf("baresip received %d packets of %d after the first 500 ms; bob heard %d of its %d", received, audio.Out.Sent, tone, sent)
			if received < audio.Out.Sent*95/100 || tone < sent*95/100 {
				t.Error("want 95 %")
			}
			c.assertUntouched(OnHost)
			c.assertNoLeaks(provider, "REGISTER", "OPTIONS", "INVITE", "BYE")
		})
	}
}

func TestSippBehindPinhole(t *testing.T) {
	need.Root(t)
	t.Parallel()
	c := NewCell(t, RouterOptions{ALG: true})
	provider := c.StartProvider(Certificate{})
	c.StartSTUN()
	bob := c.OutsidePhone(outsidePhone)
	pinhole := c.StartPinhole(provider, PinholeOptions{Place: OnHost, Proto: peer.TCP})
	at := netip.AddrPortFrom(phoneLAN, 5060)
	sipp := c.StartSipp(c.Phones, "alice", at, netip.AddrPortFrom(hostLAN, 5060))
	pinhole.mapped(provider, "alice")

	call, err := bob.Call(c.within(patience), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Answered(c.within(patience)); err != nil {
		t.Fatal(err)
	}
	audio, err := call.Audio(c.within(patience), talk, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(heard("bob, of his own voice that sipp sends back,", audio.In))
	if audio.In.Fraction() < 0.95 {
		t.Error("want 95 %")
	}
	if err := call.Hangup(c.within(patience)); err != nil {
		t.Fatal(err)
	}
	if err := sipp.wait(patience); err != nil {
		t.Errorf("sipp: %v", err)
	}
	c.assertUntouched(OnHost)
	c.assertNoLeaks(provider, "REGISTER", "OPTIONS", "INVITE", "BYE")
}
