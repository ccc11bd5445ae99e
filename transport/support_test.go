// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// issuer is a certificate authority for one test.
type issuer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return &issuer{certificate, key, pool}
}

// config is a server's TLS configuration with a certificate for names, DNS names or IP addresses.
func (i *issuer) config(t testing.TB, names ...string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.certificate, key.Public(), i.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// fakeDNS answers with what it is told; every other name does not exist.
type fakeDNS struct {
	hosts map[string][]string
	srv   map[string][]dns.Service // by "_service._tcp.name"
	alias map[string]string        // the canonical names of hosts
	fail  error
}

func (d *fakeDNS) Addresses(_ context.Context, host string, _ bool) (dns.Addresses, error) {
	if d.fail != nil {
		return dns.Addresses{}, d.fail
	}
	texts := d.hosts[host]
	if len(texts) == 0 {
		return dns.Addresses{}, fmt.Errorf("%s %w", host, dns.ErrNoAddress)
	}
	found := dns.Addresses{Host: host, Canonical: cmp.Or(d.alias[host], host)}
	for _, text := range texts {
		found.List = append(found.List, netip.MustParseAddr(text))
	}
	return found, nil
}

func (d *fakeDNS) Services(_ context.Context, name string, _ bool) (dns.Services, error) {
	return dns.Services{Name: name, List: d.srv[name]}, nil
}

func (*fakeDNS) Forget(string, time.Time) int { return 0 }
func (*fakeDNS) Kept() []dns.Record           { return nil }
func (*fakeDNS) Len() int                     { return 0 }

// knownKeys is a KeySource of fixed keys, and counts how often it is asked.
type knownKeys struct {
	keys map[string]ed25519.PublicKey // by "server ed25519:id"

	mu    sync.Mutex
	asked int
	asks  []keys.Ask
}

func (k *knownKeys) Keys(_ context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	k.mu.Lock()
	k.asked++
	k.mu.Unlock()
	found := map[keys.Query]ed25519.PublicKey{}
	for _, q := range queries {
		if public, ok := k.keys[string(q.Server)+" "+string(q.KeyID)]; ok && q.Use == keys.ForRequest && q.At > 0 {
			found[q] = public
		}
	}
	return found
}

func (k *knownKeys) Published(time.Time) []byte { return []byte(`{"server_name":"self.example"}`) }

func (k *knownKeys) Attest(_ context.Context, asks []keys.Ask) (documents [][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asks = append(k.asks, asks...)
	for _, a := range asks {
		if a.Server != "down.example" {
			documents = append(documents, []byte(`{"server_name":"`+a.Server+`"}`))
		}
	}
	return documents
}

// recorder is a trace.Sink that remembers.
type recorder struct {
	mu     sync.Mutex
	events []trace.Event
}

func (r *recorder) Emit(e trace.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// recorded gives the events of one type.
func recorded[E trace.Event](r *recorder) []E {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []E
	for _, e := range r.events {
		if e, ok := e.(E); ok {
			list = append(list, e)
		}
	}
	return list
}

// testKey is a fixed key of a peer.
func testKey(t testing.TB, id string, seed byte) signing.Key {
	t.Helper()
	key, err := signing.NewKey(ident.KeyID(id), bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// authorize signs a request without the help of package signing: the signed object is encoded by encoding/json, which sorts
// members as canonical JSON does.
func authorize(key signing.Key, method, uri, origin, destination string, content string) string {
	object := map[string]any{"method": method, "uri": uri, "origin": origin, "destination": destination}
	if content != "" {
		object["content"] = json.RawMessage(content)
	}
	var message bytes.Buffer
	encoder := json.NewEncoder(&message)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object); err != nil {
		panic(err)
	}
	signature := ed25519.Sign(key.Private, bytes.TrimSpace(message.Bytes()))
	return fmt.Sprintf(`X-Matrix origin=%s,destination="%s",key="%s",sig="%s"`,
		origin, destination, key.ID, base64.RawStdEncoding.EncodeToString(signature))
}

// listen opens a port of the kernel's choice.
func listen(t testing.TB) (net.Listener, uint16) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener, netip.MustParseAddrPort(listener.Addr().String()).Port()
}

// run serves s over TLS until the test ends and returns the address.
func run(t testing.TB, s *Server, config *tls.Config) string {
	t.Helper()
	listener, _ := listen(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener, config) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return listener.Addr().String()
}

// peer is an HTTPS server of the test's own handler, reached by name through fake DNS.
type peer struct {
	port        uint16
	mu          sync.Mutex
	connections int
	requests    []*http.Request
	bodies      []string
}

func newPeer(t testing.TB, ca *issuer, handler http.HandlerFunc, names ...string) *peer {
	t.Helper()
	return newPeerAt(t, ca, handler, "127.0.0.1:0", names...)
}

// newPeerAt is newPeer at an address of one's own.
func newPeerAt(t testing.TB, ca *issuer, handler http.HandlerFunc, address string, names ...string) *peer {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("listen: %v", err) // not every system has all of 127.0.0.0/8
	}
	t.Cleanup(func() { listener.Close() })
	p := &peer{port: netip.MustParseAddrPort(listener.Addr().String()).Port()}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			p.mu.Lock()
			p.requests, p.bodies = append(p.requests, r), append(p.bodies, string(body))
			p.mu.Unlock()
			handler(w, r)
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				p.mu.Lock()
				p.connections++
				p.mu.Unlock()
			}
		},
		TLSConfig: ca.config(t, names...),
		ErrorLog:  quiet,
	}
	go func() { _ = server.ServeTLS(listener, "", "") }() // ends with ErrServerClosed at Close
	t.Cleanup(func() { server.Close() })
	return p
}

func (p *peer) connected() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connections
}

func (p *peer) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(p.port))) }

// anyKeys knows the key of every server: it is the same.
type anyKeys struct{ knownKeys }

func (k *anyKeys) Keys(_ context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	public, _ := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	found := make(map[keys.Query]ed25519.PublicKey, len(queries))
	for _, q := range queries {
		found[q] = public
	}
	return found
}
