// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// get asks a server that uses the configuration for a page under the given name, and returns the HTTP version.
func get(t *testing.T, config *tls.Config, name string, roots *x509.CertPool) (string, error) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
	server.TLS = config
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: name},
		ForceAttemptHTTP2: true,
		DisableKeepAlives: true,
	}}
	reply, err := client.Get(server.URL)
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	return reply.Proto, nil
}

func TestLocalCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := OpenLocalCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.ServerTLS("a.example", "10.1.2.3", "[2001:db8::1]", "2001:db8::2")
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenLocalCA(dir) // another process trusts the same authority
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.example", "A.EXAMPLE", "localhost", "127.0.0.1", "::1", "10.1.2.3", "2001:db8::1", "2001:db8::2"} {
		if proto, err := get(t, config, name, again.Pool()); err != nil || proto != "HTTP/2.0" {
			t.Errorf("as %s: %s, %v", name, proto, err)
		}
	}
	for _, name := range []string{"b.example", "x.a.example", "127.0.0.2"} {
		if _, err := get(t, config, name, again.Pool()); err == nil {
			t.Errorf("the certificate counts for %s", name)
		}
	}
	other, err := OpenLocalCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, config, "localhost", other.Pool()); err == nil {
		t.Error("another authority's certificate is trusted")
	}
	for file, want := range map[string]os.FileMode{"ca.key": 0o600, "ca.crt": 0o644} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", file, info.Mode(), err, want)
		}
	}
}

func TestLocalCACertificate(t *testing.T) {
	ca, err := OpenLocalCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.Certificate("a.example")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if name := leaf.PublicKey.(*ecdsa.PublicKey).Params().Name; name != "P-256" {
		t.Errorf("curve %s", name)
	}
	if leaf.IsCA || !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || leaf.SerialNumber.BitLen() < 64 {
		t.Errorf("CA %v, usage %v, serial %v", leaf.IsCA, leaf.ExtKeyUsage, leaf.SerialNumber)
	}
	if until := time.Until(leaf.NotAfter); until < 300*24*time.Hour || until > 825*24*time.Hour {
		t.Errorf("valid for %v", until)
	}
	for _, host := range []string{"", "a.example:8448", "a_b.example", "é.example", "[::1]:80"} {
		if _, err := ca.Certificate(host); err == nil {
			t.Errorf("a certificate for %q", host)
		}
	}
}

