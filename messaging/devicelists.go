// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// DeviceLists follows the devices of users of other servers who share a room with a user of ours. Each method runs in the job that
// acknowledges what it is told of, or that fetched it: it must not wait for anything. Of one user they come in order: after
// DevicesStale nothing comes but SigningKeysChanged until DevicesReplaced.
type DeviceLists interface {
	// DeviceChanged tells of a device that is new, changed or, with Deleted, gone.
	DeviceChanged(tx *persistence.Tx, user ident.UserID, device Device) error
	// DevicesStale tells that updates of the list are missing: what is known of it is out of date until it has been fetched.
	DevicesStale(tx *persistence.Tx, user ident.UserID) error
	// DevicesReplaced gives the whole list as its server has it.
	DevicesReplaced(tx *persistence.Tx, list UserDevices) error
	// SigningKeysChanged gives the keys that have changed (M-60).
	SigningKeysChanged(tx *persistence.Tx, user ident.UserID, keys SigningKeys) error
}

// follow works an update into what is known of a list. It applies when it follows only updates that are known, and one at least:
// servers leave prev_id empty in the first that they send to somebody, to whom they do not say what came before (M-58). One with a smaller
// number than another that is known was on its way while the list was fetched, and may be in it: only the list tells. An update that is
// known already changes nothing.
func follow(l persistence.DeviceList, stream int64, prev []int64, nowMS int64) (next persistence.DeviceList, known, applies bool) {
	if slices.Contains(l.Streams, stream) {
		return l, true, false
	}
	missing := slices.ContainsFunc(prev, func(p int64) bool { return !slices.Contains(l.Streams, p) })
	late := slices.ContainsFunc(l.Streams, func(n int64) bool { return n > stream })
	applies = !l.Stale && len(prev) > 0 && !missing && !late
	next = l
	next.Streams = append(slices.Clone(l.Streams[max(0, len(l.Streams)+1-maxDeviceStreams):]), stream)
	if !applies {
		next.Stale, next.Attempts, next.DueAt = true, 0, nowMS // its server is there: no reason to wait
	}
	return next, false, applies
}

func (s *Server) keepDeviceUpdate(tx *persistence.Tx, edu transaction.EDU) error {
	u, err := parseDeviceUpdate(edu)
	if err != nil {
		return err
	}
	if met, err := s.engine.MightMeet(tx, u.user); err != nil || !met {
		return err
	}
	list, _, err := tx.DeviceList(u.user)
	if err != nil {
		return err
	}
	list.User = u.user
	next, known, applies := follow(list, u.stream, u.prev, time.Now().UnixMilli())
	if known {
		return nil
	}
	if err := tx.PutDeviceList(next); err != nil {
		return err
	}
	if applies {
		return s.core.DeviceLists.DeviceChanged(tx, u.user, u.device)
	}
	tx.AfterCommit(s.fetcher.wake)
	if list.Stale {
		return nil
	}
	return s.core.DeviceLists.DevicesStale(tx, u.user)
}

func (s *Server) keepSigningKeys(tx *persistence.Tx, edu transaction.EDU) error {
	user, err := speaker(edu.Origin, edu.Content.Get("user_id"))
	if err != nil {
		return err
	}
	keys, err := parseSigningKeys(user, edu.Content)
	if err != nil {
		return err
	}
	if met, err := s.engine.MightMeet(tx, user); err != nil || !met || keys.Master == nil && keys.SelfSigning == nil {
		return err
	}
	return s.core.DeviceLists.SigningKeysChanged(tx, user, keys)
}

// FollowDevices has the device list of a user of another server fetched and, as long as that shares a room with a user of ours, kept up to
// date; DevicesReplaced brings it. The request is durable with the job.
func (s *Server) FollowDevices(tx *persistence.Tx, user ident.UserID) error {
	if user.Server() == s.self {
		return fmt.Errorf("follow devices of %s: %w", user, ErrOurs)
	}
	list, _, err := tx.DeviceList(user)
	if err != nil || list.Stale {
		return err
	}
	list.User, list.Stale, list.Attempts, list.DueAt = user, true, 0, time.Now().UnixMilli()
	tx.AfterCommit(s.fetcher.wake)
	return tx.PutDeviceList(list)
}

// ForgetDevices ends that, until the next update of the list: call it when what was known of the list is deleted.
func (s *Server) ForgetDevices(tx *persistence.Tx, user ident.UserID) error {
	return tx.DropDeviceList(user)
}
