// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
)

// serveTLS starts a server that presents the certificate which the authority issued for it, and returns its port.
func serveTLS(t *testing.T, ca *CA) (port string) {
	t.Helper()
	certFile, keyFile, err := ca.IssueLoopback(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return address.Port()
}

// A server must present a valid certificate for the host part of its name (Server-Server API, "Server discovery").
func TestCertificateIsValidForLoopbackNames(t *testing.T) {
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	port := serveTLS(t, ca)
	for _, test := range []struct {
		name, serverName string
		trusted          *x509.CertPool
		want             bool
	}{
		{"host name", "localhost", ca.Pool, true},
		{"IPv4 address", "127.0.0.1", ca.Pool, true},
		{"IPv6 address", "::1", ca.Pool, true},
		{"another name", "strata.example", ca.Pool, false},
		{"another authority", "localhost", stranger.Pool, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := &tls.Config{RootCAs: test.trusted, ServerName: test.serverName}
			conn, err := tls.Dial("tcp", "127.0.0.1:"+port, config)
			if err == nil {
				conn.Close()
			}
			if got := err == nil; got != test.want {
				t.Errorf("handshake as %s: got success %t, want %t (%v)", test.serverName, got, test.want, err)
			}
		})
	}
}

// Peers read the authority from its file, so the file must hold what the pool holds.
func TestAuthorityFileHoldsTheAuthority(t *testing.T) {
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		t.Fatalf("%s holds no certificate", ca.File)
	}
	if !pool.Equal(ca.Pool) {
		t.Errorf("%s holds another certificate than the pool", ca.File)
	}
}
