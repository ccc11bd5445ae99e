// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// E-04, E-05: what is asked for reaches the ring, and what it has comes back as server_keys, without X-Matrix.
func TestNotaryEndpoints(t *testing.T) {
	const query = "/_matrix/key/v2/query"
	for _, tt := range []struct {
		name, method, uri, body string
		status                  int
		asks                    []keys.Ask
		want                    string
	}{
		{"E-04", "GET", query + "/a.example:80", "", 200, []keys.Ask{{Server: "a.example:80"}}, `{"server_keys":[{"server_name":"a.example:80"}]}`},
		{"E-04 with a time", "GET", query + "/a.example?minimum_valid_until_ts=12", "", 200,
			[]keys.Ask{{Server: "a.example", ValidUntil: 12}}, `{"server_keys":[{"server_name":"a.example"}]}`},
		{"E-04 unreachable", "GET", query + "/down.example", "", 200, []keys.Ask{{Server: "down.example"}}, `{"server_keys":[]}`},
		{"E-04 no name", "GET", query + "/a%20b", "", 400, nil, ""},
		{"E-04 no time", "GET", query + "/a.example?minimum_valid_until_ts=x", "", 400, nil, ""},
		{"X-59 no servers", "POST", query, `{"server_keys":{}}`, 200, nil, `{"server_keys":[]}`},
		{"X-59 no key ids", "POST", query, `{"server_keys":{"a.example":{}}}`, 200, []keys.Ask{{Server: "a.example"}}, `{"server_keys":[{"server_name":"a.example"}]}`},
		{"X-58, X-59", "POST", query,
			`{"server_keys":{"a.example":{"ed25519:1":{"minimum_valid_until_ts":5},"ed25519:2":{"minimum_valid_until_ts":7},"ed25519:3":{}},"b.example":{"ed25519:1":{}},"down.example":{}}}`,
			200, []keys.Ask{
				{Server: "a.example", KeyIDs: []ident.KeyID{"ed25519:1", "ed25519:2", "ed25519:3"}, ValidUntil: 7},
				{Server: "b.example", KeyIDs: []ident.KeyID{"ed25519:1"}}, {Server: "down.example"},
			}, `{"server_keys":[{"server_name":"a.example"},{"server_name":"b.example"}]}`},
		{"odd names and values", "POST", query, `{"server_keys":{"a b":{},"c.example":7,"d.example":{"":{},"ed25519:1":[]}}}`, 200,
			[]keys.Ask{{Server: "c.example"}, {Server: "d.example", KeyIDs: []ident.KeyID{"ed25519:1"}}},
			`{"server_keys":[{"server_name":"c.example"},{"server_name":"d.example"}]}`},
		{"no object", "POST", query, `{"server_keys":[]}`, 400, nil, ""},
		{"nothing", "POST", query, `{}`, 400, nil, ""},
		{"too large", "POST", query, `{"x":"` + strings.Repeat("x", maxKeyQuery) + `"}`, 413, nil, ""},
	} {
		known := &knownKeys{}
		s, err := NewServer(ServerConfig{ServerName: "self.example", Keys: known})
		if err != nil {
			t.Fatal(err)
		}
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, httptest.NewRequest(tt.method, tt.uri, strings.NewReader(tt.body)))
		if recorder.Code != tt.status || tt.status == http.StatusOK && recorder.Body.String() != tt.want {
			t.Errorf("%s: got %d %s, want %d %s", tt.name, recorder.Code, recorder.Body, tt.status, tt.want)
		}
		if diff := cmp.Diff(tt.asks, known.asks); diff != "" {
			t.Errorf("%s: asks -want +got\n%s", tt.name, diff)
		}
	}
}

// A request that asks for too much is answered in part.
func TestReadAsksIsBounded(t *testing.T) {
	var servers, ids []string
	for i := range 2 * keys.MaxAttested {
		servers = append(servers, fmt.Sprintf(`"s%d.example":{}`, i))
		ids = append(ids, fmt.Sprintf(`"ed25519:%d":{}`, i))
	}
	asks, ok := readAsks([]byte(`{"server_keys":{"a.example":{` + strings.Join(ids, ",") + `},` + strings.Join(servers, ",") + `}}`))
	if !ok || len(asks) != keys.MaxAttested || len(asks[0].KeyIDs) != keys.MaxAttestedKeys {
		t.Errorf("%d servers, %d keys, %t", len(asks), len(asks[0].KeyIDs), ok)
	}
}

func FuzzReadAsks(f *testing.F) {
	f.Add([]byte(`{"server_keys":{"a.example":{"ed25519:1":{"minimum_valid_until_ts":5}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		asks, _ := readAsks(body)
		for _, a := range asks {
			if _, err := ident.ParseServerName(string(a.Server)); err != nil || a.ValidUntil < 0 || len(a.KeyIDs) > keys.MaxAttestedKeys {
				t.Errorf("%+v: %v", a, err)
			}
		}
	})
}
