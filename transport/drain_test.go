// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
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

// pipes is a listener without a network.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, open := <-p; open {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error {
	close(p)
	return nil
}

func (pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// Who has begun with a body and sends no more of it does not keep the server from stopping; who goes on sending is heard to the end.
func TestDrainWithBodiesUnderWay(t *testing.T) {
	for _, test := range []struct {
		name, rest string
		pause      time.Duration // before each byte of the rest
		status     string
		took       time.Duration
	}{
		{"stalled", "", 0, "HTTP/1.1 408 Request Timeout", lastBytes},
		{"going on", `"a":"b"}`, lastBytes / 2, "HTTP/1.1 200 OK", 8 * lastBytes / 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := newTestServer(t)
				listener := make(pipes)
				ctx, stop := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() { served <- s.Serve(ctx, listener, nil) }()
				conn, end := net.Pipe()
				defer conn.Close()
				listener <- end
				fmt.Fprintf(conn, "POST /open HTTP/1.1\r\nHost: self.example\r\nContent-Length: 9\r\n\r\n{")
				synctest.Wait()
				stop()
				begun := time.Now()
				go func() {
					for _, c := range []byte(test.rest) {
						time.Sleep(test.pause)
						_, _ = conn.Write([]byte{c})
					}
				}()
				status, _ := bufio.NewReader(conn).ReadString('\n')
				if status = strings.TrimSpace(status); status != test.status {
					t.Errorf("answered %q, want %q", status, test.status)
				}
				if took := time.Since(begun); took != test.took {
					t.Errorf("answered after %s, want %s", took, test.took)
				}
				conn.Close()
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
