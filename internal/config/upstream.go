package config

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

const domainAllowed = `the registrar as the phones know it, a host name or an IP address`

// readUpstream reads [upstream.NAME]; c holds what is in force for all.
func readUpstream(t *table, c *Config) Upstream {
	u := newUpstream(t.path[len(t.path)-1], c)
	t.text("domain", domainAllowed, func(s string) (err error) {
		u.Domain, err = parseName(s)
		return err
	})
	if !t.has("domain") {
		t.fail("domain", "is missing, needed is %s", domainAllowed)
	}
	t.text("server", `"host" or "host:port"`, func(s string) (err error) {
		if s != "" {
			u.Server, err = parseHost(s)
		}
		return err
	})
	choice(t, "transport", &u.Transport, TLS, TCP, UDP, Auto)
	t.text("ca", "the path of a PEM file with certificates", func(s string) error {
		u.CA = t.d.path(s)
		return checkCA(u.CA)
	})
	t.flag("insecure", &u.Insecure)
	t.text("tls_name", "the host name in the provider's certificate", func(s string) (err error) {
		if s != "" {
			u.TLSName, err = parseName(s)
		}
		return err
	})
	choice(t, "tls_identity", &u.TLSIdentity, IdentityWildcard, IdentityRFC5922)
	choice(t, "via_host", &u.ViaHost, ViaAuto, ViaInvalid, ViaPort, ViaMapped)
	choice(t, "token", &u.Token, TokenParam, TokenUser, TokenBoth)
	t.port("source_port", &u.SourcePort)
	readAlias(t.table("alias"), &u)
	for _, own := range []struct {
		key  string
		read func(*table)
	}{
		{"nat", func(t *table) { readNAT(t, &u.NAT) }},
		{"register", func(t *table) { readRegister(t, &u.Register) }},
		{"media", func(t *table) {
			readICE(t, &u.Media.ICE)
			if _, ok := t.take("ports"); ok {
				t.fail("ports", "is for one upstream, allowed is one range for all in [media]")
			}
		}},
	} {
		sub := t.table(own.key)
		own.read(sub)
		sub.done()
	}
	t.done()
	return u
}

// newUpstream returns the defaults of an upstream of c.
func newUpstream(name string, c *Config) Upstream {
	return Upstream{
		Name: name, Transport: TLS, TLSIdentity: IdentityWildcard, ViaHost: ViaAuto, Token: TokenParam,
		NAT: c.NAT, Register: c.Register, Media: UpstreamMedia{ICE: c.Media.ICE},
	}
}

// checkCA reads the certificates at path; an empty path is good.
func checkCA(path string) error {
	if path == "" {
		return nil
	}
	pem, err := readPEM(path)
	if err != nil {
		return err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return errors.New("no certificate in it")
	}
	return nil
}

// readPEM reads a regular file: a device or a pipe might never end. The error
// does not name path.
func readPEM(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("not a file")
	}
	var pem []byte
	if err == nil {
		pem, err = os.ReadFile(path)
	}
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err
	}
	return pem, err
}

// readAlias reads [upstream.NAME.alias], whose keys are the admin's own.
func readAlias(t *table, u *Upstream) {
	for _, number := range slices.Sorted(maps.Keys(t.values)) {
		if number == "" || strings.ContainsAny(number, " \t@<>\"") {
			t.fail(number, "is no number, allowed is what the provider dials, without blanks or @")
		}
		t.text(number, "the user part of the phone's AOR, as \"alice\"", func(s string) error {
			if s == "" || strings.ContainsFunc(s, notUser) {
				return errWrong
			}
			if u.Alias == nil {
				u.Alias = make(map[string]string)
			}
			u.Alias[number] = s
			return nil
		})
	}
}

// notUser tells whether c cannot stand in the user part of a SIP URI
// (RFC 3261 §25.1: unreserved, user-unreserved and escapes).
func notUser(c rune) bool {
	return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("-_.!~*'()&=+$,;?/%", c)
}
