//go:build lab

package lab

import (
	"net/netip"
	"testing"

	"pinhole/testbed/need"
	"pinhole/testbed/peer"
)

// The borrowed phones work with the provider when nothing is between them.

func TestSippAnswersAndEchoes(t *testing.T) {
	need.Root(t)
	t.Parallel()
	c := NewCell(t, RouterOptions{})
	provider := c.StartProvider(Certificate{})
	sipp := c.StartSipp(c.Internet, "bob", outsidePhone, netip.AddrPortFrom(providerSIP, 5060))
	alice := c.BarePhone(provider, peer.UDP, nil)
	call, err := alice.Call(c.within(patience), "bob")
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
	if audio.In.Fraction() < 0.95 {
		t.Errorf("sipp echoed: %s", heard("alice", audio.In))
	}
	if err := call.Hangup(c.within(patience)); err != nil {
		t.Fatal(err)
	}
	if err := sipp.wait(patience); err != nil {
		t.Errorf("sipp: %v", err)
	}
}

func TestBaresipAnswers(t *testing.T) {
	need.Root(t)
	t.Parallel()
	c := NewCell(t, RouterOptions{})
	provider := c.StartProvider(Certificate{})
	baresip := c.StartBaresip(c.Internet, "bob", outsidePhone.Addr(), netip.AddrPortFrom(providerSIP, 5060), "udp")
	alice := c.BarePhone(provider, peer.UDP, nil)
	call, err := alice.Call(c.within(patience), "bob")
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
	t.Logf("baresip sent %d, received %d; alice sent %d after the first 500 ms", sent, received, audio.Out.Sent)
	if received < audio.Out.Sent {
		t.Errorf("baresip received %d packets, want at least %d", received, audio.Out.Sent)
	}
}
