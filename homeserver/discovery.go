// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// discovery is the endpoints by which clients find out what there is (Client-Server API, "Server Discovery", "API Versions",
// "Capabilities negotiation"), and other servers where this one is (E-01).
func discovery(cfg Config) []api.Route {
	routes := []api.Route{
		{Method: "GET", Pattern: "/_matrix/client/versions", Open: true, Handle: always(versions())},
		{Method: "GET", Pattern: "/_matrix/client/v3/capabilities", Handle: always(capabilities(cfg.DefaultRoomVersion))},
	}
	if cfg.PublicBaseURL != "" {
		type base struct {
			URL string `json:"base_url"`
		}
		routes = append(routes, api.Route{
			Method: "GET", Pattern: "/.well-known/matrix/client", Open: true, Handle: always(map[string]base{"m.homeserver": {cfg.PublicBaseURL}}),
		})
	}
	if cfg.Delegate != "" {
		routes = append(routes, api.Route{
			Method: "GET", Pattern: "/.well-known/matrix/server", Open: true,
			Handle: always(map[string]ident.ServerName{"m.server": cfg.Delegate}),
		})
	}
	return routes
}

// always answers every request with the same.
func always(v any) func(context.Context, *api.Request) (api.Reply, error) {
	return func(context.Context, *api.Request) (api.Reply, error) { return api.JSON(v) }
}

func versions() any {
	return struct {
		Versions []string        `json:"versions"`
		Unstable map[string]bool `json:"unstable_features"`
	}{
		Versions: []string{
			"r0.5.0", "r0.6.0", "r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12",
			"v1.13", "v1.14", "v1.15", "v1.16", "v1.17", "v1.18", "v1.19",
		},
		Unstable: map[string]bool{},
	}
}

func capabilities(defaultVersion string) any {
	type enabled struct {
		Enabled bool `json:"enabled"`
	}
	available := map[string]string{}
	for _, version := range event.Versions() {
		available[version] = "stable"
	}
	return map[string]any{"capabilities": map[string]any{
		"m.room_versions":   map[string]any{"default": defaultVersion, "available": available},
		"m.change_password": enabled{true},
		"m.3pid_changes":    enabled{false},
		"m.get_login_token": enabled{false},
	}}
}
