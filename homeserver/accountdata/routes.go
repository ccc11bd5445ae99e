// SPDX-License-Identifier: Apache-2.0

package accountdata

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Limits of what one user keeps here. Clients have some dozens of pieces and a handful of filters.
const (
	maxPieces  = 20_000 // a tag and a marker in each of 10,000 rooms
	maxFilters = 1000
	maxType    = 255 // bytes, as of an event's type
)

// Data serves account data, tags and filters. It has no state of its own.
type Data struct {
	store *persistence.Store
	check func(filter json.RawMessage) error
}

// New makes the package's endpoints. checkFilter tells what is wrong with a filter.
func New(store *persistence.Store, checkFilter func(json.RawMessage) error) *Data {
	return &Data{store: store, check: checkFilter}
}

// Routes are the endpoints.
func (d *Data) Routes() []api.Route {
	const user, room = "/_matrix/client/v3/user/{userID}", "/_matrix/client/v3/user/{userID}/rooms/{roomID}"
	return []api.Route{
		{Method: "PUT", Pattern: user + "/account_data/{type}", Handle: own(d.put)},
		{Method: "GET", Pattern: user + "/account_data/{type}", Handle: own(d.get)},
		{Method: "PUT", Pattern: room + "/account_data/{type}", Handle: own(d.put)},
		{Method: "GET", Pattern: room + "/account_data/{type}", Handle: own(d.get)},
		{Method: "GET", Pattern: room + "/tags", Handle: own(d.tags)},
		{Method: "PUT", Pattern: room + "/tags/{tag}", Handle: own(d.putTag)},
		{Method: "DELETE", Pattern: room + "/tags/{tag}", Handle: own(d.deleteTag)},
		{Method: "POST", Pattern: user + "/filter", Handle: own(d.postFilter)},
		{Method: "GET", Pattern: user + "/filter/{filterID}", Handle: own(d.getFilter)},
	}
}

// own lets users at what is theirs only.
func own(handle func(context.Context, *api.Request) (api.Reply, error)) func(context.Context, *api.Request) (api.Reply, error) {
	return func(ctx context.Context, r *api.Request) (api.Reply, error) {
		if r.Param("userID") != string(r.User) {
			return api.Reply{}, api.Forbidden("the data of %s are not yours", r.Param("userID"))
		}
		return handle(ctx, r)
	}
}

// roomOf is the room of the path, "" when the path has none.
func roomOf(r *api.Request) (ident.RoomID, error) {
	if r.Param("roomID") == "" {
		return "", nil
	}
	room, err := ident.ParseRoomID(r.Param("roomID"))
	if err != nil {
		return "", api.InvalidParam("%v", err)
	}
	return room, nil
}

func (d *Data) put(ctx context.Context, r *api.Request) (api.Reply, error) {
	room, err := roomOf(r)
	if err != nil {
		return api.Reply{}, err
	}
	kind := r.Param("type")
	if kind == "m.push_rules" || kind == "m.fully_read" { // S-19
		return api.Reply{}, &api.Error{
			Status: http.StatusMethodNotAllowed, Code: "M_BAD_JSON", Message: kind + " is the server's to write: it has an endpoint of its own",
		}
	}
	if len(kind) > maxType {
		return api.Reply{}, api.InvalidParam("the type is longer than %d bytes", maxType)
	}
	content, err := r.Object()
	if err != nil {
		return api.Reply{}, err
	}
	return api.Reply{}, d.store.Update(ctx, func(tx *persistence.Tx) error { return setBounded(tx, r.User, room, kind, content) })
}

// setBounded is Set for what clients write.
func setBounded(tx *persistence.Tx, user ident.UserID, room ident.RoomID, kind string, content json.RawMessage) error {
	n, err := count(tx, user)
	if err != nil {
		return err
	}
	if n >= maxPieces {
		return errTooMany("pieces of account data", maxPieces)
	}
	return Set(tx, user, room, kind, content)
}

func errTooMany(what string, limit int) error {
	return &api.Error{
		Status: http.StatusBadRequest, Code: "M_RESOURCE_LIMIT_EXCEEDED", Message: fmt.Sprintf("this account has %d %s, the most that are kept", limit, what),
	}
}

func (d *Data) get(ctx context.Context, r *api.Request) (reply api.Reply, err error) {
	room, err := roomOf(r)
	if err != nil {
		return api.Reply{}, err
	}
	err = d.store.View(ctx, func(tx *persistence.Tx) error {
		content, found, err := Get(tx, r.User, room, r.Param("type"))
		if err == nil && !found {
			err = api.NotFound("no account data of type %s", r.Param("type"))
		}
		reply.Body = content
		return err
	})
	return reply, err
}

func (d *Data) postFilter(ctx context.Context, r *api.Request) (api.Reply, error) {
	content, err := r.Object()
	if err != nil {
		return api.Reply{}, err
	}
	if err := d.check(content); err != nil {
		return api.Reply{}, api.BadJSON("%v", err)
	}
	var id int64
	err = d.store.Update(ctx, func(tx *persistence.Tx) (err error) {
		id, err = addFilter(tx, r.User, content)
		return err
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]string{"filter_id": strconv.FormatInt(id, 10)})
}

func (d *Data) getFilter(ctx context.Context, r *api.Request) (reply api.Reply, err error) {
	id, err := strconv.ParseInt(r.Param("filterID"), 10, 64)
	if err != nil {
		return api.Reply{}, api.NotFound("no filter %q", r.Param("filterID"))
	}
	err = d.store.View(ctx, func(tx *persistence.Tx) error {
		content, found, err := Filter(tx, r.User, id)
		if err == nil && !found {
			err = api.NotFound("no filter %d", id)
		}
		reply.Body = content
		return err
	})
	return reply, err
}
