// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport/ident"
)

// canonical is the content of m.room.canonical_alias.
type canonical struct {
	Alias string   `json:"alias"`
	Alt   []string `json:"alt_aliases"`
}

func (c canonical) all() []string {
	if c.Alias == "" {
		return c.Alt
	}
	return append([]string{c.Alias}, c.Alt...)
}

// checkCanonical refuses aliases of a room that do not lead to it, as "PUT /rooms/{roomId}/state" is to. Those that the room has already
// are not looked at again: others may set them without us.
func (r *Rooms) checkCanonical(ctx context.Context, room ident.RoomID, content []byte) error {
	var wanted, known canonical
	if err := json.Unmarshal(content, &wanted); err != nil {
		return api.BadJSON("the content is not that of %s", canonicalType)
	}
	current, err := r.slot(ctx, room, canonicalType, "")
	if err != nil && !errors.Is(err, pdu.ErrUnknownRoom) {
		return err
	}
	if current != nil {
		_ = json.Unmarshal(current.Content().Canonical(), &known) // what cannot be read is looked at again
	}
	if len(wanted.Alt) > maxAltAliases {
		return api.InvalidParam("at most %d alternative aliases can be set", maxAltAliases)
	}
	for _, text := range wanted.all() {
		if slices.Contains(known.all(), text) {
			continue
		}
		alias, err := ident.ParseRoomAlias(text)
		if err != nil {
			return api.InvalidParam("alias: %v", err)
		}
		leads, _, err := r.resolve(ctx, alias)
		if err != nil || leads != room {
			return &api.Error{Status: http.StatusBadRequest, Code: "M_BAD_ALIAS", Message: "the alias " + text + " does not lead to the room"}
		}
	}
	return nil
}
