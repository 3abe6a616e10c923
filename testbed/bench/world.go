//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The addresses. The phones are behind the generator's LAN address, so that the
// proxy has one neighbour and not hundreds; the provider's media address leads
// nowhere, so that nobody answers the relay's packets with ICMP.
const (
	lanPrefix     = "10.1.0.0/16"
	proxyLAN      = "10.0.0.2"
	proxyWAN      = "203.0.113.2"
	providerIP    = "203.0.113.10"
	providerMedia = "198.51.100.10"
	domain        = "sip.example.com"
)

// A world is the two namespaces, joined by a LAN and a WAN cable: peers is the
// phones' and the provider's, host is the proxy's alone.
type world struct {
	peers, host *netns
	dir         string // scratch folder with cert.pem and key.pem
	cert        tls.Certificate
	running     atomic.Pointer[process] // the proxy, nil between runs
}

// newWorld builds everything but the proxies.
func newWorld() (*world, error) {
	w := &world{}
	var err error
	if w.dir, err = os.MkdirTemp("", "pinhole-bench-"); err != nil {
		return nil, err
	}
	if w.cert, err = writeCert(w.dir); err != nil {
		return nil, errors.Join(err, w.close())
	}
	if w.peers, err = newNetns("peers"); err != nil {
		return nil, errors.Join(err, w.close())
	}
	if w.host, err = newNetns("host"); err != nil {
		return nil, errors.Join(err, w.close())
	}
	if err := w.connect(); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) connect() error {
	return errors.Join(
		w.peers.ip(
			"link add lan type veth peer name lan netns "+w.host.name,
			"link add wan type veth peer name wan netns "+w.host.name,
			"addr add 10.0.0.1/24 dev lan",
			"addr add "+providerIP+"/24 dev wan",
			"link set lan up",
			"link set wan up",
			"route add local "+lanPrefix+" dev lo",
			"route add blackhole 198.51.100.0/24"),
		w.host.ip(
			"addr add "+proxyLAN+"/24 dev lan",
			"addr add "+proxyWAN+"/24 dev wan",
			"link set lan up",
			"link set wan up",
			"route add "+lanPrefix+" via 10.0.0.1",
			"route add default via "+providerIP))
}

// close takes everything away, also from under a run that was interrupted.
func (w *world) close() error {
	var errs []error
	if r := w.running.Load(); r != nil {
		errs = append(errs, r.stop())
	}
	for _, n := range []*netns{w.peers, w.host} {
		if n != nil {
			errs = append(errs, n.close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

// phoneAddr returns the address of the nth phone.
func phoneAddr(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n / 200), byte(n%200 + 1)}), 5060)
}

// listenUDP opens a socket with room for a burst.
func listenUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	pc, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	return pc, pc.SetReadBuffer(1 << 20)
}

// listenTCP opens a listener at an address that a run before may have used.
func listenTCP(addr netip.AddrPort) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp4", addr.String())
}

// writeCert makes the provider's certificate, which is its own CA, and writes
// it to dir, for Pinhole to trust and for Kamailio to show.
func writeCert(dir string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: domain}, DNSNames: []string{domain},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "cert.pem"), certPEM, 0o644),
		os.WriteFile(filepath.Join(dir, "key.pem"), keyPEM, 0o600)); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

// pin binds this thread, and what is executed on it, to one CPU.
func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}
