// SPDX-License-Identifier: Apache-2.0

// Package apitest calls the endpoints of one package as a client would, without accounts: a user's id is the access token, with the
// device after a space.
//
//	test ──► Client.Do(user, method, path, body) ──► api.NewHandler ──► the package's routes
package apitest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/transport/ident"
)

// Client calls routes.
type Client struct{ handler http.Handler }

// New makes a client of some routes.
func New(t testing.TB, routes []api.Route) *Client {
	t.Helper()
	handler, err := api.NewHandler(api.Config{Routes: routes, Tokens: tokens{}})
	if err != nil {
		t.Fatal(err)
	}
	return &Client{handler}
}

type tokens struct{}

// Caller implements api.Tokens.
func (tokens) Caller(_ context.Context, token string) (api.Caller, error) {
	user, device, _ := strings.Cut(token, " ")
	return api.Caller{User: ident.UserID(user), Device: device, Token: token}, nil
}

// Do makes a request as "@user:server" or "@user:server DEVICE", "" for nobody, and gives the status and the answer.
func (c *Client) Do(t testing.TB, as, method, path, body string) (status int, answer json.RawMessage) {
	t.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	if as != "" {
		request.Header.Set("Authorization", "Bearer "+as)
	}
	recorded := httptest.NewRecorder()
	c.handler.ServeHTTP(recorded, request)
	return recorded.Code, recorded.Body.Bytes()
}

// Want makes a request and checks the status and the answer, which is compared as JSON; "" is any.
func (c *Client) Want(t testing.TB, as, method, path, body string, status int, answer string) {
	t.Helper()
	gotStatus, got := c.Do(t, as, method, path, body)
	if gotStatus != status {
		t.Errorf("%s %s: %d %s, want %d", method, path, gotStatus, got, status)
		return
	}
	if answer != "" && canonical(t, got) != canonical(t, json.RawMessage(answer)) {
		t.Errorf("%s %s: %s, want %s", method, path, got, answer)
	}
}

// canonical is JSON with its members in order.
func canonical(t testing.TB, text json.RawMessage) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Errorf("not JSON: %s", text)
	}
	encoded, _ := json.Marshal(value) // what was decoded encodes
	return string(encoded)
}
