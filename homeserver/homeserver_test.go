// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/homeserver"
	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/messaging"
)

// site is a homeserver under test.
type site struct {
	t *testing.T
	*homeserver.Server
}

// open starts a homeserver in which everybody may register; change makes another of it.
func open(t *testing.T, change ...func(*homeserver.Config)) *site {
	t.Helper()
	cfg := homeserver.Config{
		Messaging:    messaging.Config{ServerName: "a.example", DataDir: t.TempDir(), NoSync: true},
		Accounts:     accounts.Policy{Registration: true, SharedSecret: "sesame"},
		PasswordCost: accounts.CheapCost(),
	}
	for _, f := range change {
		f(&cfg)
	}
	server, err := homeserver.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{t, server}
}

// answer is what a client gets.
type answer struct {
	status  int
	members map[string]any
}

// code is the answer's errcode, "" for none.
func (a answer) code() string { return a.text("errcode") }

func (a answer) text(member string) string {
	s, _ := a.members[member].(string)
	return s
}

// ask sends a request as a client would, with a body in JSON unless it is nil.
func (s *site) ask(method, path, token string, body any) answer {
	s.t.Helper()
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			s.t.Fatal(err)
		}
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(sent))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	a := answer{status: w.Code}
	if err := json.Unmarshal(w.Body.Bytes(), &a.members); err != nil {
		s.t.Fatalf("%s %s: %d %q: %v", method, path, w.Code, w.Body, err)
	}
	return a
}

// object is a JSON object.
type object = map[string]any

// register makes a user and gives their access token.
func (s *site) register(name string) (token string) {
	s.t.Helper()
	a := s.ask("POST", "/_matrix/client/v3/register", "", object{
		"username": name, "password": "secret " + name, "device_id": "DEV", "auth": object{"type": "m.login.dummy"},
	})
	if token = a.text("access_token"); a.status != 200 || token == "" {
		s.t.Fatalf("register %s: %+v", name, a)
	}
	return token
}

// awaitRoom syncs from since on until what a user is told of a room they are in is what is waited for, and gives the token to go on from.
func (s *site) awaitRoom(token, since, room, what string, wanted func(told object) bool) (next string) {
	s.t.Helper()
	var last object
	for range 20 {
		a := s.ask("GET", "/_matrix/client/v3/sync?timeout=1000&since="+since, token, nil)
		since = a.text("next_batch")
		rooms, _ := a.members["rooms"].(object)
		joined, _ := rooms["join"].(object)
		if told, ok := joined[room].(object); ok {
			if wanted(told) {
				return since
			}
			last = told
		}
	}
	s.t.Fatalf("%s: not told; the last of the room was %v", what, last)
	return ""
}

// hasEvent is to await an event in a room's timeline.
func hasEvent(is func(event object) bool) (wanted func(told object) bool) {
	return func(told object) bool {
		timeline, _ := told["timeline"].(object)
		events, _ := timeline["events"].([]any)
		return slices.ContainsFunc(events, func(e any) bool { return is(e.(object)) })
	}
}

// TestRegisterLoginWhoami is what every client does first.
func TestRegisterLoginWhoami(t *testing.T) {
	s := open(t)
	token := s.register("alice")
	if a := s.ask("GET", "/_matrix/client/v3/account/whoami", token, nil); a.text("user_id") != "@alice:a.example" || a.text("device_id") != "DEV" {
		t.Errorf("whoami: %+v", a)
	}
	a := s.ask("POST", "/_matrix/client/v3/login", "", object{
		"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": "alice"}, "password": "secret alice",
	})
	if a.status != 200 || a.text("user_id") != "@alice:a.example" || a.text("device_id") == "DEV" || a.text("access_token") == token {
		t.Errorf("login: %+v", a)
	}
	if a := s.ask("GET", "/_matrix/client/versions", "", nil); a.status != 200 {
		t.Errorf("versions: %+v", a)
	}
}
