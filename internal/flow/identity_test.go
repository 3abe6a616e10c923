package flow

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pinhole/internal/transport"
)

// An authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert.Raw = der
	return a
}

// file writes the authority's certificate as PEM.
func (a *authority) file() string {
	path := filepath.Join(a.t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue signs a server certificate as change makes it.
func (a *authority) issue(change func(c *x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	change(c)
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func uri(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestTLSIdentity: H-8 over a whole handshake: what is taken, what is refused,
// and which key the log tells to set.
func TestTLSIdentity(t *testing.T) {
	dns := func(names ...string) func(*testing.T, *x509.Certificate) {
		return func(_ *testing.T, c *x509.Certificate) { c.DNSNames = names }
	}
	uris := func(dns []string, uris ...string) func(*testing.T, *x509.Certificate) {
		return func(t *testing.T, c *x509.Certificate) {
			c.DNSNames = dns
			for _, u := range uris {
				c.URIs = append(c.URIs, uri(t, u))
			}
		}
	}
	usage := func(oid string, usages ...x509.ExtKeyUsage) func(*testing.T, *x509.Certificate) {
		return func(_ *testing.T, c *x509.Certificate) {
			c.DNSNames, c.ExtKeyUsage = []string{"example.com"}, usages
			if oid != "" {
				c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 20}}
			}
		}
	}
	rfc5922 := func(c *Config) { c.TLSIdentity = "rfc5922" }
	wrong := []string{"made out to", "and we ask for", "remedy=", "tls_name"}
	for name, c := range map[string]struct {
		cert   func(t *testing.T, c *x509.Certificate)
		config func(c *Config)
		domain string
		sni    string   // "": the domain
		log    []string // nil: accepted
	}{
		"dns name":                   {cert: dns("example.com")},
		"dns name among others":      {cert: dns("www.example.com", "EXAMPLE.com.")},
		"wrong name":                 {cert: dns("sip.example.net"), log: append(wrong, `tls_name = \"sip.example.net\"`)},
		"wildcard":                   {cert: dns("*.example.com"), domain: "sip.example.com"},
		"wildcard, rfc5922":          {cert: dns("*.example.com"), domain: "sip.example.com", config: rfc5922, log: wrong},
		"wildcard is one label":      {cert: dns("*.example.com"), domain: "a.b.example.com", log: wrong},
		"wildcard is a whole label":  {cert: dns("*.example.com"), log: append(wrong, `tls_name = \"sip.example.com\"`)},
		"half a wildcard label":      {cert: dns("s*.example.com"), domain: "sip.example.com", log: wrong},
		"wildcard of a whole domain": {cert: dns("*.com"), log: wrong},
		"sip uri":                    {cert: uris(nil, "sip:example.com"), config: rfc5922},
		"sip uri beside others":      {cert: uris(nil, "https://example.net/", "sips:example.net", "SIP:Example.Com")},
		"sip uri with port":          {cert: uris(nil, "sip:example.com:5061;transport=tls")},
		"sip uri with user":          {cert: uris(nil, "sip:alice@example.com"), log: wrong[:2]},
		"another sip uri beside dns": {cert: uris([]string{"example.com"}, "sip:example.net"), log: wrong},
		"sips uri only":              {cert: uris(nil, "sips:example.com"), log: wrong[:2]},
		"user uri, dns name counts":  {cert: uris([]string{"example.com"}, "sip:alice@example.net")},
		"common name alone":          {cert: func(_ *testing.T, c *x509.Certificate) { c.Subject.CommonName = "example.com" }},
		"common name beside san": {
			cert: func(_ *testing.T, c *x509.Certificate) {
				c.Subject.CommonName, c.DNSNames = "example.com", []string{"example.net"}
			}, log: wrong,
		},
		"common name beside an e-mail": {
			cert: func(_ *testing.T, c *x509.Certificate) {
				c.Subject.CommonName, c.EmailAddresses = "example.com", []string{"a@example.com"}
			}, log: wrong[:2],
		},
		"common name beside another kind of name": {
			cert: func(_ *testing.T, c *x509.Certificate) {
				c.Subject.CommonName = "example.com"
				c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: []byte{0x30, 3, 0x88, 1, 42}}} // a registered id
			}, log: wrong[:2],
		},
		"ip address": {
			cert:   func(_ *testing.T, c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP(one)} },
			domain: one, sni: "-",
		},
		"another ip address": {
			cert:   func(_ *testing.T, c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP(two)} },
			domain: one, sni: "-", log: wrong,
		},
		"ip address as dns name": {cert: dns(one), domain: one, sni: "-", log: wrong[:2]},
		"tls_name":               {cert: dns("edge.example.net"), config: func(c *Config) { c.TLSName = "Edge.Example.net" }, sni: "edge.example.net"},
		"server as written":      {cert: dns("edge.example.net"), config: func(c *Config) { c.Server = "edge.example.net" }, sni: "edge.example.net"},
		"not the domain then":    {cert: dns("example.com"), config: func(c *Config) { c.Server = "edge.example.net" }, sni: "edge.example.net", log: wrong},
		"expired": {
			cert: func(_ *testing.T, c *x509.Certificate) {
				c.DNSNames, c.NotAfter = []string{"example.com"}, time.Now().Add(-time.Minute)
			},
			log: []string{"clock says 2000-01-01", "insecure = true"},
		},
		"not yet valid": {
			cert: func(_ *testing.T, c *x509.Certificate) {
				c.DNSNames, c.NotBefore = []string{"example.com"}, time.Now().Add(time.Minute)
			},
			log: []string{"clock says 2000-01-01", "set this machine's clock"},
		},
		"unknown authority": {
			cert: dns("example.com"), config: func(c *Config) { c.CA = "other" },
			log: []string{"an authority that is not trusted: CN=Test Authority", "set ca to a PEM file"},
		},
		"the system's authorities": {
			cert: dns("example.com"), config: func(c *Config) { c.CA = "" },
			log: []string{"an authority that is not trusted", "set ca to a PEM file"},
		},
		"no ca file": {
			cert: dns("example.com"), config: func(c *Config) { c.CA = "/nowhere/ca.pem" }, sni: "-",
			log: []string{"reading ca: open /nowhere/ca.pem", "set ca to a PEM file"},
		},
		"insecure": {
			cert: dns("sip.example.net"), config: func(c *Config) { c.CA, c.Insecure = "", true },
		},
		"for clients":         {cert: usage("", x509.ExtKeyUsageClientAuth), log: []string{"made for another use"}},
		"for sip, rfc 5924":   {cert: usage(sipDomain)},
		"for anything":        {cert: usage("")},
		"for servers and sip": {cert: usage(sipDomain, x509.ExtKeyUsageServerAuth)},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, keeps, func(t *testing.T, w *world) {
				a := newAuthority(t, "Test Authority")
				cert := a.issue(func(x *x509.Certificate) { c.cert(t, x) })
				var sni string
				w.serve(one+":5061", &tls.Config{
					GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
						sni = h.ServerName
						return &cert, nil
					},
				}, true)
				w.names()
				cfg := Config{Domain: c.domain, Transport: "tls", CA: a.file()}
				if cfg.Domain == "" {
					cfg.Domain = "example.com"
				}
				for _, host := range []string{cfg.Domain, "edge.example.net"} {
					w.record("SRV _sips._tcp."+host, "0 0 5061 other.example.org.\n")
				}
				w.record("A other.example.org", one) // SRV's target is never the name asked for
				if c.config != nil {
					c.config(&cfg)
				}
				if cfg.CA == "other" {
					cfg.CA = newAuthority(t, "Another").file()
				}
				w.run(cfg)
				if c.log != nil {
					w.none(10 * time.Second)
					w.saw(append(c.log, "flow not made")...)
				} else if up := w.at(Up, 0); up.Proto != transport.TLS {
					t.Errorf("up: %+v", up)
				}
				want := c.sni
				if want == "" {
					want = cfg.Domain
				}
				if strings.TrimPrefix(want, "-") != sni {
					t.Errorf("asked for %q", sni)
				}
				if cfg.Insecure {
					w.saw("certificate is not checked", "insecure = true")
				}
			})
		})
	}
}

