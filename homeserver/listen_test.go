// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/messaging"
)

func openPlain(t *testing.T) *Server {
	t.Helper()
	s, err := Open(t.Context(), Config{
		Messaging:    messaging.Config{ServerName: "a.example", DataDir: t.TempDir(), NoSync: true},
		Accounts:     accounts.Policy{Registration: true},
		PasswordCost: accounts.CheapCost(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestSharedDoor holds a door for both APIs against X-04: what neither knows is 404 M_UNRECOGNIZED, what one knows by another method 405
// M_UNRECOGNIZED. The first ten are what Complement's TestUnknownEndpoints asks.
func TestSharedDoor(t *testing.T) {
	s := openPlain(t)
	both, clients := s.behind(Door{Peers: true}, t.Context()), s.behind(Door{}, t.Context())
	for _, c := range []struct {
		method, path string
		status       int
		code         string // of the answer's errcode
		alone        int    // the status at a door for clients alone
	}{
		{"GET", "/_matrix/unknown", 404, "M_UNRECOGNIZED", 404},
		{"GET", "/_matrix/client/unknown", 404, "M_UNRECOGNIZED", 404},
		{"GET", "/_matrix/client/v3/room/unknown", 404, "M_UNRECOGNIZED", 404},
		{"PUT", "/_matrix/client/v3/login", 405, "M_UNRECOGNIZED", 405},
		{"GET", "/_matrix/federation/unknown", 404, "M_UNRECOGNIZED", 404},
		{"GET", "/_matrix/federation/v1/unknown", 404, "M_UNRECOGNIZED", 404},
		{"PUT", "/_matrix/federation/v1/version", 405, "M_UNRECOGNIZED", 404},
		{"GET", "/_matrix/key/v2/unknown", 404, "M_UNRECOGNIZED", 404},
		{"PUT", "/_matrix/key/v2/query", 405, "M_UNRECOGNIZED", 404},
		{"PATCH", "/_matrix/media/v3/upload", 405, "M_UNRECOGNIZED", 405},
		{"GET", "/_matrix/client/versions", 200, "", 200},
		{"GET", "/_matrix/federation/v1/version", 200, "", 404},
		{"GET", "/_matrix/key/v2/server", 200, "", 404},
		{"GET", "/_matrix/federation/v1/event/$e", 401, "M_UNAUTHORIZED", 404},
		{"GET", "/_matrix/client/v3/account/whoami", 401, "M_MISSING_TOKEN", 401},
		{"GET", "/_matrix/federation/v1/event/%24a%2Fb", 401, "M_UNAUTHORIZED", 404},
		{"GET", "/_matrix/federation", 404, "M_UNRECOGNIZED", 404},
	} {
		w := httptest.NewRecorder()
		both.ServeHTTP(w, httptest.NewRequest(c.method, c.path, http.NoBody))
		if got := codeOf(w); w.Code != c.status || got != c.code {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, w.Code, w.Body, c.status, c.code)
		}
		w = httptest.NewRecorder()
		clients.ServeHTTP(w, httptest.NewRequest(c.method, c.path, http.NoBody))
		if w.Code != c.alone {
			t.Errorf("%s %s where clients alone come in: %d %s, want %d", c.method, c.path, w.Code, w.Body, c.alone)
		}
	}
	for _, door := range []http.Handler{both, clients} {
		w := httptest.NewRecorder()
		door.ServeHTTP(w, httptest.NewRequest("GET", "/health", http.NoBody))
		if w.Code != 200 || w.Body.String() != "OK" {
			t.Errorf("health: %d %s", w.Code, w.Body)
		}
	}
}

// A server that ends answers a sync that waits, and then lets go of the listener.
func TestServeClientsEnds(t *testing.T) {
	s := openPlain(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.ServeClients(ctx, listener, Door{Peers: true}) }()
	base := "http://" + listener.Addr().String()
	token := registerAt(t, base)
	since := syncAt(t, base, token, "timeout=0")
	waiting := make(chan int, 1)
	r := request(t, base+"/_matrix/client/v3/sync?timeout=600000&since="+since, token)
	go func() {
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			waiting <- 0
			return
		}
		answer.Body.Close()
		waiting <- answer.StatusCode
	}()
	end()
	if err := <-served; err != nil {
		t.Error(err)
	}
	<-waiting // it has ended: with an answer, or refused if the listener was closed before it came
}

func request(t *testing.T, url, token string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func registerAt(t *testing.T, base string) string {
	t.Helper()
	answer, err := http.Post(base+"/_matrix/client/v3/register", "application/json", strings.NewReader(`{"username":"alice","password":"p","auth":{"type":"m.login.dummy"}}`))
	return member(t, "access_token", answer, err)
}

func syncAt(t *testing.T, base, token, query string) string {
	t.Helper()
	answer, err := http.DefaultClient.Do(request(t, base+"/_matrix/client/v3/sync?"+query, token))
	return member(t, "next_batch", answer, err)
}

// member is one of an answer's, a text.
func member(t *testing.T, name string, answer *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var members map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&members); err != nil {
		t.Fatal(err)
	}
	text, _ := members[name].(string)
	if text == "" {
		t.Fatalf("no %s in %v", name, members)
	}
	return text
}
