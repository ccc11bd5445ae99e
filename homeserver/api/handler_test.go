// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/homeserver/api"
)

type oneToken struct{}

func (oneToken) Caller(_ context.Context, token string) (api.Caller, error) {
	if token != "good" {
		return api.Caller{}, &api.Error{Status: http.StatusUnauthorized, Code: "M_UNKNOWN_TOKEN", Message: "unknown token"}
	}
	return api.Caller{User: "@alice:a.example", Device: "DEV"}, nil
}

// TestHandler holds the door against the Client-Server API's "Standard error response" and "Unsupported endpoints".
func TestHandler(t *testing.T) {
	echo := func(_ context.Context, r *api.Request) (api.Reply, error) {
		var body struct {
			Name string `json:"name"`
		}
		if err := r.Decode(&body); err != nil {
			return api.Reply{}, err
		}
		return api.JSON(map[string]string{"user": string(r.User), "key": r.Param("key"), "name": body.Name})
	}
	handler, err := api.NewHandler(api.Config{Tokens: oneToken{}, Routes: []api.Route{
		{Method: "PUT", Pattern: "/_matrix/client/v3/rooms/{roomID}/state/{type}/{key}", Handle: echo},
		{Method: "PUT", Pattern: "/_matrix/client/v3/rooms/{roomID}/state/{type}/{$}", Handle: echo},
		{Method: "GET", Pattern: "/_matrix/client/versions", Open: true, Handle: echo},
		{Method: "POST", Pattern: "/faults", Open: true, Handle: func(_ context.Context, r *api.Request) (api.Reply, error) {
			return api.Reply{Body: r.Body[:1]}, nil // there is none
		}},
		{Method: "POST", Pattern: "/fails", Open: true, Handle: func(context.Context, *api.Request) (api.Reply, error) {
			return api.Reply{}, errors.New("secret")
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	const state = "/_matrix/client/v3/rooms/!r:a.example/state/org.test/"
	for name, c := range map[string]struct {
		method, path, token, body string
		status                    int
		want                      map[string]string // members of the answer
	}{
		"no token":             {"PUT", state + "k", "", `{}`, 401, map[string]string{"errcode": "M_MISSING_TOKEN"}},
		"bad token":            {"PUT", state + "k", "bad", `{}`, 401, map[string]string{"errcode": "M_UNKNOWN_TOKEN"}},
		"token in the query":   {"PUT", state + "k?access_token=good", "", `{}`, 401, map[string]string{"errcode": "M_MISSING_TOKEN"}},
		"a key":                {"PUT", state + "k", "good", `{"name":"n"}`, 200, map[string]string{"key": "k", "name": "n", "user": "@alice:a.example"}},
		"a key with a slash":   {"PUT", state + "a%2Fb", "good", `{}`, 200, map[string]string{"key": "a/b"}},
		"an empty key":         {"PUT", state, "good", `{}`, 200, map[string]string{"key": ""}},
		"under r0":             {"PUT", strings.Replace(state, "v3", "r0", 1) + "k", "good", `{}`, 200, map[string]string{"key": "k"}},
		"not JSON":             {"PUT", state + "k", "good", `{`, 400, map[string]string{"errcode": "M_NOT_JSON"}},
		"no object":            {"PUT", state + "k", "good", `[1]`, 400, map[string]string{"errcode": "M_BAD_JSON"}},
		"a wrong type":         {"PUT", state + "k", "good", `{"name":1}`, 400, map[string]string{"errcode": "M_BAD_JSON"}},
		"a huge body":          {"PUT", state + "k", "good", `"` + strings.Repeat("x", api.DefaultMaxBody) + `"`, 413, map[string]string{"errcode": "M_TOO_LARGE"}},
		"no such endpoint":     {"GET", "/_matrix/client/v3/nothing", "good", "", 404, map[string]string{"errcode": "M_UNRECOGNIZED"}},
		"a method that is not": {"POST", "/_matrix/client/versions", "", "", 405, map[string]string{"errcode": "M_UNRECOGNIZED"}},
		"open":                 {"GET", "/_matrix/client/versions", "", "", 200, map[string]string{"user": ""}},
		"open, with a token":   {"GET", "/_matrix/client/versions", "good", "", 200, map[string]string{"user": "@alice:a.example"}},
		"open, with a bad one": {"GET", "/_matrix/client/versions", "bad", "", 200, map[string]string{"user": ""}},
		"a GET with a body":    {"GET", "/_matrix/client/versions", "", "{", 200, map[string]string{"name": ""}},
		"after the JSON":       {"PUT", state + "k", "good", `{}x`, 400, map[string]string{"errcode": "M_NOT_JSON"}},
		"no UTF-8":             {"PUT", state + "k", "good", "{\"name\":\"\xff\"}", 400, map[string]string{"errcode": "M_NOT_JSON"}},
		"spaces only":          {"PUT", state + "k", "good", "  ", 400, map[string]string{"errcode": "M_NOT_JSON"}},
		"a defect of ours":     {"POST", "/faults", "", "", 500, map[string]string{"errcode": "M_UNKNOWN", "error": "internal error"}},
		"an error of ours":     {"POST", "/fails", "", "", 500, map[string]string{"errcode": "M_UNKNOWN", "error": "internal error"}},
	} {
		t.Run(name, func(t *testing.T) {
			request := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			if c.token != "" {
				request.Header.Set("Authorization", "Bearer "+c.token)
			}
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			if answer.Code != c.status {
				t.Fatalf("%d %s, want %d", answer.Code, answer.Body, c.status)
			}
			var got map[string]string
			if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			for member, value := range c.want {
				if got[member] != value {
					t.Errorf("%s is %q, want %q", member, got[member], value)
				}
			}
			if answer.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Error("no CORS")
			}
		})
	}
}

func TestRoutesThatContradict(t *testing.T) {
	_, err := api.NewHandler(api.Config{Routes: []api.Route{
		{Method: "GET", Pattern: "/a/{x}"}, {Method: "GET", Pattern: "/a/{y}"},
	}})
	if err == nil {
		t.Error("two routes for one path")
	}
}
