// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// PublicRooms is the directory of rooms that a homeserver publishes.
type PublicRooms interface {
	// PublicRooms gives a page of what is published here, and nowhere else, in an order that does not change on the way (M-71).
	PublicRooms(ctx context.Context, q PublicRoomsQuery) (PublicRoomsPage, error)
}

// PublicRoomsQuery asks for a page of a directory.
type PublicRoomsQuery struct {
	Limit       int       // rooms at most, 0 for as many as the directory gives
	Since       string    // a token of another page, "" for the beginning; which way it goes is in the token
	Search      string    // what to look for in names, topics and aliases, "" for everything
	RoomTypes   []*string // nil for rooms of every type; nil in it is rooms without one
	AllNetworks bool      // of other networks, too, and not only of Instance, "" for Matrix itself
	Instance    string
}

// filtered says whether there is more to the question than where to begin.
func (q PublicRoomsQuery) filtered() bool { return q.Search != "" || q.RoomTypes != nil }

// PublicRoomsPage is a page of a directory.
type PublicRoomsPage struct {
	Rooms     []RoomSummary `json:"chunk"`
	NextBatch string        `json:"next_batch,omitempty"` // "" at the end
	PrevBatch string        `json:"prev_batch,omitempty"` // "" at the beginning
	Total     *int          `json:"total_room_count_estimate,omitempty"`
}

// publicRoomsRoutes are the endpoints of a homeserver that has a directory (E-24, E-25).
func (s *Server) publicRoomsRoutes() []transport.Route {
	const pattern = "/_matrix/federation/v1/publicRooms"
	if s.core.PublicRooms == nil {
		return nil
	}
	return []transport.Route{
		{Method: http.MethodGet, Pattern: pattern, Handle: s.servePublicRooms},
		{Method: http.MethodPost, Pattern: pattern, Handle: s.servePublicRooms},
	}
}

func (s *Server) servePublicRooms(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	var q PublicRoomsQuery
	var err error
	if r.Method == http.MethodGet {
		q, err = publicRoomsOf(r.Query)
	} else {
		q, err = publicRoomsIn(r.JSON)
	}
	if err != nil {
		return transport.Reply{}, err
	}
	if q.Limit == 0 || q.Limit > maxPublicRooms {
		q.Limit = maxPublicRooms
	}
	page, err := s.core.PublicRooms.PublicRooms(ctx, q)
	if err != nil {
		return transport.Reply{}, err
	}
	if page.Rooms == nil {
		page.Rooms = []RoomSummary{}
	}
	return transport.JSON(page)
}

// publicRoomsOf reads the question of a GET.
func publicRoomsOf(query url.Values) (q PublicRoomsQuery, err error) {
	if text := query.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 0 {
			return q, invalidParam("limit is not a number of rooms")
		}
	}
	if text := query.Get("include_all_networks"); text != "" {
		if q.AllNetworks, err = strconv.ParseBool(text); err != nil {
			return q, invalidParam("include_all_networks is neither true nor false")
		}
	}
	q.Since, q.Instance = query.Get("since"), query.Get("third_party_instance_id")
	return q, nil
}

// publicRoomsIn reads the question of a POST.
func publicRoomsIn(v canonicaljson.Value) (q PublicRoomsQuery, err error) {
	text := func(of canonicaljson.Value, name string) string {
		member := of.Get(name)
		value, ok := member.Text()
		if !ok && member.Kind() > canonicaljson.Null {
			err = invalidParam("%s is not a string", name)
		}
		return value
	}
	filter := v.Get("filter")
	q.Since, q.Instance, q.Search = text(v, "since"), text(v, "third_party_instance_id"), text(filter, "generic_search_term")
	if limit := v.Get("limit"); limit.Kind() > canonicaljson.Null {
		n, ok := limit.Int()
		if !ok || n < 0 {
			return q, invalidParam("limit is not a number of rooms")
		}
		q.Limit = int(min(n, maxPublicRooms))
	}
	if all := v.Get("include_all_networks"); all.Kind() > canonicaljson.Null {
		var ok bool
		if q.AllNetworks, ok = all.Bool(); !ok {
			return q, invalidParam("include_all_networks is neither true nor false")
		}
	}
	if err == nil {
		q.RoomTypes, err = roomTypesIn(filter.Get("room_types"))
	}
	return q, err
}

