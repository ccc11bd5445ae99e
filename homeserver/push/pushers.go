// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// pusher is a pusher as clients set and get it.
type pusher struct {
	Key     string          `json:"pushkey"`
	Kind    *string         `json:"kind"` // null removes it
	App     string          `json:"app_id"`
	AppName string          `json:"app_display_name"`
	Device  string          `json:"device_display_name"`
	Profile string          `json:"profile_tag,omitempty"`
	Lang    string          `json:"lang"`
	Data    json.RawMessage `json:"data"`
	Append  bool            `json:"append,omitempty"`
}

func (p *Push) pushers(ctx context.Context, r *api.Request) (api.Reply, error) {
	list := []json.RawMessage{}
	err := p.store.View(ctx, func(tx *persistence.Tx) error {
		return tx.Query(`SELECT content FROM hs_pushers WHERE user = ? ORDER BY app, pushkey`, []any{string(r.User)}, func(row persistence.Row) error {
			var content json.RawMessage
			err := row.Scan(&content)
			list = append(list, content)
			return err
		})
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string][]json.RawMessage{"pushers": list})
}

func (p *Push) setPusher(ctx context.Context, r *api.Request) (api.Reply, error) {
	var want pusher
	if err := r.Decode(&want); err != nil {
		return api.Reply{}, err
	}
	const maxKey, maxApp = 512, 64 // of the specification
	switch {
	case want.Key == "" || len(want.Key) > maxKey:
		return api.Reply{}, api.InvalidParam("pushkey has 1 to %d bytes", maxKey)
	case want.App == "" || len(want.App) > maxApp:
		return api.Reply{}, api.InvalidParam("app_id has 1 to %d bytes", maxApp)
	case want.Kind == nil:
		return api.Reply{}, p.store.Update(ctx, func(tx *persistence.Tx) error {
			_, err := tx.Exec(`DELETE FROM hs_pushers WHERE user = ? AND app = ? AND pushkey = ?`, string(r.User), want.App, want.Key)
			return err
		})
	case *want.Kind != "http" && *want.Kind != "email":
		return api.Reply{}, api.InvalidParam("kind is http, email or null")
	case want.AppName == "" || want.Device == "" || want.Lang == "" || want.Data == nil:
		return api.Reply{}, api.MissingParam("one of app_display_name, device_display_name, lang, data")
	}
	appended := want.Append
	want.Append = false
	content, err := json.Marshal(want)
	if err != nil {
		return api.Reply{}, fmt.Errorf("encode pusher: %w", err)
	}
	return api.Reply{}, p.store.Update(ctx, func(tx *persistence.Tx) error { return keepPusher(tx, r.User, want, content, appended) })
}

// keepPusher keeps a pusher. Unless it is appended, it takes the place of other users' with the same key.
func keepPusher(tx *persistence.Tx, user ident.UserID, want pusher, content []byte, appended bool) error {
	if !appended {
		if _, err := tx.Exec(`DELETE FROM hs_pushers WHERE app = ? AND pushkey = ? AND user <> ?`, want.App, want.Key, string(user)); err != nil {
			return err
		}
	}
	var n int
	if _, err := tx.QueryRow(`SELECT count(*) FROM hs_pushers WHERE user = ?`, []any{string(user)}, &n); err != nil {
		return err
	}
	if n >= maxPushers {
		return api.InvalidParam("there are %d pushers, the most that are kept", maxPushers)
	}
	_, err := tx.Exec(`INSERT INTO hs_pushers (user, app, pushkey, content) VALUES (?, ?, ?, ?)
		ON CONFLICT (user, app, pushkey) DO UPDATE SET content = excluded.content`, string(user), want.App, want.Key, string(content))
	return err
}
