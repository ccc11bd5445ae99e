// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/strata-matrix/strata/transport/signing"
)

// The certificates of a local authority. Browsers refuse leaves of more than 825 days, even of authorities added by hand.
const (
	localCAValidity   = 10 * 365 * 24 * time.Hour
	localLeafValidity = 365 * 24 * time.Hour
	localClockSkew    = time.Hour // certificates count from that long ago
)

// The files of a local authority, both PEM. Who should trust it is given the certificate.
const (
	localCACertificateFile = "ca.crt"
	localCAKeyFile         = "ca.key"
)

// LocalCA is a certificate authority of one's own, for development and tests: servers on one machine trust it in place of the
// public ones. Whoever reads its key can pose as any server towards those that trust it. It does not change.
type LocalCA struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// OpenLocalCA reads the authority in the directory, or creates directory and authority. Processes that do so at the same time get
// the same key, and certificates that vouch for the same.
func OpenLocalCA(dir string) (*LocalCA, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open local CA: %w", err)
	}
	ca := new(LocalCA)
	der, err := readOrCreate(filepath.Join(dir, localCAKeyFile), "EC PRIVATE KEY", newLocalKey)
	if err == nil {
		ca.key, err = x509.ParseECPrivateKey(der)
	}
	if err != nil {
		return nil, fmt.Errorf("open local CA: key in %s: %w", dir, err)
	}
	path := filepath.Join(dir, localCACertificateFile)
	der, err = readOrCreate(path, "CERTIFICATE", func() ([]byte, error) { return newLocalAuthority(ca.key) })
	if err == nil {
		ca.certificate, err = x509.ParseCertificate(der)
	}
	if err == nil {
		err = ca.check(time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("open local CA: certificate %s: %w", path, err)
	}
	return ca, os.Chmod(path, 0o644) // others must be able to read what they are to trust
}

// check tells whether what was found in the directory belongs together and is of use.
func (ca *LocalCA) check(now time.Time) error {
	if !ca.key.PublicKey.Equal(ca.certificate.PublicKey) {
		return errors.New("does not belong to the key beside it")
	}
	if now.After(ca.certificate.NotAfter) {
		return fmt.Errorf("expired on %s: remove both files to get a new authority", ca.certificate.NotAfter.Format(time.DateOnly))
	}
	return nil
}

// Pool is the authority alone, for who is to trust nobody else.
func (ca *LocalCA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	return pool
}

// Certificate issues a certificate with a new key, valid for a year, for the hosts, which are DNS names and IP addresses without
// port, and for localhost, 127.0.0.1 and ::1.
func (ca *LocalCA) Certificate(hosts ...string) (tls.Certificate, error) {
	template, err := localLeaf(time.Now(), hosts)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue certificate: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, key.Public(), ca.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue certificate for %q: %w", hosts, err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// localLeaf is the certificate to be signed.
func localLeaf(now time.Time, hosts []string) (*x509.Certificate, error) {
	leaf := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost"},
		NotBefore:   now.Add(-localClockSkew),
		NotAfter:    now.Add(localLeafValidity),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, host := range hosts {
		dns, ip, err := certifiable(host)
		if err != nil {
			return nil, err
		}
		if dns != "" {
			leaf.DNSNames = append(leaf.DNSNames, dns)
		} else {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		}
	}
	return leaf, nil
}

// ServerTLS is the configuration of a server with a certificate for the hosts.
func (ca *LocalCA) ServerTLS(hosts ...string) (*tls.Config, error) {
	certificate, err := ca.Certificate(hosts...)
	if err != nil {
		return nil, err
	}
	config := serverTLS()
	config.Certificates = []tls.Certificate{certificate}
	return config, nil
}

func newLocalKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.MarshalECPrivateKey(key)
}

func newLocalAuthority(key *ecdsa.PrivateKey) ([]byte, error) {
	now := time.Now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Strata local CA", Organization: []string{"for development only"}},
		NotBefore:             now.Add(-localClockSkew),
		NotAfter:              now.Add(localCAValidity),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

// readOrCreate gives the contents of the file's PEM block. A file that does not exist is created with what create makes, unless
// another process is faster.
func readOrCreate(path, kind string, create func() ([]byte, error)) ([]byte, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createPEM(path, kind, create); err == nil {
			content, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: no PEM block of type %q", path, kind)
	}
	return block.Bytes, nil
}

func createPEM(path, kind string, create func() ([]byte, error)) error {
	der, err := create()
	if err != nil {
		return err
	}
	err = signing.CreatePrivateFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