func roomTypesIn(v canonicaljson.Value) (types []*string, err error) {
	if v.Kind() <= canonicaljson.Null {
		return nil, nil
	}
	if v.Kind() != canonicaljson.Array || v.Len() > maxRoomTypes {
		return nil, invalidParam("room_types is not an array of at most %d", maxRoomTypes)
	}
	types = []*string{}
	for entry := range v.Elements() {
		text, ok := entry.Text()
		switch {
		case ok:
			types = append(types, &text)
		case entry.Kind() == canonicaljson.Null:
			types = append(types, nil)
		default:
			return nil, invalidParam("a type of rooms is a string or null")
		}
	}
	return types, nil
}

// PublicRoomsOf asks a server for a page of its directory (E-24, E-25). Rooms of which it says nothing sensible are left out.
func (s *Server) PublicRoomsOf(ctx context.Context, server ident.ServerName, q PublicRoomsQuery) (page PublicRoomsPage, err error) {
	err = s.askOther(ctx, server, func(ctx context.Context) error {
		call, err := publicRoomsCall(q)
		if err != nil {
			return err
		}
		answer, err := s.asked.Do(ctx, server, call)
		if err != nil {
			return err
		}
		page, err = parsePublicRooms(answer.Body)
		return err
	})
	if err != nil {
		return PublicRoomsPage{}, fmt.Errorf("public rooms of %s: %w", server, err)
	}
	return page, nil
}

// publicRoomsCall is a GET where that can say everything: whoever stands between may keep its answer.
func publicRoomsCall(q PublicRoomsQuery) (transport.Call, error) {
	call := transport.Call{
		Method: http.MethodGet, Path: transport.Path("_matrix", "federation", "v1", "publicRooms"), MaxReply: maxListReply, Timeout: queryTimeout,
	}
	if !q.filtered() {
		call.Query = url.Values{"limit": {strconv.Itoa(q.Limit)}, "include_all_networks": {strconv.FormatBool(q.AllNetworks)}}
		if q.Since != "" {
			call.Query.Set("since", q.Since)
		}
		if q.Instance != "" {
			call.Query.Set("third_party_instance_id", q.Instance)
		}
		return call, nil
	}
	filter := map[string]any{}
	if q.Search != "" {
		filter["generic_search_term"] = q.Search
	}
	if q.RoomTypes != nil {
		filter["room_types"] = q.RoomTypes
	}
	content := map[string]any{"limit": q.Limit, "include_all_networks": q.AllNetworks, "filter": filter}
	if q.Since != "" {
		content["since"] = q.Since
	}
	if q.Instance != "" {
		content["third_party_instance_id"] = q.Instance
	}
	var err error
	call.Method = http.MethodPost
	call.Body, err = canonicaljson.Marshal(content)
	return call, err
}

func parsePublicRooms(body []byte) (PublicRoomsPage, error) {
	v, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return PublicRoomsPage{}, err
	}
	chunk := v.Get("chunk")
	if chunk.Kind() != canonicaljson.Array {
		return PublicRoomsPage{}, malformed("chunk is not an array")
	}
	page := PublicRoomsPage{Rooms: []RoomSummary{}}
	for entry := range chunk.Elements() {
		if summary, err := parseSummary(entry); err == nil {
			page.Rooms = append(page.Rooms, summary)
		}
	}
	page.NextBatch, _ = v.Get("next_batch").Text()
	page.PrevBatch, _ = v.Get("prev_batch").Text()
	if n, ok := v.Get("total_room_count_estimate").Int(); ok && n >= 0 {
		total := int(n)
		page.Total = &total
	}
	return page, nil
}
