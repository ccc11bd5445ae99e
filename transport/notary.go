// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"net/http"
	"strconv"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// queryServer is GET /_matrix/key/v2/query/{serverName} (E-04).
func (s *Server) queryServer(ctx context.Context, r *Request) (Reply, error) {
	server, err := ident.ParseServerName(r.Params["serverName"])
	if err != nil {
		return Reply{}, &Error{Status: http.StatusBadRequest, Code: spec.ErrorInvalidParam, Message: "not a server name"}
	}
	ask := keys.Ask{Server: server}
	if text := r.Query.Get("minimum_valid_until_ts"); text != "" {
		if ask.ValidUntil, err = strconv.ParseInt(text, 10, 64); err != nil {
			return Reply{}, &Error{Status: http.StatusBadRequest, Code: spec.ErrorInvalidParam, Message: "minimum_valid_until_ts is not a time"}
		}
	}
	return s.attest(ctx, []keys.Ask{ask}), nil
}

// queryServers is POST /_matrix/key/v2/query (E-05).
func (s *Server) queryServers(ctx context.Context, r *Request) (Reply, error) {
	asks, ok := readAsks(r.Body)
	if !ok {
		return Reply{}, &Error{Status: http.StatusBadRequest, Code: spec.ErrorBadJSON, Message: "server_keys is not an object"}
	}
	return s.attest(ctx, asks), nil
}

// readAsks leaves out what is no name of a server or of a key, and what is beyond the limits.
func readAsks(body []byte) (asks []keys.Ask, ok bool) {
	root, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	servers := root.Get("server_keys")
	if err != nil || servers.Kind() != canonicaljson.Object {
		return nil, false
	}
	for name, wanted := range servers.Members() {
		server, err := ident.ParseServerName(name)
		if err != nil {
			continue
		}
		if len(asks) == keys.MaxAttested {
			break
		}
		asks = append(asks, readAsk(server, wanted))
	}
	return asks, true
}

// readAsk asks for the longest validity that is wanted of any key: a document has one for all.
func readAsk(server ident.ServerName, wanted canonicaljson.Value) keys.Ask {
	ask := keys.Ask{Server: server}
	for name, criteria := range wanted.Members() {
		id, err := ident.ParseKeyID(name)
		if err != nil || len(ask.KeyIDs) == keys.MaxAttestedKeys {
			continue
		}
		ask.KeyIDs = append(ask.KeyIDs, id)
		until, _ := criteria.Get("minimum_valid_until_ts").Int()
		ask.ValidUntil = max(ask.ValidUntil, until)
	}
	return ask
}

func (s *Server) attest(ctx context.Context, asks []keys.Ask) Reply {
	body := []byte(`{"server_keys":[`)
	for i, document := range s.keys.Attest(ctx, asks) {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, document...)
	}
	return Reply{Body: append(body, "]}"...)}
}
