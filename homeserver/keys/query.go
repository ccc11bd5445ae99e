// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// answer is the answer to a query of a client.
type answer struct {
	Devices     map[ident.UserID]map[string]json.RawMessage `json:"device_keys"`
	Master      map[ident.UserID]json.RawMessage            `json:"master_keys"`
	SelfSigning map[ident.UserID]json.RawMessage            `json:"self_signing_keys"`
	UserSigning map[ident.UserID]json.RawMessage            `json:"user_signing_keys"`
	Failures    map[ident.ServerName]struct{}               `json:"failures"`
}

func newAnswer() answer {
	return answer{
		Devices: map[ident.UserID]map[string]json.RawMessage{}, Master: map[ident.UserID]json.RawMessage{},
		SelfSigning: map[ident.UserID]json.RawMessage{}, UserSigning: map[ident.UserID]json.RawMessage{},
		Failures: map[ident.ServerName]struct{}{},
	}
}

// query is POST /keys/query.
func (k *Keys) query(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Timeout *int64              `json:"timeout"` // ms
		Devices map[string][]string `json:"device_keys"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Devices == nil {
		return api.Reply{}, api.MissingParam("device_keys")
	}
	if len(body.Devices) > maxQueryUsers {
		return api.Reply{}, api.InvalidParam("device_keys: more than %d users", maxQueryUsers)
	}
	a, wanted := newAnswer(), map[ident.ServerName]map[ident.UserID][]string{}
	err := k.store.View(ctx, func(tx *persistence.Tx) error {
		for text, devices := range body.Devices {
			user, err := ident.ParseUserID(text)
			if err != nil {
				continue // S-36: who is not known is missing
			}
			known, err := k.answerHere(tx, &a, r.User, user, devices)
			if err != nil {
				return err
			}
			if !known {
				if wanted[user.Server()] == nil {
					wanted[user.Server()] = map[ident.UserID][]string{}
				}
				wanted[user.Server()][user] = devices
			}
		}
		return nil
	})
	if err != nil {
		return api.Reply{}, err
	}
	if len(wanted) > 0 {
		if err := k.answerThere(ctx, &a, r.User, wanted, waitOf(body.Timeout)); err != nil {
			return api.Reply{}, err
		}
	}
	return api.JSON(a)
}

// waitOf is how long a client will wait for other servers.
func waitOf(ms *int64) time.Duration {
	if ms == nil || *ms < 0 {
		return defaultWait
	}
	return min(time.Duration(min(*ms, maxWait.Milliseconds()))*time.Millisecond, maxWait)
}

// answerHere answers for a user of ours, or for one who is followed; known is false for others.
func (k *Keys) answerHere(tx *persistence.Tx, a *answer, asker, user ident.UserID, devices []string) (known bool, err error) {
	var shown map[string]json.RawMessage
	if user.Server() == k.self {
		shown, err = shownKeys(tx, user, asker, devices)
	} else {
		if known, err = k.isFollowed(tx, user); err != nil || !known {
			return false, err
		}
		shown, err = followedKeys(tx, user, asker, devices)
	}
	if err != nil {
		return false, err
	}
	if len(shown) > 0 {
		a.Devices[user] = shown
	}
	return true, a.addSigningKeys(tx, asker, user)
}

// addSigningKeys adds the stored cross-signing keys of a user that an asker may see.
func (a *answer) addSigningKeys(tx *persistence.Tx, asker, user ident.UserID) error {
	for usage, into := range map[string]map[ident.UserID]json.RawMessage{master: a.Master, selfSigning: a.SelfSigning, userSigning: a.UserSigning} {
		if usage == userSigning && asker != user {
			continue
		}
		key, err := signingKey(tx, user, asker, usage)
		if err != nil {
			return err
		}
		if key != nil {
			into[user] = key
		}
	}
	return nil
}

// answerThere has other servers answer for their users, and has those of them followed who share a room with ours.
func (k *Keys) answerThere(ctx context.Context, a *answer, asker ident.UserID, wanted map[ident.ServerName]map[ident.UserID][]string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var mu sync.Mutex // of a and got
	got := map[ident.UserID]messaging.Keys{}
	var asking errgroup.Group
	asking.SetLimit(maxAsked)
	for server, users := range wanted {
		asking.Go(func() error {
			keys, err := k.asker.QueryKeys(ctx, server, users)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				a.Failures[server] = struct{}{}
				return nil
			}
			for user := range users {
				got[user] = keys
			}
			return nil
		})
	}
	_ = asking.Wait() // what failed is in the answer
	return k.store.Update(context.WithoutCancel(ctx), func(tx *persistence.Tx) error {
		for user, keys := range got {
			if err := a.add(tx, asker, user, keys); err != nil {
				return err
			}
			met, err := k.company.Meets(tx, user)
			if err == nil && met {
				err = k.teller.FollowDevices(tx, user)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// add adds what a server has answered about a user, with what the asker has signed of it.
func (a *answer) add(tx *persistence.Tx, asker, user ident.UserID, keys messaging.Keys) (err error) {
	if devices := keys.Devices[user]; len(devices) > 0 {
		a.Devices[user] = devices
	}
	for _, one := range []struct {
		from, into map[ident.UserID]json.RawMessage
	}{{keys.Master, a.Master}, {keys.SelfSigning, a.SelfSigning}} {
		key := one.from[user]
		if key == nil {
			continue
		}
		public, err := publicKey(key)
		if err != nil {
			continue // of what is no key, nobody can have signed anything
		}
		if one.into[user], err = withSignatures(tx, key, user, asker, public); err != nil {
			return err
		}
	}
	return nil
}

// UserDevices implements messaging.Devices.
func (k *Keys) UserDevices(tx *persistence.Tx, user ident.UserID) (list messaging.UserDevices, found bool, err error) {
	list.User = user
	devices, err := deviceKeys(tx, user, "", "")
	if err != nil {
		return list, false, err
	}
	names, err := accounts.Devices(tx, user)
	if err != nil {
		return list, false, err
	}
	for _, d := range names {
		list.Devices = append(list.Devices, messaging.Device{ID: d.ID, Name: d.Name, Keys: devices[d.ID]})
	}
	if list.Master, err = signingKey(tx, user, "", master); err != nil {
		return list, false, err
	}
	list.SelfSigning, err = signingKey(tx, user, "", selfSigning)
	return list, len(names) > 0 || list.Master != nil, err
}

// QueryKeys implements messaging.Devices.
func (k *Keys) QueryKeys(ctx context.Context, _ ident.ServerName, users map[ident.UserID][]string) (messaging.Keys, error) {
	a := newAnswer()
	err := k.store.View(ctx, func(tx *persistence.Tx) error {
		for user, devices := range users {
			if _, err := k.answerHere(tx, &a, "", user, devices); err != nil {
				return err
			}
		}
		return nil
	})
	return messaging.Keys{Devices: a.Devices, Master: a.Master, SelfSigning: a.SelfSigning}, err
}
