//go:build lab

package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"time"

	"pinhole/testbed/peer"
)

// phone puts one of our own phones into a namespace; every message of it is in
// the report.
func (c *Cell) phone(n *Netns, conf peer.PhoneConfig) *peer.Phone {
	c.t.Helper()
	log := &Log{}
	conf.Domain, conf.Password = domain, passwords[conf.User]
	conf.Tap = func(m *peer.Message) {
		way := "received from"
		if m.Sent {
			way = "sent to"
		}
		log.Printf("%s %v\n%s", way, m.Flow.Remote(), m.Raw)
	}
	p, err := peer.NewPhone(hostNet{n}, conf)
	c.must(err)
	c.join("phone "+conf.User, func() string {
		for _, call := range p.Calls() {
			if m := call.Media(); m != nil {
				log.Printf("media at %v: sends to %v, hears from %v", m.Local(), m.Remote(), m.From())
			}
		}
		return log.String()
	})
	c.onClose(func() error { p.Close(); return nil })
	return p
}

// outsidePhone is where bob is: at an address that is not the provider's, so
// that his media comes from elsewhere than the signalling, as it does from a
// provider with media servers.
var outsidePhone = netip.MustParseAddrPort("198.51.100.30:5060")

// OutsidePhone is bob, on the internet, registered with the provider.
func (c *Cell) OutsidePhone(at netip.AddrPort) *peer.Phone {
	c.t.Helper()
	p := c.phone(c.Internet, peer.PhoneConfig{User: "bob", Addr: at, Proxy: netip.AddrPortFrom(providerSIP, 5060)})
	c.register(p)
	return p
}

// BarePhone is alice on the LAN who talks to the provider by herself: the
// control of everything that Pinhole is for.
func (c *Cell) BarePhone(p *Provider, proto string, edit func(sdp string) string) *peer.Phone {
	c.t.Helper()
	conf := peer.PhoneConfig{
		User: "alice", Proto: proto, Addr: netip.AddrPortFrom(phoneLAN, 0), Proxy: netip.AddrPortFrom(providerSIP, 5060), EditSDP: edit,
	}
	switch proto {
	case peer.UDP:
		conf.Addr = netip.AddrPortFrom(phoneLAN, 5060)
	case peer.TLS:
		conf.Proxy = netip.AddrPortFrom(providerSIP, 5061)
		conf.TLS = &tls.Config{RootCAs: p.CA.Pool, ServerName: domain}
	}
	return c.phone(c.Phones, conf)
}

// within returns a context for something that takes a tenth of d when all is
// well.
func (c *Cell) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(c.t.Context(), d)
	c.t.Cleanup(cancel)
	return ctx
}

// patience is ten times what a signalling step takes on a loaded machine.
const patience = 20 * time.Second

// register has a phone register and demands success.
func (c *Cell) register(p *peer.Phone) *peer.Registration {
	c.t.Helper()
	r, err := p.Register(c.within(patience))
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// connect has from call to and demands that it rings and is answered; it
// returns both ends.
func (c *Cell) connectCall(from, to *peer.Phone, number string) (caller, callee *peer.Call) {
	c.t.Helper()
	caller, err := from.Call(c.within(patience), number)
	if err != nil {
		c.t.Fatal(err)
	}
	callee, err = to.Expect(c.within(patience))
	if err != nil {
		c.t.Fatalf("%s: %v", number, err)
	}
	for _, step := range []func() error{
		callee.Ring,
		func() error { return caller.Rings(c.within(patience)) },
		callee.Answer,
		func() error { return caller.Answered(c.within(patience)) },
		func() error { return callee.Confirmed(c.within(patience)) },
	} {
		if err := step(); err != nil {
			c.t.Fatalf("the call to %s: %v", number, err)
		}
	}
	return caller, callee
}

// hangUp ends a call from one end and waits for the BYE at the other.
func (c *Cell) hangUp(from, to *peer.Call) {
	c.t.Helper()
	if err := from.Hangup(c.within(patience)); err != nil {
		c.t.Fatalf("hanging up: %v", err)
	}
	if err := to.Ended(c.within(patience)); err != nil {
		c.t.Fatalf("hanging up: %v", err)
	}
}

// talk is how long both ends of a call are listened to.
const talk = 2 * time.Second

// heard says what of one end's sound reached the other.
func heard(name string, d peer.Direction) string {
	return fmt.Sprintf("%s heard %d of %d packets", name, d.Equal, d.Sent)
}
