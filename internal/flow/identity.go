package flow

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

// A certError says why a provider's certificate is refused, and which key of
// the configuration changes that.
type certError struct {
	err           error
	cause, remedy string
}

// Error implements error.
func (e *certError) Error() string { return e.err.Error() }

// Unwrap implements errors' chain.
func (e *certError) Unwrap() error { return e.err }

// serverName is the name that the provider must prove. It is what the
// administrator wrote, never what DNS made of it (RFC 5922 §7.3, RFC 3263
// §4.1).
func (c *Config) serverName() string {
	name := c.Domain
	if _, err := netip.ParseAddr(strings.Trim(c.Server, "[]")); c.Server != "" && err != nil {
		name = c.Server
	}
	if c.TLSName != "" {
		name = c.TLSName
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// tlsConfig returns the settings of one handshake. crypto/tls checks nothing,
// as its rules are not SIP's: it accepts wildcards and ignores URIs. We do.
func (c *Config) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12, // RFC 8996 §4
		ServerName:         c.serverName(),   // RFC 5922 §7.8
		InsecureSkipVerify: true,
	}
	if c.Insecure {
		return config, nil
	}
	var roots *x509.CertPool // nil: the system's
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, &certError{fmt.Errorf("reading ca: %w", err), "the file of trusted authorities cannot be read", "set ca to a PEM file"}
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, &certError{fmt.Errorf("reading ca %s: no certificate", c.CA), "the file of trusted authorities holds none", "set ca to a PEM file"}
		}
	}
	strict := c.TLSIdentity == "rfc5922"
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if err := verifyChain(s.PeerCertificates, roots, time.Now()); err != nil {
			return err
		}
		return verifyName(s.PeerCertificates[0], config.ServerName, strict)
	}
	return config, nil
}

// verifyChain checks that chain, the server's certificate first, leads to one
// of roots and is valid at now.
func verifyChain(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) error {
	leaf := chain[0]
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil && !forServers(leaf):
		return &certError{
			errors.New("certificate is not for servers"),
			"the provider shows a certificate made for another use", "tell the provider; as a last resort set insecure = true",
		}
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &certError{
			err,
			fmt.Sprintf("a certificate of the provider is valid from %s to %s only, and this machine's clock says %s",
				date(invalid.Cert.NotBefore), date(invalid.Cert.NotAfter), date(now)),
			"set this machine's clock, or tell the provider to renew the certificate; as a last resort set insecure = true",
		}
	case errors.As(err, &unknown):
		return &certError{
			err,
			"the provider's certificate comes from an authority that is not trusted: " + leaf.Issuer.String(),
			"set ca to a PEM file with that authority's certificate",
		}
	}
	return &certError{err, "the provider's certificate is not good", "tell the provider; as a last resort set insecure = true"}
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// sipDomain is id-kp-sipDomain (RFC 5924 §4).
const sipDomain = "1.3.6.1.5.5.7.3.20"

// forServers looks at the extended key usage: none is any.
func forServers(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return true
	}
	for _, oid := range c.UnknownExtKeyUsage {
		if oid.String() == sipDomain {
			return true
		}
	}
	return false
}

// verifyName checks that c is made out to name (RFC 5922 §7.2). Unless strict,
// one left-most wildcard label of a DNS name stands for any label.
func verifyName(c *x509.Certificate, name string, strict bool) error {
	if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		for _, raw := range c.IPAddresses {
			if a, ok := netip.AddrFromSlice(raw); ok && a.Unmap() == ip.Unmap() {
				return nil
			}
		}
		return wrongName(c, name, identities(c))
	}
	ids := identities(c)
	for _, id := range ids {
		if id == name || !strict && matchesWildcard(id, name) {
			return nil
		}
	}
	return wrongName(c, name, ids)
}

// identities returns the SIP domains c is made out to (RFC 5922 §7.1): those
// of its sip URIs; if there are none, its DNS names; the common name only
// without any alternative name.
func identities(c *x509.Certificate) []string {
	var ids []string
	for _, u := range c.URIs {
		host := u.Opaque
		if strings.EqualFold(u.Scheme, "sip") && host != "" && !strings.Contains(host, "@") {
			if i := strings.IndexAny(host, ":;?"); i >= 0 {
				host = host[:i]
			}
			ids = append(ids, lowerName(host))
		}
	}
	if len(ids) > 0 {
		return ids
	}
	for _, name := range c.DNSNames {
		ids = append(ids, lowerName(name))
	}
	if !hasSAN(c) && c.Subject.CommonName != "" {
		ids = []string{lowerName(c.Subject.CommonName)}
	}
	return ids
}

// hasSAN reports whether c has a subjectAltName at all, of whatever kind.
func hasSAN(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if e.Id.String() == "2.5.29.17" {
			return true
		}
	}
	return false
}

func lowerName(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

// matchesWildcard matches "*.example.com" with one label before that; at least
// two labels follow the star.
func matchesWildcard(pattern, name string) bool {
	suffix, ok := strings.CutPrefix(pattern, "*.")
	if !ok || !strings.Contains(suffix, ".") || strings.Contains(suffix, "*") {
		return false
	}
	label, rest, _ := strings.Cut(name, ".")
	return label != "" && rest == suffix
}

// wrongName is the refusal of a certificate that is not for name.
func wrongName(c *x509.Certificate, name string, ids []string) error {
	for _, ip := range c.IPAddresses {
		ids = append(ids, ip.String())
	}
	shown := strings.Join(ids, ", ")
	remedy := "tell the provider; as a last resort set insecure = true"
	if len(ids) > 0 {
		first := strings.Replace(ids[0], "*", "sip", 1)
		remedy = fmt.Sprintf("if that is the provider, set tls_name = %q", first)
	}
	return &certError{
		fmt.Errorf("certificate is for %q, not for %q", shown, name),
		fmt.Sprintf("the provider's certificate is made out to %q, and we ask for %q", shown, name),
		remedy,
	}
}
