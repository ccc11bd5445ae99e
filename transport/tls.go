// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"

	"github.com/strata-matrix/strata/transport/ident"
)

// serverTLS is what all our server certificates are offered with: TLS 1.2 at least, HTTP/2 and HTTP/1.1, and no client certificate,
// which may never be required.
func serverTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
}

// FileCertificate serves the certificate chain and key in two PEM files. They are read once: a renewed certificate is taken up at
// the next start.
func FileCertificate(certFile, keyFile string) (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w", certFile, keyFile, err)
	}
	config := serverTLS()
	config.Certificates = []tls.Certificate{certificate}
	return config, nil
}

// certifiable reads a host to be named in a certificate: a DNS name, or an IP address with or without brackets, and no port. One
// of the results is set.
func certifiable(host string) (dns string, ip net.IP, err error) {
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil {
		return "", ip, nil
	}
	name, err := ident.ParseServerName(host)
	if err != nil {
		return "", nil, err
	}
	dns, port := ident.SplitServerName(name)
	if port != "" {
		return "", nil, fmt.Errorf("%s has a port, which no certificate names", name)
	}
	return dns, nil, nil
}
