package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"
)

// A CA signs the certificates of providers and phones of one test. Make it
// inside the bubble: its time is the bubble's.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

// NewCA makes a root that was valid an hour ago and is for ten years.
func NewCA() (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &CA{key: key, next: 2}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Pinhole test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making the root certificate: %w", err)
	}
	ca.cert, err = x509.ParseCertificate(der)
	return ca, err
}

// PEM returns the root certificate, for the key ca of an upstream.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// Pool returns a pool with the root in it.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// Issue signs a certificate for host names, IP addresses or "sip:" URIs, valid
// from an hour ago until the time given.
func (ca *CA) Issue(until time.Time, names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(ca.next), Subject: pkix.Name{CommonName: "pinhole test"},
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if now := time.Now().Add(-time.Hour); now.Before(c.NotBefore) {
		c.NotBefore = now
	}
	ca.next++
	for _, n := range names {
		u := parseURI(n)
		switch ip := net.ParseIP(n); {
		case ip != nil:
			c.IPAddresses = append(c.IPAddresses, ip)
		case u.scheme == "sip":
			c.URIs = append(c.URIs, &url.URL{Scheme: "sip", Opaque: u.host})
		default:
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a certificate for %v: %w", names, err)
	}
	return tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key}, nil
}

// Server returns a server's configuration with a certificate for names.
func (ca *CA) Server(names ...string) (*tls.Config, error) {
	cert, err := ca.Issue(time.Now().AddDate(1, 0, 0), names...)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// Expired returns a server's configuration whose certificate for names ended
// an hour ago.
func (ca *CA) Expired(names ...string) (*tls.Config, error) {
	cert, err := ca.Issue(time.Now().Add(-time.Hour), names...)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// Client returns a client's configuration that trusts the CA and asks for name.
func (ca *CA) Client(name string) *tls.Config {
	return &tls.Config{RootCAs: ca.Pool(), ServerName: name, MinVersion: tls.VersionTLS12}
}

// KeyPair writes a certificate and its key as PEM, for the keys cert and key of
// a listener.
func KeyPair(c tls.Certificate) (cert, key []byte, err error) {
	for _, der := range c.Certificate {
		cert = append(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
