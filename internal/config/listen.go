package config

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"slices"
)

// readListen reads [listen.NAME].
func readListen(t *table) Listen {
	l := Listen{Name: t.path[len(t.path)-1], Transports: []Transport{UDP, TCP}}
	t.text("address", `an IP address of ours with a port, as "192.168.1.2:5060"`, func(s string) (err error) {
		l.Address, err = parseListenAddress(s)
		return err
	})
	if !t.has("address") {
		t.fail("address", `is missing, needed is an IP address of ours with a port, as "192.168.1.2:5060"`)
	}
	var transports []Transport
	if t.list("transports", "one of udp, tcp, tls", func(s string) error {
		v := Transport(s)
		switch {
		case v != UDP && v != TCP && v != TLS:
			return errWrong
		case slices.Contains(transports, v):
			return errors.New("named twice")
		}
		transports = append(transports, v)
		return nil
	}) {
		l.Transports = transports
	}
	t.list("allow", `a network as "192.168.1.0/24" or one address`, func(s string) error {
		p, err := parseAllow(s)
		l.Allow = append(l.Allow, p)
		return err
	})
	path := func(dst *string) func(string) error {
		return func(s string) error { *dst = t.d.path(s); return nil }
	}
	t.text("cert", "the path of a PEM file", path(&l.Cert))
	t.text("key", "the path of a PEM file", path(&l.Key))
	t.checkListen(l)
	t.done()
	return l
}

// checkListen says what does not go together in one listener.
func (t *table) checkListen(l Listen) {
	if v, ok := t.values["transports"].([]any); ok && len(v) == 0 {
		t.fail("transports", "is empty, allowed are udp, tcp, tls")
	}
	if l.Address.IsValid() && l.Address.Addr().IsUnspecified() && !t.has("allow") {
		t.fail("allow", `is missing, needed with an address that stands for all interfaces: the networks of the phones, as ["192.168.1.0/24"]`)
	}
	if !slices.Contains(l.Transports, TLS) {
		for _, file := range []struct{ key, path string }{{"cert", l.Cert}, {"key", l.Key}} {
			if file.path != "" {
				t.fail(file.key, `is %q, allowed only with transports = ["tls"]`, file.path)
			}
		}
		return
	}
	if len(l.Transports) > 1 {
		t.fail("transports", "has tls and others, allowed is tls in a table and at an address of its own")
	}
	if l.Cert == "" && !t.d.broken[pathKey(t.at("cert")...)] {
		t.fail("cert", "is missing, needed for tls is the path of a PEM file")
	}
	if l.Key == "" && !t.d.broken[pathKey(t.at("key")...)] {
		t.fail("key", "is missing, needed for tls is the path of a PEM file")
	}
	if l.Cert != "" && l.Key != "" {
		t.checkPair(l)
	}
}

// checkPair reads the certificate and the key of a TLS listener.
func (t *table) checkPair(l Listen) {
	cert, err := readPEM(l.Cert)
	if err != nil {
		t.fail("cert", "is %q (%v), allowed is the path of a PEM file", l.Cert, err)
	}
	key, err2 := readPEM(l.Key)
	if err2 != nil {
		t.fail("key", "is %q (%v), allowed is the path of a PEM file", l.Key, err2)
	}
	if err != nil || err2 != nil {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		t.fail("cert", "is %q (%v), allowed is a certificate that fits key", l.Cert, err)
	}
}

func parseListenAddress(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	switch {
	case err != nil:
		if _, err := netip.ParseAddr(s); err == nil {
			return netip.AddrPort{}, errors.New("has no port")
		}
		return netip.AddrPort{}, errWrong
	case a.Port() == 0:
		return netip.AddrPort{}, errors.New("phones cannot guess a port")
	case a.Addr().IsMulticast():
		return netip.AddrPort{}, errors.New("a multicast address")
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}

func parseAllow(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.IsUnspecified() {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, errWrong
	case p.Bits() == 0:
		return netip.Prefix{}, errors.New("that lets everybody in")
	case p != p.Masked():
		return netip.Prefix{}, errors.New("its network is " + p.Masked().String())
	}
	return p, nil
}
