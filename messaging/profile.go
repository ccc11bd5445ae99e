// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"net/http"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// queryProfile answers what other servers ask about users (E-29). This package keeps no profiles, so that of a user of ours is
// empty; about others we know nothing.
func (s *Server) queryProfile(_ context.Context, r *transport.Request) (transport.Reply, error) {
	user, err := ident.ParseUserID(r.Query.Get("user_id"))
	if err != nil {
		return transport.Reply{}, invalidParam("user id: %v", err)
	}
	if user.Server() != s.self {
		return transport.Reply{}, &transport.Error{
			Status: http.StatusNotFound, Code: spec.ErrorNotFound, Message: "not a user of this server",
		}
	}
	return transport.Reply{}, nil
}
