// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
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

// QueryProfile asks the server of a user for the profile, or with a field that is not "" for that alone (E-29). Fields that are not set
// are not in it; it may hold any others (M-68). Who is not known, or has no such field, is a *transport.Failure with status 404.
func (s *Server) QueryProfile(ctx context.Context, user ident.UserID, field string) (fields map[string]json.RawMessage, err error) {
	if _, err = ident.ParseUserID(string(user)); err == nil {
		err = s.askOther(ctx, user.Server(), func(ctx context.Context) error {
			query := url.Values{"user_id": {string(user)}}
			if field != "" {
				query.Set("field", field)
			}
			answer, err := s.query(ctx, user.Server(), "profile", query)
			if err != nil {
				return err
			}
			fields, err = parseProfile(answer, field)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("profile of %s: %w", user, err)
	}
	return fields, nil
}

// parseProfile reads a profile. Names and pictures that are no text are as good as not set; of other fields nothing is known.
func parseProfile(body []byte, field string) (map[string]json.RawMessage, error) {
	v, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return nil, err
	}
	if v.Kind() != canonicaljson.Object {
		return nil, malformed("a profile is an object")
	}
	fields := map[string]json.RawMessage{}
	for name, value := range v.Members() {
		known := name == "displayname" || name == "avatar_url"
		switch {
		case field != "" && name != field, value.Kind() == canonicaljson.Null, known && value.Kind() != canonicaljson.String:
			continue
		}
		fields[name] = json.RawMessage(value.Canonical())
	}
	return fields, nil
}

func notFound(message string) *transport.Error {
	return &transport.Error{Status: http.StatusNotFound, Code: spec.ErrorNotFound, Message: message}
}
