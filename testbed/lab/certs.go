//go:build lab

package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// A CA is a certificate authority of one cell's own.
type CA struct {
	PEM  []byte // what its clients trust
	Pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newCA makes a CA that nobody knows.
func newCA() (*CA, error) {
	ca := &CA{Pool: x509.NewCertPool()}
	cert := &x509.Certificate{
		Subject: pkix.Name{CommonName: "lab CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	if ca.PEM, ca.key, err = issue(cert, nil, time.Now().Add(time.Hour)); err != nil {
		return nil, err
	}
	ca.Pool.AppendCertsFromPEM(ca.PEM)
	block, _ := pem.Decode(ca.PEM)
	ca.cert, err = x509.ParseCertificate(block.Bytes)
	return ca, err
}

// writeServer writes server.pem and server.key for a host name to a folder.
func (ca *CA) writeServer(dir, name string, expiry time.Time) error {
	cert := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	chain, key, err := issue(cert, ca, expiry)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "server.pem"), chain, 0o644),
		os.WriteFile(filepath.Join(dir, "server.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}

// issue makes a key and has its certificate signed by ca, or by itself.
func issue(cert *x509.Certificate, ca *CA, expiry time.Time) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, nil, err
	}
	cert.SerialNumber, cert.NotBefore, cert.NotAfter = serial, expiry.Add(-48*time.Hour), expiry
	parent, signer := cert, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key, nil
}
