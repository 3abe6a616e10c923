//go:build lab

package lab

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/need"
	"pinhole/testbed/peer"
)

// A certificate that is not the provider's is refused before a byte of SIP is
// sent; the log names the key to set, and with it the phone registers.
func TestCertificateRefused(t *testing.T) {
	need.Root(t)
	t.Parallel()
	strange, err := newCA()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		name       string
		show       Certificate
		trust      []byte // nil: the provider's CA
		cause, key string // what the log says
		cure       string // the line that the key makes; "": the provider's CA in ca.pem
	}{
		{
			"wrong name",
			Certificate{Name: "sip.example.net"},
			nil,
			`made out to "sip.example.net", and we ask for "sip.example.com"`, `set tls_name = "sip.example.net"`, `tls_name = "sip.example.net"`,
		},
		{
			"expired",
			Certificate{Expiry: time.Now().Add(-time.Hour)},
			nil,
			"a certificate of the provider is valid from", "set insecure = true", "insecure = true",
		},
		{
			"unknown CA",
			Certificate{},
			strange.PEM,
			"comes from an authority that is not trusted: CN=lab CA", "set ca to a PEM file with that authority's certificate", "",
		},
	} {
		t.Run(strings.ReplaceAll(bad.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			c := NewCell(t, RouterOptions{})
			provider := c.StartProvider(bad.show)
			c.StartSTUN()
			o := PinholeOptions{Place: OnHost, Proto: peer.TLS, CA: bad.trust}
			pinhole := c.StartPinhole(provider, o)
			pinhole.says("flow not made", 1)
			line := pinhole.line("flow not made")
			for _, want := range []string{bad.cause, bad.key} {
				if !strings.Contains(line, want) {
					t.Errorf("the log does not say %q: %s", want, line)
				}
			}
			alice := pinhole.Phone("alice", peer.UDP, phoneLAN, nil)
			if _, err := alice.Register(c.within(patience)); peer.Status(err) != 503 {
				t.Errorf("registering without a flow: %v, want 503", err)
			}
			if came, err := c.fromWAN(provider); err != nil || len(came) > 0 {
				t.Errorf("the provider got %s, %v", ladder(came), err)
			}

			pinhole.Stop()
			o.CA, o.Main = nil, bad.cure
			pinhole.Configure(provider, o)
			pinhole.Start()
			c.register(alice)
			pinhole.mapped(provider, "alice")
			c.assertNoLeaks(provider, "REGISTER")
		})
	}
}

// line returns the first line of the log with a message.
func (p *Pinhole) line(msg string) string {
	for line := range strings.Lines(p.Log.String()) {
		if strings.Contains(line, "msg="+quoted(msg)) {
			return strings.ReplaceAll(line, `\"`, `"`)
		}
	}
	return ""
}

// fromWAN returns what the provider got from behind the router.
func (c *Cell) fromWAN(p *Provider) (came []Traced, err error) {
	all, err := p.Trace()
	for _, m := range all {
		if !m.Sent && strings.HasPrefix(m.Src, fmt.Sprintf("%v:", routerWAN)) {
			came = append(came, m)
		}
	}
	return came, err
}
