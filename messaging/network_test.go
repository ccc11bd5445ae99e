// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// network carries requests from one server's client to another's handler. A host without a handler is down.
type network struct {
	t *testing.T

	mu       sync.Mutex
	handlers map[string]http.Handler
	requests []string // "host METHOD path" of each
}

func newNetwork(t *testing.T) *network {
	return &network{t: t, handlers: map[string]http.Handler{}}
}

func (n *network) put(host string, handler http.Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handlers[host] = handler
}

func (n *network) asked() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.requests...)
}

// RoundTrip implements http.RoundTripper.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	handler := n.handlers[r.URL.Host]
	n.requests = append(n.requests, r.URL.Host+" "+r.Method+" "+r.URL.EscapedPath())
	n.mu.Unlock()
	if handler == nil {
		return nil, errors.New("connection refused")
	}
	arriving := r.Clone(r.Context())
	arriving.RequestURI = r.URL.RequestURI()
	arriving.RemoteAddr = "192.0.2.1:1"
	if arriving.Body == nil {
		arriving.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, arriving)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return recorder.Result(), nil
}

// open starts a server of the network; its files are in dir, "" for a new directory.
func (n *network) open(name, dir string, change ...func(*messaging.Config)) *messaging.Server {
	n.t.Helper()
	if dir == "" {
		dir = n.t.TempDir()
	}
	cfg := messaging.Config{
		ServerName: name, DataDir: dir, Key: keyOf(n.t, name), RoundTripper: n, NoSync: true, Trace: trace.SinkFunc(n.note(name)),
	}
	for _, f := range change {
		f(&cfg)
	}
	server, err := messaging.Open(context.Background(), cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.put(name, server.Handler())
	n.t.Cleanup(func() {
		if err := server.Close(); err != nil {
			n.t.Error(err)
		}
	})
	return server
}

func (n *network) note(name string) func(trace.Event) {
	return func(e trace.Event) {
		switch e := e.(type) {
		case trace.StorePanic, trace.TransportPanic:
			n.t.Errorf("%s: %+v", name, e)
		}
	}
}

// keyOf is the signing key of a server: the same in each run.
func keyOf(t *testing.T, name string) signing.Key {
	t.Helper()
	seed := make([]byte, 32)
	copy(seed, name)
	key, err := signing.NewKey("ed25519:1", seed)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// peer is a foreign server of which a test plays every part: it signs with its own key and serves what the test says.
type peer struct {
	name   ident.ServerName
	key    signing.Key
	client *transport.Client
	ring   *keys.Ring
	mux    *http.ServeMux
	take   func(edu string) // gets the EDUs that are sent to it, one after the other
}

func (n *network) peer(name string) *peer {
	key := keyOf(n.t, name)
	p := &peer{name: ident.ServerName(name), key: key, mux: http.NewServeMux()}
	p.client = transport.NewClient(transport.ClientConfig{ServerName: p.name, Key: key, RoundTripper: n})
	own, err := keys.NewOwn(keys.OwnConfig{Server: p.name, Plan: keys.Plan{Keys: []keys.PlannedKey{{Key: key}}}})
	if err != nil {
		n.t.Fatal(err)
	}
	p.ring = keys.NewRing(keys.RingConfig{Own: own, Fetch: p.client})
	p.mux.HandleFunc("GET /_matrix/key/v2/server", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(p.ring.Published(time.Now()))
	})
	p.take = func(string) {}
	p.mux.HandleFunc("PUT /_matrix/federation/v1/send/", func(w http.ResponseWriter, r *http.Request) {
		var txn struct {
			EDUs []json.RawMessage `json:"edus"`
		}
		if err := json.NewDecoder(r.Body).Decode(&txn); err != nil {
			n.t.Errorf("transaction for %s: %v", name, err)
		}
		for _, edu := range txn.EDUs {
			p.take(string(edu))
		}
		_, _ = io.WriteString(w, `{"pdus":{}}`)
	})
	n.put(name, p.mux)
	return p
}

// do sends a signed request.
func (p *peer) do(ctx context.Context, dest, method string, query map[string][]string, body []byte, path ...string) ([]byte, error) {
	answer, err := p.client.Do(ctx, ident.ServerName(dest), transport.Call{
		Method: method, Path: transport.Path(append([]string{"_matrix", "federation"}, path...)...), Query: query, Body: body,
	})
	return answer.Body, err
}

// refusal is "status errcode" of an error of another server, "" for none.
func refusal(err error) string {
	var failure *transport.Failure
	if errors.As(err, &failure) {
		return fmt.Sprintf("%d %s", failure.Status, failure.Code)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// inBubble runs f on virtual time. Servers are closed before the bubble ends.
func inBubble(t *testing.T, f func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newNetwork(t)) })
}

// settle waits until everything that was sent has arrived.
func settle() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

// journal collects what a subscription delivers, as "sender type" or for messages "sender: body".
type journal struct {
	mu        sync.Mutex
	lines     []string
	positions []int64
}

func (l *journal) deliver(_ context.Context, d messaging.Delivery) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, describe(d))
	l.positions = append(l.positions, int64(d.Position))
	return nil
}

func describe(d messaging.Delivery) string {
	if body, ok := d.Event.Content().Get("body").Text(); ok {
		return fmt.Sprintf("%s: %s", d.Event.Sender(), body)
	}
	if member, ok := d.Event.Membership(); ok {
		return fmt.Sprintf("%s %s", d.Event.Sender(), member.Membership)
	}
	return fmt.Sprintf("%s %s", d.Event.Sender(), d.Event.Type())
}

func (l *journal) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// subscribe follows a server under a name until stop is called.
func subscribe(t *testing.T, s *messaging.Server, name string, deliver func(context.Context, messaging.Delivery) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Subscribe(ctx, name, deliver) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("subscription %s: %v", name, err)
		}
	}
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func text(body string) map[string]string { return map[string]string{"msgtype": "m.text", "body": body} }
