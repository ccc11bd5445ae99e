// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Aliases is a homeserver's room aliases.
type Aliases interface {
	// ResolveAlias gives the room of an alias of ours; found is false when there is none. Without Servers, those in the room are told.
	ResolveAlias(ctx context.Context, alias ident.RoomAlias) (target AliasTarget, found bool, err error)
}

// AliasTarget is where an alias leads: to a room, over servers that are likely to be in it.
type AliasTarget struct {
	Room    ident.RoomID       `json:"room_id"`
	Servers []ident.ServerName `json:"servers"`
}

// directoryRoutes are the endpoints of a homeserver that has aliases (E-28).
func (s *Server) directoryRoutes() []transport.Route {
	if s.core.Aliases == nil {
		return nil
	}
	return []transport.Route{{Method: http.MethodGet, Pattern: "/_matrix/federation/v1/query/directory", Handle: s.queryDirectory}}
}

// queryDirectory answers with the room of an alias of ours (E-28); of others' we know nothing (M-69).
func (s *Server) queryDirectory(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	alias, err := ident.ParseRoomAlias(r.Query.Get("room_alias"))
	if err != nil {
		return transport.Reply{}, invalidParam("room alias: %v", err)
	}
	if alias.Server() != s.self {
		return transport.Reply{}, notFound("not an alias of this server")
	}
	target, found, err := s.core.Aliases.ResolveAlias(ctx, alias)
	if err != nil {
		return transport.Reply{}, err
	}
	if !found {
		return transport.Reply{}, notFound("no room has this alias")
	}
	if target.Servers == nil {
		if target.Servers, err = s.engine.Servers(ctx, target.Room); err != nil {
			target.Servers = []ident.ServerName{} // a room that is not here any more
		}
	}
	target.Servers = target.Servers[:min(len(target.Servers), maxAliasServers)]
	return transport.JSON(target)
}

// ResolveAlias asks the server of an alias where it leads (M-69). The server that answered is among those of the target, though it may
// not be in the room itself.
func (s *Server) ResolveAlias(ctx context.Context, alias ident.RoomAlias) (target AliasTarget, err error) {
	if _, err = ident.ParseRoomAlias(string(alias)); err == nil {
		err = s.askOther(ctx, alias.Server(), func(ctx context.Context) error {
			answer, err := s.query(ctx, alias.Server(), "directory", url.Values{"room_alias": {string(alias)}})
			if err != nil {
				return err
			}
			target, err = parseAliasTarget(answer, alias.Server())
			return err
		})
	}
	if err != nil {
		return AliasTarget{}, fmt.Errorf("resolve %s: %w", alias, err)
	}
	return target, nil
}

func (s *Server) query(ctx context.Context, server ident.ServerName, kind string, query url.Values) ([]byte, error) {
	answer, err := s.asked.Do(ctx, server, transport.Call{
		Method: http.MethodGet, Path: transport.Path("_matrix", "federation", "v1", "query", kind), Query: query,
		MaxReply: maxQueryReply, Timeout: queryTimeout,
	})
	return answer.Body, err
}

func parseAliasTarget(body []byte, from ident.ServerName) (AliasTarget, error) {
	v, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return AliasTarget{}, err
	}
	text, _ := v.Get("room_id").Text()
	room, err := ident.ParseRoomID(text)
	if err != nil {
		return AliasTarget{}, malformed("answer of %s: %v", from, err)
	}
	target := AliasTarget{Room: room}
	for entry := range v.Get("servers").Elements() {
		text, _ := entry.Text()
		server, err := ident.ParseServerName(text)
		if err == nil && len(target.Servers) < maxAliasServers && !slices.Contains(target.Servers, server) {
			target.Servers = append(target.Servers, server)
		}
	}
	if !slices.Contains(target.Servers, from) {
		target.Servers = append(target.Servers, from)
	}
	return target, nil
}
