// SPDX-License-Identifier: Apache-2.0

package accountdata

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// tagType is the account data in which a room's tags stand (Client-Server API, "Room Tagging").
const tagType = "m.tag"

// tagContent is the content of m.tag.
type tagContent struct {
	Tags map[string]json.RawMessage `json:"tags"`
}

func readTags(tx *persistence.Tx, user ident.UserID, room ident.RoomID) (content tagContent, err error) {
	stored, found, err := Get(tx, user, room, tagType)
	if err == nil && found {
		_ = json.Unmarshal(stored, &content) // a client may have written anything: what is not tags counts as none
	}
	if content.Tags == nil {
		content.Tags = map[string]json.RawMessage{}
	}
	return content, err
}

func (d *Data) tags(ctx context.Context, r *api.Request) (api.Reply, error) {
	room, err := roomOf(r)
	if err != nil {
		return api.Reply{}, err
	}
	var content tagContent
	err = d.store.View(ctx, func(tx *persistence.Tx) (err error) {
		content, err = readTags(tx, r.User, room)
		return err
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(content)
}

func (d *Data) putTag(ctx context.Context, r *api.Request) (api.Reply, error) {
	tag, err := r.Object()
	if err != nil {
		return api.Reply{}, err
	}
	var order struct {
		Order *float64 `json:"order"`
	}
	if err := r.Decode(&order); err != nil {
		return api.Reply{}, err
	}
	if len(r.Param("tag")) > maxType {
		return api.Reply{}, api.InvalidParam("the tag is longer than %d bytes", maxType)
	}
	return d.changeTags(ctx, r, func(tags map[string]json.RawMessage) { tags[r.Param("tag")] = tag })
}

func (d *Data) deleteTag(ctx context.Context, r *api.Request) (api.Reply, error) {
	return d.changeTags(ctx, r, func(tags map[string]json.RawMessage) { delete(tags, r.Param("tag")) })
}

func (d *Data) changeTags(ctx context.Context, r *api.Request, change func(map[string]json.RawMessage)) (api.Reply, error) {
	room, err := roomOf(r)
	if err != nil {
		return api.Reply{}, err
	}
	return api.Reply{}, d.store.Update(ctx, func(tx *persistence.Tx) error {
		content, err := readTags(tx, r.User, room)
		if err != nil {
			return err
		}
		change(content.Tags)
		encoded, err := json.Marshal(content)
		if err != nil {
			return fmt.Errorf("encode tags: %w", err)
		}
		if len(encoded) > api.DefaultMaxBody {
			return errTooMany("bytes of tags", api.DefaultMaxBody)
		}
		return setBounded(tx, r.User, room, tagType, encoded)
	})
}
