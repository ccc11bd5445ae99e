// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// OpenID knows the tokens by which users of ours prove to third parties who they are.
type OpenID interface {
	// OpenIDUser gives the user of a token; found is false for one that is not valid, or no more.
	OpenIDUser(ctx context.Context, token string) (user ident.UserID, found bool, err error)
}

// openIDRoutes are the endpoints of a homeserver that gives such tokens (E-30). Who asks has no server of its own.
func (s *Server) openIDRoutes() []transport.Route {
	if s.core.OpenID == nil {
		return nil
	}
	return []transport.Route{{
		Method: http.MethodGet, Pattern: "/_matrix/federation/v1/openid/userinfo", Open: true, Handle: s.serveUserInfo,
	}}
}

func (s *Server) serveUserInfo(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	token := r.Query.Get("access_token")
	if token == "" {
		return transport.Reply{}, &transport.Error{Status: http.StatusUnauthorized, Code: spec.ErrorMissingToken, Message: "no access_token"}
	}
	user, found, err := s.core.OpenID.OpenIDUser(ctx, token)
	if err != nil {
		return transport.Reply{}, err
	}
	if !found {
		return transport.Reply{}, &transport.Error{
			Status: http.StatusUnauthorized, Code: spec.ErrorUnknownToken, Message: "the token is not valid, or no more",
		}
	}
	return transport.JSON(map[string]ident.UserID{"sub": user})
}

// OpenIDUserInfo asks a server whose token it is (E-30). A user of another server than the one that was asked is refused (M-70).
func (s *Server) OpenIDUserInfo(ctx context.Context, server ident.ServerName, token string) (user ident.UserID, err error) {
	err = s.askOther(ctx, server, func(ctx context.Context) error {
		answer, err := s.asked.Do(ctx, server, transport.Call{
			Method: http.MethodGet, Path: transport.Path("_matrix", "federation", "v1", "openid", "userinfo"),
			Query: url.Values{"access_token": {token}}, Unsigned: true, MaxReply: maxQueryReply, Timeout: queryTimeout,
		})
		if err != nil {
			return err
		}
		user, err = parseUserInfo(answer.Body, server)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("ask %s for the user of a token: %w", server, err)
	}
	return user, nil
}

func parseUserInfo(body []byte, from ident.ServerName) (ident.UserID, error) {
	v, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return "", err
	}
	return speaker(from, v.Get("sub"))
}
