// SPDX-License-Identifier: Apache-2.0

//go:build linux

package transport

import (
	"bufio"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// rawPeer is a TLS server that answers each connection by a function of the test, which need not speak HTTP.
func rawPeer(t *testing.T, config *tls.Config, answer func(net.Conn)) (port uint16, close func()) {
	t.Helper()
	listener, port := listen(t)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				secure := tls.Server(conn, config)
				if secure.Handshake() == nil {
					answer(secure)
				}
			}()
		}
	}()
	return port, func() { listener.Close() }
}

// repeat answers a request with head, and then chunk until nobody reads any more.
func repeat(head, chunk string, pause time.Duration) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, err := io.WriteString(conn, head)
		for err == nil {
			if pause > 0 {
				<-time.After(pause)
			}
			_, err = io.WriteString(conn, chunk)
		}
	}
}

// speak answers every request with the same reply of HTTP/1.1.
func speak(status, header, body string) func(net.Conn) {
	return func(conn net.Conn) {
		for in := bufio.NewReader(conn); ; {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			fmt.Fprintf(conn, "HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s", status, header, len(body), body)
		}
	}
}

// counted counts what is written to a connection: replies.
type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// bomb is 64 MiB of zeros, compressed to 64 KiB.
func bomb() string {
	var out strings.Builder
	packed := gzip.NewWriter(&out)
	_, _ = packed.Write(make([]byte, 64<<20))
	_ = packed.Close()
	return out.String()
}

// Servers that answer us as no server should: twenty requests to each end by themselves, in time, with the class of what is wrong,
// and cost a bounded amount of memory; another server is reached meanwhile; and nothing is left behind.
func TestHostileServers(t *testing.T) {
	const (
		plain = "Content-Type: text/plain\r\n"
		begun = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		heap  = 64 << 20
	)
	var loops atomic.Int64
	for _, tt := range []struct {
		name   string
		answer func(net.Conn)
		want   Class // "" for an answer
	}{
		{"says nothing", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, ClassTimeout},
		{"drips its header", repeat("HTTP/1.1 200 OK\r\nX-A: ", "a", 10*time.Millisecond), ClassTimeout},
		{"drips its body", repeat(begun, "1\r\n \r\n", 10*time.Millisecond), ClassTimeout},
		{"body without end", repeat(begun, "10000\r\n"+strings.Repeat(" ", 1<<16)+"\r\n", 0), ClassNotJSON},
		{"header without end", repeat("HTTP/1.1 200 OK\r\n", "X-A: "+strings.Repeat("a", 1000)+"\r\n", 0), ClassDial},
		{"early hints without end", repeat("", "HTTP/1.1 103 Early Hints\r\nX-A: "+strings.Repeat("a", 1000)+"\r\n\r\n", 0), ClassDial},
		{"bomb", speak("200 OK", "Content-Encoding: gzip\r\n", bomb()), ClassNotJSON},
		{"redirects to itself", func(conn net.Conn) {
			speak("307 Again", "Location: /_matrix/federation/v1/version\r\n", "")(counted{conn, &loops})
		}, ClassNotJSON},
		{"redirects into our network", speak("302 Found", "Location: https://10.0.0.1/latest/meta-data\r\n", ""), ClassNotJSON},
		{"web page", speak("200 OK", "Content-Type: text/html\r\n", "<html>"), ClassNotJSON},
		{"cut JSON", speak("200 OK", "", `{"pdus":`), ClassNotJSON},
		{"empty", speak("200 OK", "", ""), ClassNotJSON},
		{"deep JSON", speak("200 OK", "", strings.Repeat("[", 1<<19)+strings.Repeat("]", 1<<19)), ClassNotJSON},
		{"shorter than announced", func(conn net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")
		}, ClassDial},
		{"not HTTP", repeat("", "SSH-2.0-OpenSSH\r\n", 0), ClassDial},
		{"nonsense that is JSON", speak("200 OK", plain, `{"pdus":7}`), ""}, // what it says is for the caller to judge
	} {
		t.Run(tt.name, func(t *testing.T) {
			ca := newIssuer(t)
			config := ca.config(t, "bad.example")
			config.NextProtos = []string{"http/1.1"}
			port, hangUp := rawPeer(t, config, tt.answer)
			good := newPeer(t, ca, ok, "good.example")
			names := at("bad.example", port)
			names.hosts["good.example"] = []string{"127.0.0.1"}
			names.srv["_matrix-fed._tcp.good.example"] = at("good.example", good.port).srv["_matrix-fed._tcp.good.example"]
			client := newTestClient(t, ca, names, func(c *setup) {
				c.Limits = ClientLimits{Timeout: 700 * time.Millisecond, ConnectionsPerServer: 20}
			})
			visit := Call{Method: http.MethodGet, Path: "/_matrix/federation/v1/version", MaxReply: 1 << 20}
			patient := visit
			patient.Timeout = 30 * time.Second
			if _, err := client.Do(t.Context(), "good.example", patient); err != nil {
				t.Fatal(err)
			}
			watch := newWatch(t)
			over := make(chan struct{})
			go func() {
				defer close(over)
				each(20, func(int) {
					_, err := client.Do(t.Context(), "bad.example", visit)
					if tt.want == "" && err == nil {
						return
					}
					// On a machine that is busy, time may run out before anything else is wrong.
					if got := failed(t, err).Class; got != tt.want && got != ClassTimeout {
						t.Errorf("%s, want %s: %v", got, tt.want, err)
					}
				})
			}()
			for attacked := true; attacked; {
				select {
				case <-over:
					attacked = false
				default:
					if _, err := client.Do(t.Context(), "good.example", patient); err != nil {
						t.Errorf("the other server: %v", err)
					}
					watch.look()
				}
			}
			client.network.servers.CloseIdleConnections()
			hangUp()
			watch.settle(t, heap)
		})
	}
	if loops.Load() > 20 {
		t.Errorf("a redirect was followed: %d requests for 20", loops.Load())
	}
}

// a server that cannot show the certificate of its name is told nothing.
func TestHostileCertificates(t *testing.T) {
	ca, other := newIssuer(t), newIssuer(t)
	for name, config := range map[string]*tls.Config{
		"of another name":      ca.config(t, "other.example"),
		"of another authority": other.config(t, "bad.example"),
	} {
		var heard atomic.Int64
		config.NextProtos = []string{"http/1.1"}
		port, hangUp := rawPeer(t, config, func(conn net.Conn) {
			n, _ := io.Copy(io.Discard, conn)
			heard.Add(n)
		})
		client := newTestClient(t, ca, at("bad.example", port))
		_, err := client.Do(t.Context(), "bad.example", Call{Method: http.MethodPut, Path: send, Body: []byte(`{}`)})
		if got := failed(t, err).Class; got != ClassTLS || heard.Load() != 0 {
			t.Errorf("%s: %s, and it heard %d bytes", name, got, heard.Load())
		}
		hangUp()
	}
}
