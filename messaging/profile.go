// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// queryProfile answers what other servers ask about users (E-29). Without profiles that of a user of ours is empty; about others we
// know nothing (M-65).
func (s *Server) queryProfile(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	user, err := ident.ParseUserID(r.Query.Get("user_id"))
	if err != nil {
		return transport.Reply{}, invalidParam("user id: %v", err)
	}
	if user.Server() != s.self {
		return transport.Reply{}, notFound("not a user of this server")
	}
	if s.core.Profiles == nil {
		return transport.Reply{}, nil
	}
	fields, found, err := s.core.Profiles.Profile(ctx, user)
	if err != nil {
		return transport.Reply{}, err
	}
	if !found {
		return transport.Reply{}, notFound("no such user")
	}
	name := r.Query.Get("field")
	if name == "" {
		return transport.JSON(fields)
	}
	value, set := fields[name]
	if !set {
		return transport.Reply{}, notFound("the field is not set")
	}
	return transport.JSON(map[string]json.RawMessage{name: value})
}

func notFound(message string) *transport.Error {
	return &transport.Error{Status: http.StatusNotFound, Code: spec.ErrorNotFound, Message: message}
}
