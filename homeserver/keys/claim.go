// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"
	"encoding/json"
	"maps"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// claim is POST /keys/claim.
func (k *Keys) claim(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Timeout *int64                       `json:"timeout"` // ms
		Wanted  map[string]map[string]string `json:"one_time_keys"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Wanted == nil {
		return api.Reply{}, api.MissingParam("one_time_keys")
	}
	if len(body.Wanted) > maxQueryUsers {
		return api.Reply{}, api.InvalidParam("one_time_keys: more than %d users", maxQueryUsers)
	}
	byServer := map[ident.ServerName]messaging.KeyClaims{}
	for text, devices := range body.Wanted {
		user, err := ident.ParseUserID(text)
		if err != nil {
			continue // S-36
		}
		if byServer[user.Server()] == nil {
			byServer[user.Server()] = messaging.KeyClaims{}
		}
		byServer[user.Server()][user] = devices
	}
	ctx, cancel := context.WithTimeout(ctx, waitOf(body.Timeout))
	defer cancel()
	claimed, failures := k.claimAll(ctx, byServer)
	return api.JSON(map[string]any{"one_time_keys": claimed, "failures": failures})
}

// claimAll claims keys of every server, this one included.
func (k *Keys) claimAll(ctx context.Context, byServer map[ident.ServerName]messaging.KeyClaims) (messaging.ClaimedKeys, map[ident.ServerName]struct{}) {
	claimed, failures := messaging.ClaimedKeys{}, map[ident.ServerName]struct{}{}
	var mu sync.Mutex // of both
	var asking errgroup.Group
	asking.SetLimit(maxAsked)
	for server, wanted := range byServer {
		asking.Go(func() error {
			var keys messaging.ClaimedKeys
			var err error
			if server == k.self {
				keys, err = k.ClaimKeys(ctx, wanted)
			} else {
				keys, err = k.asker.ClaimKeys(ctx, server, wanted)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures[server] = struct{}{}
			}
			maps.Copy(claimed, keys)
			return nil
		})
	}
	_ = asking.Wait() // what failed is in failures
	return claimed, failures
}

// ClaimKeys implements messaging.Devices. All of a request is one job: a key that is handed out is gone (M-66).
func (k *Keys) ClaimKeys(ctx context.Context, wanted messaging.KeyClaims) (messaging.ClaimedKeys, error) {
	claimed := messaging.ClaimedKeys{}
	err := k.store.Update(ctx, func(tx *persistence.Tx) error {
		for user, devices := range wanted {
			for device, algorithm := range devices {
				name, key, err := take(tx, user, device, algorithm)
				if err != nil {
					return err
				}
				if key == nil {
					continue
				}
				if claimed[user] == nil {
					claimed[user] = map[string]map[string]json.RawMessage{}
				}
				claimed[user][device] = map[string]json.RawMessage{name: key}
			}
		}
		return nil
	})
	return claimed, err
}

// take takes the first one-time key that was uploaded, or the fallback key; nil for none.
func take(tx *persistence.Tx, user ident.UserID, device, algorithm string) (name string, key json.RawMessage, err error) {
	var number int64
	var id string
	args := []any{string(user), device, algorithm}
	found, err := tx.QueryRow(`SELECT number, id, key FROM hs_one_time_keys WHERE user = ? AND device = ? AND algorithm = ?
		ORDER BY number LIMIT 1`, args, &number, &id, &key)
	if err != nil {
		return "", nil, err
	}
	used := int64(1)
	if found {
		_, err = tx.Exec(`DELETE FROM hs_one_time_keys WHERE number = ?`, number)
	} else {
		found, err = tx.QueryRow(`SELECT id, key FROM hs_fallback_keys WHERE user = ? AND device = ? AND algorithm = ?`, args, &id, &key)
		if err == nil && found {
			used, err = tx.Exec(`UPDATE hs_fallback_keys SET used = 1 WHERE user = ? AND device = ? AND algorithm = ? AND used = 0`, args...)
		}
	}
	if err != nil || !found {
		return "", nil, err
	}
	if used > 0 {
		_, err = stream.Append(tx, stream.Entry{Kind: stream.KeyCount, User: user, Device: device})
	}
	return algorithm + ":" + id, key, err
}
