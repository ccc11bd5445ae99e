// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/homeserver/keys"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/homeserver/todevice"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// deviceLists is whose devices a client has to look at anew, and whose it need not follow any more (S-24).
type deviceLists struct {
	Changed []ident.UserID `json:"changed,omitempty"`
	Left    []ident.UserID `json:"left,omitempty"`
}

// encryption fills in what end-to-end encryption needs.
func (x *composition) encryption(now []roomview.Membership, asides map[ident.RoomID]*aside) error {
	if err := x.toDevice(); err != nil {
		return err
	}
	if err := x.keyCounts(); err != nil || x.initial {
		return err
	}
	return x.deviceLists(now, asides)
}

// toDevice gives the messages that wait for the device. An answer ends with the last that has its place (S-23).
func (x *composition) toDevice() error {
	if !x.scan.may(stream.ToDevice) {
		return nil
	}
	var list []todevice.Message
	err := x.view(func(tx *persistence.Tx) (err error) {
		list, err = todevice.Waiting(tx, x.user, x.device, x.sinceOrStart(), x.now, maxToDevice+1)
		return err
	})
	if err != nil || len(list) == 0 {
		return err
	}
	if len(list) > maxToDevice {
		return &cutError{list[maxToDevice].Position - 1}
	}
	events := make([]json.RawMessage, len(list))
	for i, m := range list {
		if events[i], err = json.Marshal(m); err != nil {
			return err
		}
	}
	x.out.ToDevice, x.something = listOf(events), true
	return nil
}

// acknowledge forgets the messages that a device has got, as its token says.
func (c *Composer) acknowledge(ctx context.Context, r request) error {
	if r.initial {
		return nil
	}
	waiting := false
	err := c.store.View(ctx, func(tx *persistence.Tx) error {
		list, err := todevice.Waiting(tx, r.user, r.device, 0, r.since, 1)
		waiting = len(list) > 0
		return err
	})
	if err != nil || !waiting {
		return err
	}
	return c.store.Update(ctx, func(tx *persistence.Tx) error { return todevice.Acknowledge(tx, r.user, r.device, r.since) })
}

// keyCounts says how many keys of the device there are to be claimed (S-25).
func (x *composition) keyCounts() error {
	return x.view(func(tx *persistence.Tx) (err error) {
		if x.out.KeyCounts, err = keys.OneTimeKeyCounts(tx, x.user, x.device); err != nil {
			return err
		}
		if x.out.FallbackTypes, err = keys.UnusedFallbackTypes(tx, x.user, x.device); err != nil {
			return err
		}
		if !x.scan.may(stream.KeyCount) {
			return nil
		}
		changes, err := stream.Of(tx, x.user, stream.KeyCount, x.sinceOrStart(), x.now)
		x.something = x.something || slices.ContainsFunc(changes, func(e stream.Entry) bool { return e.Device == x.device })
		return err
	})
}

// deviceLists says whose keys have changed among those who share a room with the user, and who has come into or gone from the encrypted
// rooms that they share.
func (x *composition) deviceLists(now []roomview.Membership, asides map[ident.RoomID]*aside) error {
	changed, gone := map[ident.UserID]bool{}, map[ident.UserID]bool{}
	var users []ident.UserID
	err := x.view(func(tx *persistence.Tx) (err error) {
		if !x.scan.may(stream.DeviceList) {
			return nil
		}
		users, err = keys.Changed(tx, x.since, x.now)
		return err
	})
	if err != nil {
		return err
	}
	for _, user := range users {
		if changed[user], err = x.meets(user); err != nil {
			return err
		}
	}
	for _, m := range now {
		if !asides[m.Room].changed {
			continue
		}
		if err := x.company(m, changed, gone); err != nil {
			return err
		}
	}
	for user := range gone {
		shares, err := x.sharesEncrypted(user)
		if err != nil {
			return err
		}
		if gone[user] = !shares && user != x.user; gone[user] {
			delete(changed, user)
		}
	}
	for _, set := range []map[ident.UserID]bool{changed, gone} {
		maps.DeleteFunc(set, func(_ ident.UserID, in bool) bool { return !in })
	}
	if len(changed)+len(gone) > 0 {
		x.something = true
		x.out.DeviceLists = &deviceLists{slices.Sorted(maps.Keys(changed)), slices.Sorted(maps.Keys(gone))}
	}
	return nil
}

// company adds who has come into an encrypted room since the client asked last, and who has gone: all of them, where the user has.
func (x *composition) company(m roomview.Membership, come, gone map[ident.UserID]bool) error {
	was, is := x.then[m.Room] == "join", m.Membership == "join"
	if !was && !is {
		return nil
	}
	nid, err := x.c.view.Number(x.ctx, m.Room)
	if err != nil {
		return err
	}
	var from, to state.Root
	err = x.view(func(tx *persistence.Tx) (err error) {
		if was {
			if from, err = pdu.StateAsOf(tx, nid, x.since); err != nil {
				return err
			}
		}
		if is {
			to, err = pdu.StateAsOf(tx, nid, x.now)
		}
		return err
	})
	if err != nil || from == to {
		return err
	}
	encrypted, err := x.isEncrypted(from, to)
	if err != nil || !encrypted {
		return err
	}
	moves, err := x.c.view.Moved(x.ctx, from, to)
	for _, move := range moves {
		if move.Joined { // the user too: their other devices read along
			come[move.User] = true
		} else if !move.Joined {
			gone[move.User] = true
		}
	}
	return err
}

// isEncrypted says whether a room is encrypted in one of some states.
func (x *composition) isEncrypted(roots ...state.Root) (bool, error) {
	for _, root := range roots {
		id, err := x.c.engine.StateIn(x.ctx, root, event.StateKey{Type: "m.room.encryption"})
		if err != nil || id != "" {
			return id != "", err
		}
	}
	return false, nil
}

// sharesEncrypted says whether somebody is in an encrypted room with the user.
func (x *composition) sharesEncrypted(other ident.UserID) (bool, error) {
	rooms, err := x.c.view.RoomsWith(x.ctx, other)
	if err != nil {
		return false, err
	}
	for _, room := range rooms {
		if !x.joins[room] {
			continue
		}
		nid, err := x.c.view.Number(x.ctx, room)
		if err != nil {
			return false, err
		}
		root, err := x.c.view.StateAsOf(x.ctx, nid, x.now)
		if err != nil {
			return false, err
		}
		if encrypted, err := x.isEncrypted(root); err != nil || encrypted {
			return encrypted, err
		}
	}
	return false, nil
}
