package app_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"pinhole/testbed/peer"
)

// TLS: a wrong name, an expired certificate and one of an unknown authority are
// refused before a byte of SIP is sent, and the log names the key to set.
func TestCertificates(t *testing.T) {
	for name, row := range map[string]struct {
		certificate func(*peer.CA) (*tls.Config, error)
		key         string // that the log names; "" where it is accepted
	}{
		"right":          {func(ca *peer.CA) (*tls.Config, error) { return ca.Server(domain) }, ""},
		"wildcard":       {func(ca *peer.CA) (*tls.Config, error) { return ca.Server("*.example.com") }, ""},
		"wrong name":     {func(ca *peer.CA) (*tls.Config, error) { return ca.Server("sip.example.org") }, "tls_name"},
		"wrong wildcard": {func(ca *peer.CA) (*tls.Config, error) { return ca.Server("*.com") }, "tls_name"},
		"expired":        {func(ca *peer.CA) (*tls.Config, error) { return ca.Expired(domain) }, "insecure"},
		"unknown CA": {func(*peer.CA) (*tls.Config, error) {
			other, err := peer.NewCA()
			if err != nil {
				return nil, err
			}
			return other.Server(domain)
		}, "ca"},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, plan{proto: peer.TLS, tls: row.certificate}, func(w *world) {
				alice := w.phone(w.phoneA, "alice", peer.UDP)
				if row.key == "" {
					w.registered(alice, "alice")
					return
				}
				if _, err := alice.Register(w.within(10 * time.Second)); peer.Status(err) != 503 {
					t.Errorf("%v, want 503", err)
				}
				found := false
				for _, l := range strings.Split(w.log.String(), "\n") {
					found = found || strings.Contains(l, "remedy=") && strings.Contains(l, row.key) && strings.Contains(l, "cause=")
				}
				if !found {
					t.Errorf("no line of the log names %s:\n%s", row.key, w.log)
				}
				if n := len(w.prov.Messages()); n != 0 {
					t.Errorf("%d messages went over it", n)
				}
			})
		})
	}
}
