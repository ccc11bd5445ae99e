// SPDX-License-Identifier: Apache-2.0

//go:build linux

package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// siege is a server that is attacked from 127.0.0.2, and beside it a witness at 127.0.0.1: another peer, which sends signed requests
// all the while and must be served. (Linux has all of 127.0.0.0/8 on its loopback interface.)
type siege struct {
	t       *testing.T
	ca      *issuer
	address string
	working atomic.Int64 // handlers of the attackers that run
	most    atomic.Int64 // and how many did at one time
	release chan struct{}
}

const attacker = "127.0.0.2"

// besiege attacks a server until attack returns, and then holds against the bounds what it cost: heap in bytes, and goroutines, of which
// none may stay.
func besiege(t *testing.T, limits ServerLimits, heap uint64, attack func(ctx context.Context, s *siege)) {
	t.Helper()
	s := &siege{t: t, ca: newIssuer(t), release: make(chan struct{})}
	server, _ := newTestServer(t, func(c *ServerConfig) {
		c.Limits, c.Trace = limits, nil
		c.Routes = append(testRoutes(), s.routes()...)
	})
	listener, _ := listen(t)
	s.address = listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener, s.ca.config(t, "self.example")) }()
	witness := s.newWitness()
	witness.ask()
	watch := newWatch(t)

	over := make(chan struct{})
	go func() {
		defer close(over)
		attacking, end := context.WithTimeout(ctx, 20*time.Second) // a bound for what goes wrong
		defer end()
		attack(attacking, s)
	}()
	for attacked := true; attacked; {
		select {
		case <-over:
			attacked = false
		default:
			witness.ask()
			watch.look()
		}
	}
	close(s.release)
	watch.settle(t, heap)
	t.Logf("%d requests of another peer served meanwhile; heap +%d KiB at most; %d handlers at one time",
		witness.served, watch.most>>10, s.most.Load())
	witness.pool.CloseIdleConnections()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// routes are what attackers ask for: something to wait for, something large, and the usual.
func (s *siege) routes() []Route {
	count := func(handle func()) func(context.Context, *Request) (Reply, error) {
		return func(context.Context, *Request) (Reply, error) {
			if now := s.working.Add(1); now > s.most.Load() {
				s.most.Store(now)
			}
			defer s.working.Add(-1)
			handle()
			return Reply{}, nil
		}
	}
	hold := count(func() { <-s.release })
	return []Route{
		{Method: "GET", Pattern: "/hold", Open: true, Handle: hold},
		{Method: "PUT", Pattern: "/flood", Handle: count(func() { runtime.Gosched() })},
		{Method: "POST", Pattern: "/receive", Open: true, Handle: echoNothing},
		{Method: "GET", Pattern: "/big", Open: true, Handle: func(context.Context, *Request) (Reply, error) {
			return JSON(strings.Repeat("x", 1<<20))
		}},
	}
}

// witness is the other peer.
type witness struct {
	s      *siege
	pool   *http.Transport
	served int
}

func (s *siege) newWitness() *witness {
	return &witness{s: s, pool: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.ca.pool, ServerName: "self.example"}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}}
}

// ask sends a signed request over a connection of its own.
func (w *witness) ask() {
	body := fmt.Sprintf(`{"n":%d}`, w.served)
	status, _ := w.s.put(w.pool, "third.example", 3, send, body)
	if status != http.StatusOK {
		w.s.t.Errorf("the other peer got %d", status)
	}
	w.served++
}

// put sends one signed request.
func (s *siege) put(pool *http.Transport, origin string, seed byte, path, body string) (status int, header http.Header) {
	request, err := http.NewRequestWithContext(s.t.Context(), "PUT", "https://"+s.address+path, strings.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return 0, nil
	}
	request.Header.Set("Authorization", authorize(testKey(s.t, "ed25519:1", seed), "PUT", path, origin, "self.example", body))
	response, err := pool.RoundTrip(request)
	if err != nil {
		s.t.Errorf("%s: %v", origin, err)
		return 0, nil
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header
}

// dial connects as an attacker; it is nil when the server does not let it in.
func (s *siege) dial(ctx context.Context, protocols ...string) net.Conn {
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(attacker)}},
		Config:    &tls.Config{RootCAs: s.ca.pool, ServerName: "self.example", NextProtos: protocols},
	}
	conn, err := dialer.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil
	}
	return conn
}

// each has n attackers at work at one time, and waits for all.
func each(n int, work func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { work(i) })
	}
	all.Wait()
}

// dribble sends what cannot come to an end, a byte at a time, until the server hangs up, and returns what it said.
func dribble(ctx context.Context, conn net.Conn, head string) string {
	defer conn.Close()
	_, _ = io.WriteString(conn, head)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	go func() {
		for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
			if _, err := io.WriteString(conn, "a"); err != nil {
				tick.Stop()
				return
			}
		}
	}()
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// watch compares what the process uses with what it used before.
type watch struct {
	goroutines int
	heap, most uint64
}

// newWatch has garbage collected early from now on, or how much of it there is would be up to how busy the machine is.
func newWatch(t *testing.T) *watch {
	t.Helper()
	usual := debug.SetGCPercent(20)
	t.Cleanup(func() { debug.SetGCPercent(usual) })
	runtime.GC()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	return &watch{goroutines: runtime.NumGoroutine(), heap: now.HeapInuse}
}

func (w *watch) look() {
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	if now.HeapInuse > w.heap {
		w.most = max(w.most, now.HeapInuse-w.heap)
	}
}

// settle waits until the goroutines of the attack have ended, and holds the heap against its bound.
func (w *watch) settle(t *testing.T, heap uint64) {
	t.Helper()
	const slack = 4 // of the runtime and of net/http's pools
	patience := time.NewTimer(15 * time.Second)
	defer patience.Stop()
	for tick := time.NewTicker(5 * time.Millisecond); runtime.NumGoroutine() > w.goroutines+slack; {
		select {
		case <-tick.C:
		case <-patience.C:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", w.goroutines, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
	if w.most > heap {
		t.Errorf("the heap grew by %d KiB, at most %d KiB are allowed", w.most>>10, heap>>10)
	}
}
