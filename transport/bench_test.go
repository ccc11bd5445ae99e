// SPDX-License-Identifier: Apache-2.0

//go:build unix

package transport

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRoundTrip is a signed PUT of a transaction from Client to Server, verified there, against the bare request of net/http
// to a handler that reads it, over the same kind of TLS and HTTP/2 connection. It counts the CPU time of the process, which other
// work on the machine does not disturb. ratio-signed adds to the floor one Ed25519 signature and one verification of the body by
// the standard library, which the protocol demands.
func BenchmarkRoundTrip(b *testing.B) {
	const batch = 32 // requests between two looks at the clock, so that looking costs nothing
	for _, size := range []int{1 << 10, 40 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			body := []byte(`{"pdus":["` + strings.Repeat("x", size-16) + `"]}`)
			signed, bare := signedRoundTrip(b, body), bareRoundTrip(b, body)
			public, private, err := ed25519.GenerateKey(nil)
			if err != nil {
				b.Fatal(err)
			}
			crypto := func(b *testing.B) {
				if !ed25519.Verify(public, body, ed25519.Sign(private, body)) {
					b.Fatal("bad signature")
				}
			}
			var took, floor, signatures time.Duration
			for b.Loop() { // in turn, so that both see the same machine
				floor += cpuOf(b, batch, bare)
				took += cpuOf(b, batch, signed)
				signatures += cpuOf(b, batch, crypto)
			}
			b.ReportMetric(float64(took)/float64(batch*b.N), "cpu-ns/request")
			b.ReportMetric(float64(floor)/float64(batch*b.N), "floor-cpu-ns/request")
			b.ReportMetric(float64(took)/float64(floor), "ratio")
			b.ReportMetric(float64(took)/float64(floor+signatures), "ratio-signed")
		})
	}
}

// cpuOf is the CPU time that the process spends on n calls of f.
func cpuOf(b *testing.B, n int, f func(*testing.B)) time.Duration {
	begun := cpuTime(b)
	for range n {
		f(b)
	}
	return cpuTime(b) - begun
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func signedRoundTrip(b *testing.B, body []byte) func(*testing.B) {
	s, _ := newTestServer(b, func(c *ServerConfig) {
		c.Routes, c.Trace = []Route{{Method: "PUT", Pattern: sendPattern, Handle: echoNothing}}, nil
	})
	ca := newIssuer(b)
	port := netip.MustParseAddrPort(run(b, s, ca.config(b, "self.example"))).Port()
	names := at("self.example", port)
	client := newTestClient(b, ca, names)
	return func(b *testing.B) {
		if _, err := client.Do(b.Context(), "self.example", Call{Method: "PUT", Path: send, Body: body}); err != nil {
			b.Fatal(err)
		}
	}
}

func bareRoundTrip(b *testing.B, body []byte) func(*testing.B) {
	ca := newIssuer(b)
	listener, port := listen(b)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "{}")
		}),
		TLSConfig: ca.config(b, "self.example"), ErrorLog: quiet,
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	b.Cleanup(func() { server.Close() })
	pool := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: ca.pool, ServerName: "self.example"},
		ForceAttemptHTTP2: true,
	}
	b.Cleanup(pool.CloseIdleConnections)
	url := "https://" + net.JoinHostPort("127.0.0.1", fmt.Sprint(port)) + send
	return func(b *testing.B) {
		request, err := http.NewRequestWithContext(b.Context(), "PUT", url, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		response, err := pool.RoundTrip(request)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
}
