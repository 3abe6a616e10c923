//go:build docker

package docker

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"pinhole/internal/transport"
	"pinhole/testbed/peer"
)

// A softphone on the machine that runs Docker registers through Pinhole by the
// address of its container, as docs/testbed.md says, calls and is called.
func TestSoftphoneOnTheHost(t *testing.T) {
	w := start(t, Settings{Upstream: "tls", NAT: "symmetric"})
	w.assertRegistered()
	dave, err := peer.NewPhone(transport.System(), peer.PhoneConfig{
		User: "dave", Password: "dave-secret", Domain: "sip.example.com",
		Proxy: netip.MustParseAddrPort(pinholeLAN + ":5060"), Addr: netip.MustParseAddrPort(hostLAN + ":0"),
	})
	w.must(err)
	t.Cleanup(dave.Close)
	within := func(d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		t.Cleanup(cancel)
		return ctx
	}
	if _, err := dave.Register(within(patience)); err != nil {
		t.Fatal(err)
	}
	if row, err := w.Provider.Contact("dave"); err != nil || row.host() != w.wan {
		t.Errorf("the provider has dave at %+v, want address %s: %v", row, w.wan, err)
	}

	out, err := dave.Call(within(patience), "carol") // who echoes
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Answered(within(patience)); err != nil {
		t.Fatal(err)
	}
	echo, err := out.Audio(within(patience), 2*time.Second, nil)
	if err != nil || echo.In.Fraction() < 0.95 {
		t.Errorf("of dave's %d packets %d came back, want 95 %%: %v", echo.In.Sent, echo.In.Equal, err)
	}
	if err := out.Hangup(within(patience)); err != nil {
		t.Error(err)
	}

	call := w.Outside.call(&Phone{w: w, Name: "the host", User: "dave", IP: hostLAN})
	in, err := dave.Expect(within(patience))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Answer(); err != nil {
		t.Fatal(err)
	}
	in.Media().Echo(true)
	call.answered()
	t.Log("heard:", call.assertHeard())
	call.hangUp(w.Outside)
	if err := in.Ended(within(patience)); err != nil {
		t.Error(err)
	}
	w.assertNoLeaks("REGISTER", "INVITE", "ACK", "BYE")
}
