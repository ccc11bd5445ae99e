// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Receipts hears how far people have read.
type Receipts interface {
	// Receipts tells of receipts of users of other servers, of rooms that their servers are in (M-52). Others than those stay as they
	// are. The events need not be known here. It must not wait.
	Receipts(ctx context.Context, receipts []Receipt)
}

// ReadReceipt is the only type of receipt that servers tell each other of (M-53).
const ReadReceipt = "m.read"

// Receipt says that a user has read up to an event. A later one of the same room, user and thread takes its place (M-53).
type Receipt struct {
	Room   ident.RoomID
	User   ident.UserID
	Type   string // ReadReceipt
	Event  ident.EventID
	Thread string // id of the thread's root, or "main"; "" for a receipt without a thread
	TS     int64  // ms
}

// parseReceipts reads m.receipt. One that makes no sense, or is of another server's user (M-61), harms no other.
func parseReceipts(edu transaction.EDU) (list []Receipt, faults error) {
	for roomID, kinds := range edu.Content.Members() {
		room, err := ident.ParseRoomID(roomID)
		if err != nil {
			return list, malformed("%v", err)
		}
		for userID, receipt := range kinds.Get(ReadReceipt).Members() {
			r, err := parseReceipt(edu.Origin, userID, receipt)
			if err != nil {
				faults = err
				continue
			}
			if r.Room = room; len(list) == maxReceipts {
				return list, malformed("more than %d receipts", maxReceipts)
			}
			list = append(list, r)
		}
	}
	return list, faults
}

func parseReceipt(origin ident.ServerName, userID string, v canonicaljson.Value) (Receipt, error) {
	user, err := ident.ParseUserID(userID)
	if err != nil {
		return Receipt{}, malformed("%v", err)
	}
	if user.Server() != origin {
		return Receipt{}, malformed("%s is not a user of %s", user, origin)
	}
	r := Receipt{User: user, Type: ReadReceipt}
	ids := v.Get("event_ids")
	for id := range ids.Elements() {
		text, _ := id.Text()
		if r.Event, err = ident.ParseEventID(text); err != nil {
			return Receipt{}, malformed("%v", err)
		}
	}
	data := v.Get("data")
	ts, ok := data.Get("ts").Int()
	if !ok || ids.Len() != 1 {
		return Receipt{}, malformed("a receipt has one event id and a time")
	}
	r.TS = ts
	if thread := data.Get("thread_id"); thread.Kind() != canonicaljson.Invalid {
		if r.Thread, ok = thread.Text(); !ok || r.Thread == "" || len(r.Thread) > maxThreadID {
			return Receipt{}, malformed("thread_id is not the id of an event")
		}
	}
	return r, nil
}

func (s *Server) hearReceipts(edu transaction.EDU) error {
	list, faults := parseReceipts(edu)
	var admitted []Receipt
	there := map[ident.RoomID]bool{}
	for _, r := range list {
		in, asked := there[r.Room]
		if !asked {
			var err error
			if in, err = s.engine.Houses(s.alive, r.Room, edu.Origin); err != nil && !errors.Is(err, pdu.ErrUnknownRoom) {
				return err
			}
			there[r.Room] = in
		}
		if in {
			admitted = append(admitted, r)
		}
	}
	if len(admitted) > 0 {
		s.core.Receipts.Receipts(s.alive, admitted)
	}
	return faults
}

// SendReceipt tells the servers of a room how far a user of ours, who is in it, has read. A receipt that is not a ReadReceipt never
// leaves: the error is transaction.ErrPrivateReceipt. Of one user and thread only the latest that is not sent yet is sent.
func (s *Server) SendReceipt(ctx context.Context, r Receipt) error {
	if r.Type != ReadReceipt {
		return fmt.Errorf("send receipt of %s: %w: %s", r.User, transaction.ErrPrivateReceipt, r.Type)
	}
	data := map[string]any{"ts": r.TS}
	if r.Thread != "" {
		data["thread_id"] = r.Thread
	}
	receipt := map[string]any{"event_ids": []ident.EventID{r.Event}, "data": data}
	content := map[ident.RoomID]any{r.Room: map[string]any{ReadReceipt: map[ident.UserID]any{r.User: receipt}}}
	key := string(r.Room) + "\x00" + string(r.User) + "\x00" + r.Thread
	if err := s.sendToRoom(ctx, r.Room, r.User, transaction.Volatile{Type: eduReceipt, Key: key}, content); err != nil {
		return fmt.Errorf("send receipt of %s in %s: %w", r.User, r.Room, err)
	}
	return nil
}
