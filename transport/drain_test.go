// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"
)

// clientOf speaks HTTP/2 with a server, or HTTP/1.1.
func clientOf(t *testing.T, ca *issuer, http2 bool) *http.Transport {
	t.Helper()
	config := &tls.Config{RootCAs: ca.pool, ServerName: "self.example"}
	if !http2 {
		config.NextProtos = []string{"http/1.1"}
	}
	pool := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: http2}
	t.Cleanup(pool.CloseIdleConnections)
	return pool
}

// A server that is told to stop ends what it is doing on HTTP/2, and does not wait for clients that say nothing: net/http would,
// for seconds.
func TestDrainIsPrompt(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s, _ := newTestServer(t, func(c *ServerConfig) {
		c.Routes = []Route{{Method: "GET", Pattern: "/hold", Open: true, Handle: func(context.Context, *Request) (Reply, error) {
			close(entered)
			<-leave
			return JSON(strings.Repeat("x", 1<<20))
		}}}
	})
	ca := newIssuer(t)
	listener, _ := listen(t)
	address := listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener, ca.config(t, "self.example")) }()
	for _, http2 := range []bool{true, false} { // connections that rest
		response, err := clientOf(t, ca, http2).RoundTrip(httpGet(t, address, "/readyz"))
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("%+v, %v", response, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	greeted, err := tls.Dial("tcp", address, &tls.Config{RootCAs: ca.pool, ServerName: "self.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer greeted.Close()
	length := make(chan int, 1)
	go func() {
		response, err := clientOf(t, ca, true).RoundTrip(httpGet(t, address, "/hold"))
		if err != nil {
			t.Error(err)
			length <- 0
			return
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		length <- len(body)
	}()
	<-entered
	stop()
	for { // until the port is closed
		conn, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		conn.Close()
	}
	if w := call(s, "GET", "/readyz", "", ""); w.Code != 503 {
		t.Errorf("ready while it drains: %d", w.Code)
	}
	close(leave)
	begun := time.Now()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 2*time.Second { // 0.1 s and what the machine is busy with; net/http takes 5 s
		t.Errorf("stopped %s after the last request", took)
	}
	if got := <-length; got != 1<<20+2 {
		t.Errorf("the reply under way has %d bytes", got)
	}
}

func httpGet(t *testing.T, address, path string) *http.Request {
	request, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+address+path, nil)
	if err != nil {
		t.Error(err)
	}
	return request
}

// X-05 on HTTP/2: a body that is refused before it is read gets its answer whole, and the connection stays for other requests.
func TestRefusedBodyOnHTTP2(t *testing.T) {
	s, _ := newTestServer(t)
	ca := newIssuer(t)
	address := run(t, s, ca.config(t, "self.example"))
	pool := clientOf(t, ca, true)
	connections := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			connections++
		}
	}})
	for range 20 {
		const long = 1 << 20
		request, err := http.NewRequestWithContext(ctx, "POST", "https://"+address+"/open", strings.NewReader(strings.Repeat(" ", long)))
		if err != nil {
			t.Fatal(err)
		}
		response, err := pool.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != 413 || !strings.Contains(string(body), "M_TOO_LARGE") || err != nil {
			t.Fatalf("%d %s, %v", response.StatusCode, body, err)
		}
	}
	if connections != 1 {
		t.Errorf("%d connections for 20 requests, want 1", connections)
	}
}
