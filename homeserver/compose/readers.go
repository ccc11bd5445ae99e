// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"context"
	"encoding/json"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/rooms"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// transactions finds the transaction ids under which the device has sent what is the user's among some events (S-12).
func (x *composition) transactions(events []*pdu.Placed) (map[ident.EventID]string, error) {
	var own []ident.EventID
	for _, e := range events {
		if e.Event.Sender() == x.user {
			own = append(own, e.Event.ID())
		}
	}
	if len(own) == 0 {
		return nil, nil
	}
	sent := make(map[ident.EventID]string, len(own))
	err := x.view(func(tx *persistence.Tx) (err error) {
		for _, id := range own {
			if sent[id], err = rooms.TransactionOf(tx, x.user, x.device, id); err != nil {
				return err
			}
		}
		return nil
	})
	return sent, err
}

// ignoredBy is whom a user ignores (S-29).
func (c *Composer) ignoredBy(ctx context.Context, user ident.UserID) (users map[ident.UserID]bool, err error) {
	err = c.store.View(ctx, func(tx *persistence.Tx) error {
		users, err = accountdata.Ignored(tx, user)
		return err
	})
	return users, err
}

// accountData gathers what has changed of the user's account data: the user's own into the answer, that of rooms by room (S-19).
func (x *composition) accountData() (map[ident.RoomID][]json.RawMessage, error) {
	if !x.scan.may(stream.AccountData) {
		return nil, nil
	}
	all, err := x.accountDataSince(x.sinceOrStart())
	if own := all[""]; len(own) > 0 {
		x.out.AccountData, x.something = listOf(own), true
	}
	return all, err
}

// accountDataSince is the user's account data as far as it was changed after a position, by room, that of none under "".
func (x *composition) accountDataSince(after persistence.Position) (map[ident.RoomID][]json.RawMessage, error) {
	var items []accountdata.Item
	err := x.view(func(tx *persistence.Tx) (err error) {
		items, err = accountdata.Changes(tx, x.user, after, x.now)
		return err
	})
	if err != nil {
		return nil, err
	}
	all := map[ident.RoomID][]json.RawMessage{}
	for _, item := range items {
		filter := &x.filter.AccountData
		if item.Room != "" {
			filter = &x.filter.Room.AccountData
		}
		if !filter.WantsType(item.Type) || !filter.WantsOf(item.Room) {
			continue
		}
		e, err := typedEvent(item.Type, "", item.Content)
		if err != nil {
			return nil, err
		}
		all[item.Room] = append(all[item.Room], e)
	}
	return all, nil
}

// sinceOrStart is what the client knows: nothing, if it says so.
func (x *composition) sinceOrStart() persistence.Position {
	if x.initial {
		return 0
	}
	return x.since
}