func TestOpenLocalCATogether(t *testing.T) {
	dir := t.TempDir()
	cas := make([]*LocalCA, 6)
	var wg sync.WaitGroup
	for i := range cas {
		wg.Go(func() {
			var err error
			if cas[i], err = OpenLocalCA(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, ca := range cas {
		if !ca.certificate.Equal(cas[0].certificate) {
			t.Fatal("different authorities")
		}
	}
}

func TestOpenLocalCARefuses(t *testing.T) {
	fill := func(t *testing.T) string {
		dir := t.TempDir()
		if _, err := OpenLocalCA(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, spoil := range map[string]func(dir string) error{
		"damaged key":         func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.key"), []byte("x"), 0o600) },
		"damaged certificate": func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.crt"), nil, 0o600) },
		"files swapped":       func(dir string) error { return os.Rename(filepath.Join(dir, "ca.key"), filepath.Join(dir, "ca.crt")) },
		"another key": func(dir string) error {
			return os.Rename(filepath.Join(fill(t), "ca.key"), filepath.Join(dir, "ca.key"))
		},
	} {
		dir := fill(t)
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenLocalCA(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want an error that names the place", name, err)
		}
	}
	ca, err := OpenLocalCA(fill(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.check(time.Now().Add(11 * 365 * 24 * time.Hour)); err == nil {
		t.Error("an expired authority is used")
	}
}

// writeCertificate issues a certificate and writes it in two PEM files.
func writeCertificate(t *testing.T, ca *LocalCA, certFile, keyFile string, hosts ...string) {
	t.Helper()
	certificate, err := ca.Certificate(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path, kind string, der []byte) {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := pem.Encode(file, &pem.Block{Type: kind, Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	write(keyFile, "PRIVATE KEY", key)
	write(certFile, "CERTIFICATE", certificate.Certificate[0])
}

func TestFileCertificate(t *testing.T) {
	dir := t.TempDir()
	ca, err := OpenLocalCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeCertificate(t, ca, certFile, keyFile, "a.example")
	files, err := FileCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if proto, err := get(t, files.Config(nil), "a.example", ca.Pool()); err != nil || proto != "HTTP/2.0" {
		t.Errorf("%s, %v", proto, err)
	}
	if _, err := FileCertificate(certFile, filepath.Join(dir, "ca.key")); err == nil || !strings.Contains(err.Error(), certFile) {
		t.Errorf("a key that does not fit: %v", err)
	}
	if _, err := FileCertificate(filepath.Join(dir, "none"), keyFile); err == nil {
		t.Error("no certificate, no error")
	}
}

// A renewed certificate is taken up by the servers that run: on demand, or by a handshake a minute later; a pair that does not fit
// changes nothing.
func TestFileCertificateReload(t *testing.T) {
	dir := t.TempDir()
	ca, err := OpenLocalCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeCertificate(t, ca, certFile, keyFile, "a.example")
	files, err := FileCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	config := files.Config(nil)
	renew := func(host string) {
		t.Helper()
		if err := errors.Join(os.Remove(certFile), os.Remove(keyFile)); err != nil {
			t.Fatal(err)
		}
		writeCertificate(t, ca, certFile, keyFile, host)
	}
	serves := func(host string) {
		t.Helper()
		if _, err := get(t, config, host, ca.Pool()); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	renew("b.example")
	serves("a.example")
	if err := files.Reload(); err != nil {
		t.Error(err)
	}
	serves("b.example")

	if err := os.WriteFile(keyFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := files.Reload(); err == nil || !strings.Contains(err.Error(), keyFile) {
		t.Errorf("half a key: %v", err)
	}
	later := time.Now().Add(lookAgain)
	before, err := files.at(time.Now())
	if err != nil {
		t.Error(err)
	}
	if same, err := files.at(later); same != before || err == nil {
		t.Errorf("half a key: the certificate changed, or nothing was said: %v", err)
	}
	renew("c.example")
	if same, _ := files.at(later.Add(lookAgain / 2)); same != before {
		t.Error("looked again at once")
	}
	if renewed, err := files.at(later.Add(lookAgain)); renewed == before || err != nil {
		t.Errorf("the renewed certificate was not taken up: %v", err)
	}
	serves("c.example")
}

// The TLS versions before 1.2 are refused.
func TestServerTLSVersion(t *testing.T) {
	ca, err := OpenLocalCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		near, far := net.Pipe()
		go func() {
			_ = tls.Server(far, config).Handshake()
			far.Close()
		}()
		client := tls.Client(near, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: version, MaxVersion: version})
		if err := client.Handshake(); (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		near.Close()
	}
}

// No authority is asked here: what is in the directory is served, and a host that is not ours gets nothing.
func TestACME(t *testing.T) {
	dir := t.TempDir()
	ca, err := OpenLocalCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// autocert keeps key and chain in one file named after the host.
	file := filepath.Join(dir, "a.example")
	writeCertificate(t, ca, file, file, "a.example")
	config, handler, err := ACME(dir, "a.example", "b.example")
	if err != nil {
		t.Fatal(err)
	}
	if proto, err := get(t, config, "a.example", ca.Pool()); err != nil || proto != "HTTP/2.0" {
		t.Errorf("%s, %v", proto, err)
	}
	if !slices.Contains(config.NextProtos, "acme-tls/1") || config.MinVersion != tls.VersionTLS12 {
		t.Errorf("protocols %v, version %x", config.NextProtos, config.MinVersion)
	}
	if _, err := config.GetCertificate(&tls.ClientHelloInfo{ServerName: "evil.example"}); err == nil || !strings.Contains(err.Error(), "evil.example") {
		t.Errorf("a certificate for a host that is not ours: %v", err)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "http://a.example/x", rand.Reader))
	if location := recorder.Header().Get("Location"); location != "https://a.example/x" {
		t.Errorf("redirected to %q", location)
	}
	for _, hosts := range [][]string{nil, {"127.0.0.1"}, {"a.example:8448"}, {""}, {"[::1]"}} {
		if _, _, err := ACME(dir, hosts...); err == nil {
			t.Errorf("ACME for %q", hosts)
		}
	}
}
