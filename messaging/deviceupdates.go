// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// introductions is the name of the subscription by which servers hear of users who have come into a room of theirs. Names with this
// beginning are the server's own.
const introductions = ownSubscriptions + "introductions"

// neverSent is the id of an update that there is not: who reads that one follows it fetches the list.
const neverSent = 0

// SendDeviceListUpdate tells every server that shares a room with a user of ours what has become of a device: it is new, has another
// name, other keys or signatures, or is Deleted (M-56, M-59). It is queued in a job of the caller, the one that changes the device.
func (s *Server) SendDeviceListUpdate(tx *persistence.Tx, user ident.UserID, device Device) error {
	err := s.ours(user)
	if err == nil {
		err = s.sendDeviceUpdate(tx, user, device)
	}
	if err != nil {
		return fmt.Errorf("send update of device %s of %s: %w", device.ID, user, err)
	}
	return nil
}

func (s *Server) sendDeviceUpdate(tx *persistence.Tx, user ident.UserID, device Device) error {
	// With the time as the least, what a restored file has forgotten is not sent again under the same id.
	stream, before, err := tx.NextOwnStream(user, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	var prev []int64
	if before != 0 {
		prev = []int64{before}
	}
	servers, err := s.engine.Company(tx, user)
	if err != nil {
		return err
	}
	return s.enqueueDeviceUpdate(tx, deviceUpdate{user: user, device: device, stream: stream, prev: prev}, servers)
}

func (s *Server) enqueueDeviceUpdate(tx *persistence.Tx, u deviceUpdate, servers []ident.ServerName) error {
	content := map[string]any{"user_id": u.user, "device_id": u.device.ID, "stream_id": u.stream}
	if len(u.prev) > 0 {
		content["prev_id"] = u.prev
	}
	if u.device.Deleted {
		content["deleted"] = true
	} else {
		if u.device.Name != "" {
			content["device_display_name"] = u.device.Name
		}
		if u.device.Keys != nil {
			content["keys"] = u.device.Keys
		}
	}
	edu, err := encodeEDU(eduDeviceList, content)
	if err != nil {
		return err
	}
	return s.outbox.EnqueueEDU(tx, edu, servers)
}

// SendSigningKeyUpdate tells every server that shares a room with a user of ours of new cross-signing keys, those that are not nil
// (M-60). It is queued in a job of the caller.
func (s *Server) SendSigningKeyUpdate(tx *persistence.Tx, user ident.UserID, keys SigningKeys) error {
	err := s.ours(user)
	if err == nil {
		err = s.sendSigningKeys(tx, user, keys)
	}
	if err != nil {
		return fmt.Errorf("send signing keys of %s: %w", user, err)
	}
	return nil
}

func (s *Server) sendSigningKeys(tx *persistence.Tx, user ident.UserID, keys SigningKeys) error {
	content := map[string]any{"user_id": user}
	if keys.Master != nil {
		content["master_key"] = keys.Master
	}
	if keys.SelfSigning != nil {
		content["self_signing_key"] = keys.SelfSigning
	}
	edu, err := encodeEDU(eduSigningKeys, content)
	if err != nil {
		return err
	}
	servers, err := s.engine.Company(tx, user)
	if err != nil {
		return err
	}
	return s.outbox.EnqueueEDU(tx, edu, servers)
}

// introduce tells the servers of a room that a user of ours has joined of the user's devices, as far as they share no other room with
// the user: they have heard of no change so far (M-59). They are told of one device, as what follows an update that they cannot know, and
// fetch the list.
func (s *Server) introduce(ctx context.Context, d Delivery) error {
	key, _ := d.Event.StateKey()
	user := ident.UserID(key)
	if d.Event.Type() != "m.room.member" || user.Server() != s.self {
		return nil
	}
	if enters, err := s.engine.Enters(ctx, d.Event.ID()); err != nil || !enters {
		return err
	}
	return s.store.Update(ctx, func(tx *persistence.Tx) error {
		servers, err := s.engine.NewCompany(tx, user, d.Room)
		if err != nil || len(servers) == 0 {
			return err
		}
		list, found, err := s.core.Devices.UserDevices(tx, user)
		if err != nil || !found || len(list.Devices) == 0 {
			return err
		}
		stream, err := tx.OwnStream(user)
		if err == nil && stream == 0 {
			stream, _, err = tx.NextOwnStream(user, time.Now().UnixMilli())
		}
		if err != nil {
			return err
		}
		return s.enqueueDeviceUpdate(tx, deviceUpdate{user: user, device: list.Devices[0], stream: stream, prev: []int64{neverSent}}, servers)
	})
}
