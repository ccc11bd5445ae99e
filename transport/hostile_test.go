// SPDX-License-Identifier: Apache-2.0

//go:build linux

package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Clients that drip bytes, each on a connection of its own, are cut off in time: in the header, in a body that is announced, and in one
// that is not. None of them costs more than it has sent.
func TestHostileDrip(t *testing.T) {
	limits := ServerLimits{BodyTime: 700 * time.Millisecond}
	head := "POST /receive HTTP/1.1\r\nHost: x\r\n"
	for _, tt := range []struct{ name, head, want string }{
		{"header", head + "X-A: ", ""},
		{"announced body", head + "Content-Length: 10000000\r\n\r\n{", "HTTP/1.1 408 "},
		{"chunk", head + "Transfer-Encoding: chunked\r\n\r\nffffff\r\n{", "HTTP/1.1 408 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == "" {
				limits.HeaderTime = 700 * time.Millisecond
			} else {
				limits.HeaderTime = 0
			}
			besiege(t, limits, 48<<20, func(ctx context.Context, s *siege) {
				each(50, func(int) {
					conn := s.dial(ctx)
					if conn == nil {
						t.Error("no connection")
						return
					}
					if got := dribble(ctx, conn, tt.head); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
						t.Errorf("got %.80q, want %q", got, tt.want)
					}
				})
			})
		})
	}
}

// Bodies and headers without end are refused as soon as they are too long, and what all of them together take is bounded: 20 clients
// that would send 10 MiB each get 8 MiB among them.
func TestHostileEndless(t *testing.T) {
	limits := ServerLimits{Memory: 16 << 20}
	for _, tt := range []struct {
		name, head, chunk string
		want              []string
	}{
		{"header", "GET /receive HTTP/1.1\r\nHost: x\r\n", "X-A: " + strings.Repeat("a", 1000) + "\r\n", []string{"431"}},
		{"header line", "GET /receive HTTP/1.1\r\nHost: x\r\nX-A: ", strings.Repeat("a", 1000), []string{"431"}},
		{"request line", "GET /", strings.Repeat("a", 1000), []string{"431", "414"}},
		{
			"body", "POST /receive HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
			"10000\r\n" + strings.Repeat("a", 1<<16) + "\r\n", []string{"413", "429"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			besiege(t, limits, 64<<20, func(ctx context.Context, s *siege) {
				each(20, func(int) {
					conn := s.dial(ctx)
					if conn == nil {
						t.Error("no connection")
						return
					}
					defer conn.Close()
					go func() {
						_, err := io.WriteString(conn, tt.head)
						for err == nil {
							_, err = io.WriteString(conn, tt.chunk)
						}
					}()
					answer := make([]byte, 1<<10)
					n, _ := io.ReadAtLeast(conn, answer, len("HTTP/1.1 200"))
					for _, want := range tt.want {
						if strings.HasPrefix(string(answer[:n]), "HTTP/1.1 "+want) {
							return
						}
					}
					// The kernel may throw the answer away when a client goes on sending after the connection was closed.
					if n > 0 {
						t.Errorf("got %q, want %s", answer[:n], tt.want)
					}
				})
			})
		})
	}
}

// A client that opens thousands of connections keeps half of the places; for each one more it is hung up on.
func TestHostileConnections(t *testing.T) {
	const places = 400
	besiege(t, ServerLimits{Connections: places}, 48<<20, func(ctx context.Context, s *siege) {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(attacker)}}
		var open, closed atomic.Int64
		each(2000, func(int) {
			conn, err := dialer.DialContext(ctx, "tcp", s.address)
			if err != nil {
				closed.Add(1)
				return
			}
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(700 * time.Millisecond))
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				closed.Add(1)
				return
			}
			open.Add(1)
		})
		if open.Load() > places/2 || open.Load() == 0 {
			t.Errorf("%d connections were kept, %d not; want %d", open.Load(), closed.Load(), places/2)
		}
	})
}

// A flood of good requests of one origin: a few at one time, the rest in line or refused with a time to come back.
func TestHostileFlood(t *testing.T) {
	limits := ServerLimits{OriginRequests: 2, OriginWaiting: 4}
	besiege(t, limits, 64<<20, func(ctx context.Context, s *siege) {
		var served, refused atomic.Int64
		each(40, func(i int) {
			pool := clientOf(t, s.ca, true)
			pool.DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(attacker)}}).DialContext
			defer pool.CloseIdleConnections()
			for n := range 25 {
				status, header := s.put(pool, "origin.example", 1, "/flood", fmt.Sprintf(`{"n":%d}`, 1000*i+n))
				switch {
				case status == http.StatusOK:
					served.Add(1)
				case status == http.StatusTooManyRequests && header.Get("Retry-After") != "":
					refused.Add(1)
				default:
					t.Errorf("status %d", status)
				}
			}
		})
		if served.Load() == 0 || served.Load()+refused.Load() != 1000 || s.most.Load() > 2 {
			t.Errorf("%d served, %d refused, %d at one time", served.Load(), refused.Load(), s.most.Load())
		}
	})
}

// Signatures that are not good: nothing that such a flood does is counted for the server that it claims to be.
func TestHostileForgery(t *testing.T) {
	besiege(t, ServerLimits{OriginRequests: 1, OriginWaiting: 1}, 64<<20, func(ctx context.Context, s *siege) {
		each(20, func(int) {
			pool := clientOf(t, s.ca, true)
			pool.DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(attacker)}}).DialContext
			defer pool.CloseIdleConnections()
			for range 20 {
				// The witness is third.example too.
				if status, _ := s.put(pool, "third.example", 9, "/flood", `{}`); status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
					t.Errorf("status %d", status)
				}
			}
		})
		if s.most.Load() != 0 {
			t.Error("a forged request came through")
		}
	})
}