// TestTLSRefused: what is no TLS 1.2 or better, or nothing at all.
func TestTLSRefused(t *testing.T) {
	for name, c := range map[string]struct {
		config *tls.Config // nil: plaintext
		silent bool
		after  time.Duration
		log    []string
	}{
		"tls 1.1":   {config: &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, log: []string{"protocol version"}},
		"plaintext": {log: []string{"does not speak tls", `transport = \"tcp\"`}},
		"silent":    {silent: true, after: handshakeTime, log: []string{"the provider does not answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, keeps, func(t *testing.T, w *world) {
				if c.config != nil {
					cert := newAuthority(t, "Test").issue(func(x *x509.Certificate) { x.DNSNames = []string{"example.com"} })
					c.config.Certificates = []tls.Certificate{cert}
				}
				s := w.serve(one+":5061", c.config, true)
				if c.config == nil && !c.silent {
					w.tasks.Go(func() {
						_, _ = s.accepted().Write([]byte("SIP/2.0 400 Bad Request\r\n\r\n"))
					})
				}
				w.run(Config{Server: one, Transport: "tls"})
				w.none(30 * time.Second)
				if st := w.flow.Status(); st.State != StateDown || st.Next.Sub(st.Since) != 45*time.Second || time.Since(st.Since) != 30*time.Second-c.after {
					t.Errorf("status %+v", st)
				}
				w.saw(c.log...)
			})
		})
	}
}

// TestTLSFlow: pings, messages and the redial over TLS.
func TestTLSFlow(t *testing.T) {
	inWorld(t, keeps, func(t *testing.T, w *world) {
		a := newAuthority(t, "Test Authority")
		cert := a.issue(func(x *x509.Certificate) { x.DNSNames = []string{"example.com"} })
		s := w.serve(one+":5061", &tls.Config{Certificates: []tls.Certificate{cert}}, true)
		w.run(Config{Server: one, Transport: "tls", CA: a.file()})
		up := w.at(Up, 0)
		first := s.accepted()
		if err := w.flow.Send(1, []byte(options)); err != nil {
			t.Error(err)
		}
		_, _ = first.Write([]byte(answer))
		w.at(Message, 0)
		time.Sleep(5 * time.Minute)
		if got := first.received(); !strings.HasPrefix(got, options) || len(first.pinged()) < 10 {
			t.Errorf("got %q", got)
		}
		w.drain()
		_ = first.Close()
		w.at(Down, 0)
		if again := w.at(Up, 0); again.Local != up.Local || !again.SameSource {
			t.Errorf("up again: %+v", again)
		}
		if second := s.accepted(); second.from() != first.from() {
			t.Errorf("the provider sees %v, before %v", second.from(), first.from())
		}
	})
}
