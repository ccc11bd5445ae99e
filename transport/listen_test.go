// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/trace"
)

// A client that dribbles its header or body, or ends it early, is cut off; the server serves on.
func TestSlowClients(t *testing.T) {
	s, _ := newTestServer(t, func(c *ServerConfig) {
		c.Limits = ServerLimits{HeaderTime: 500 * time.Millisecond, BodyTime: 500 * time.Millisecond}
	})
	ca := newIssuer(t)
	address := run(t, s, ca.config(t, "self.example"))
	for _, tt := range []struct{ name, raw, want string }{
		{"body", "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{", "HTTP/1.1 408 "},
		{"header", "POST /open HTTP/1.1\r\nHost: x\r\nX-A", ""},
		{"nothing", "", ""},
	} {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: ca.pool, ServerName: "self.example"})
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, tt.raw)
		got, _ := io.ReadAll(conn) // until the server hangs up
		if !strings.HasPrefix(string(got), tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		conn.Close()
	}
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: ca.pool, ServerName: "self.example"})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
	conn.CloseWrite()
	if got, _ := io.ReadAll(conn); !strings.HasPrefix(string(got), "HTTP/1.1 400 ") || !strings.Contains(string(got), "M_NOT_JSON") {
		t.Errorf("truncated: got %q", got)
	}
	if raw, err := net.Dial("tcp", address); err == nil { // no handshake at all
		io.ReadAll(raw)
		raw.Close()
	}
	if status, _, _ := exchangeRaw(t, ca, address, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}

// A handler may take longer than the body was allowed to, also when there is none: the server watches the connection meanwhile,
// and must not take the deadline for the end of it.
func TestBodyDeadlineDoesNotCutHandler(t *testing.T) {
	const limit = 50 * time.Millisecond
	long := func(ctx context.Context, _ *Request) (Reply, error) {
		select {
		case <-time.After(4 * limit):
			return Reply{}, nil
		case <-ctx.Done():
			return Reply{}, ctx.Err()
		}
	}
	s, _ := newTestServer(t, func(c *ServerConfig) {
		c.Limits = ServerLimits{BodyTime: limit}
		c.Routes = []Route{
			{Method: "POST", Pattern: "/long", Open: true, Handle: long},
			{Method: "GET", Pattern: "/long", Open: true, Handle: long},
		}
	})
	ca := newIssuer(t)
	address := run(t, s, ca.config(t, "self.example"))
	for _, raw := range []string{
		"POST /long HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"GET /long HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		if status, _, body := exchangeRaw(t, ca, address, raw); status != 200 {
			t.Errorf("%.4s: got %d %s", raw, status, body)
		}
	}
}

// Serve lets running requests finish when its context ends, up to the drain time, and takes no new ones.
func TestDrain(t *testing.T) {
	for _, tt := range []struct {
		name  string
		drain time.Duration
		want  string
	}{{"in time", time.Minute, "{}"}, {"too late", time.Millisecond, ""}} {
		t.Run(tt.name, func(t *testing.T) {
			entered, leave := make(chan struct{}), make(chan struct{})
			s, _ := newTestServer(t, func(c *ServerConfig) {
				c.Limits.DrainTime = tt.drain
				c.Routes = []Route{{Method: "GET", Pattern: "/hold", Open: true, Handle: func(ctx context.Context, _ *Request) (Reply, error) {
					close(entered)
					select {
					case <-leave:
						return Reply{}, nil
					case <-ctx.Done():
						return Reply{}, ctx.Err()
					}
				}}}
			})
			listener, _ := listen(t)
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- s.Serve(ctx, listener, nil) }()
			reply := make(chan string, 1)
			go func() {
				response, err := http.Get("http://" + listener.Addr().String() + "/hold")
				if err != nil {
					reply <- ""
					return
				}
				defer response.Body.Close()
				body, _ := io.ReadAll(response.Body)
				reply <- string(body)
			}()
			<-entered
			stop()
			if tt.want != "" {
				for { // until the port is closed
					conn, err := net.Dial("tcp", listener.Addr().String())
					if err != nil {
						break
					}
					conn.Close()
				}
				close(leave)
			}
			if got := <-reply; got != tt.want {
				t.Errorf("reply %q, want %q", got, tt.want)
			}
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}

// Serve tells when its listener fails.
func TestServeError(t *testing.T) {
	s, _ := newTestServer(t)
	listener, _ := listen(t)
	listener.Close()
	if err := s.Serve(t.Context(), listener, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// An address has half of all connections, and one more of it is closed; when it closes one, the next is let in.
func TestConnectionLimit(t *testing.T) {
	inner, _ := listen(t)
	l := newLimitedListener(inner, 2, trace.OrDiscard(nil))
	accepted := make(chan net.Conn, 2)
	done := make(chan error, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				done <- err
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	dial()
	first := <-accepted
	if got, err := io.ReadAll(dial()); len(got) != 0 || len(accepted) != 0 {
		t.Errorf("one too many got %q, %v", got, err)
	}
	first.Close()
	first.Close() // twice gives back one place
	dial()
	(<-accepted).Close()
	l.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if l.places.free != 2 || len(l.places.held) != 0 {
		t.Errorf("left over: %+v", l.places)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// The limits hold on HTTP/2 too, where a refused body must not end the connection for other requests (G-C7).
func TestLimitsOnHTTP2(t *testing.T) {
	s, _ := newTestServer(t, func(c *ServerConfig) { c.Limits = ServerLimits{BodyTime: 200 * time.Millisecond} })
	ca := newIssuer(t)
	address := run(t, s, ca.config(t, "self.example"))
	pool := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool, ServerName: "self.example"}, ForceAttemptHTTP2: true}
	t.Cleanup(pool.CloseIdleConnections)
	never, end := io.Pipe()
	defer end.Close()
	for _, tt := range []struct {
		name   string
		body   io.Reader
		status int
		code   string
	}{
		{"good", strings.NewReader(`{}`), 200, ""},
		{"endless", zeros{}, 413, "M_TOO_LARGE"},
		{"silent", never, 408, "M_UNKNOWN"},
		{"good afterwards", strings.NewReader(`{}`), 200, ""},
	} {
		request, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+address+"/open", tt.body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := pool.RoundTrip(request)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if code := errcode(t, tt.code, response.StatusCode, response.Header, string(body)); response.StatusCode != tt.status || code != tt.code || response.ProtoMajor != 2 {
			t.Errorf("%s: got %s %d %s, want %d %s", tt.name, response.Proto, response.StatusCode, body, tt.status, tt.code)
		}
	}
}
