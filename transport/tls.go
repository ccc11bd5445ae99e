// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// serverTLS is what all our server certificates are offered with: TLS 1.2 at least, HTTP/2 and HTTP/1.1, and no client certificate,
// which may never be required.
func serverTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
}

// CertificateFiles serves the certificate chain and key in two PEM files, and takes up what is written there later.
type CertificateFiles struct {
	certFile, keyFile string

	mu      sync.Mutex
	looked  time.Time // when the files were looked at
	version [2]fileVersion
	current *tls.Certificate
}

// fileVersion tells a file from another one of the same name.
type fileVersion struct {
	size     int64
	modified time.Time
}

// lookAgain is how often handshakes look whether the files have changed. A renewed certificate comes weeks before the old one ends.
const lookAgain = time.Minute

// FileCertificate reads the files.
func FileCertificate(certFile, keyFile string) (*CertificateFiles, error) {
	c := &CertificateFiles{certFile: certFile, keyFile: keyFile}
	return c, c.Reload()
}

// Config is for servers. It stays good: each handshake gets the certificate of its time. Trouble with the files is told to sink, which
// may be nil, and the certificate that was good stays.
func (c *CertificateFiles) Config(sink trace.Sink) *tls.Config {
	sink = trace.OrDiscard(sink)
	config := serverTLS()
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, err := c.at(time.Now())
		if err != nil {
			sink.Emit(trace.TransportConnection{Message: err.Error()})
		}
		return certificate, nil
	}
	return config
}

// Reload reads the files now. After an error the certificate is the one from before.
func (c *CertificateFiles) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load(time.Now())
}

// Expiry is when the certificate that is shown now ends.
func (c *CertificateFiles) Expiry() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current.Leaf.NotAfter
}

// at is the certificate to show, and what is wrong with the files if they were looked at.
func (c *CertificateFiles) at(now time.Time) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) < lookAgain {
		return c.current, nil
	}
	c.looked = now
	version, err := c.versions()
	if err == nil && version != c.version {
		err = c.load(now)
	}
	return c.current, err
}

// load takes up what is in the files. They are written one after the other: a pair that does not fit is looked at again.
func (c *CertificateFiles) load(now time.Time) error {
	version, err := c.versions()
	if err != nil {
		return err
	}
	certificate, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("load certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.looked, c.version, c.current = now, version, &certificate
	return nil
}

func (c *CertificateFiles) versions() (version [2]fileVersion, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return version, fmt.Errorf("load certificate: %w", err)
		}
		version[i] = fileVersion{info.Size(), info.ModTime()}
	}
	return version, nil
}

// certifiable reads a host to be named in a certificate: a DNS name, or one with a first label of * for all others, or an IP address
// with or without brackets, and no port. One of the results is set.
func certifiable(host string) (dns string, ip net.IP, err error) {
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil {
		return "", ip, nil
	}
	_, any := strings.CutPrefix(host, "*.")
	name, err := ident.ParseServerName(strings.TrimPrefix(host, "*."))
	if err != nil {
		return "", nil, err
	}
	dns, port := ident.SplitServerName(name)
	if port != "" {
		return "", nil, fmt.Errorf("%s has a port, which no certificate names", name)
	}
	if any {
		dns = "*." + dns
	}
	return dns, nil, nil
}
