// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// EDU is one ephemeral data unit of an inbound transaction (T-10).
type EDU struct {
	Origin  ident.ServerName // authenticated; whether it may speak for whom Content names is the handler's to judge (M-61)
	Type    string
	Content canonicaljson.Value // an object, of which nothing else is known
}

// EDUKeeper takes EDUs that must not be lost once they are acknowledged: to-device messages, device lists (T-12). KeepEDU runs in the
// job that keeps the reply to the transaction, so that both are durable or neither, and an EDU is taken once. An error is a failure
// of our own, for which the whole transaction is sent again; content that makes no sense is dropped without one.
type EDUKeeper interface {
	KeepEDU(tx *persistence.Tx, edu EDU) error
}

// EDUObserver hears EDUs that nobody promised to keep: typing, presence, receipts. It is told after the transaction has become
// durable and before it is answered, so it must not wait for anything; what it fails to do is lost.
type EDUObserver interface {
	ObserveEDU(edu EDU)
}

// EDUHandlers are those who handle EDUs, by edu_type. Types that none is for are ignored (T-10).
type EDUHandlers struct {
	Keep    map[string]EDUKeeper
	Observe map[string]EDUObserver
}

// RoomAccess tells whether a room's server access control list lets a server in; an error says that it does not, or cannot be told.
// *pdu.Engine is one.
type RoomAccess interface {
	CheckAccess(ctx context.Context, room ident.RoomID, server ident.ServerName) error
}

// The types of EDU that are about rooms, and therefore behind their access control lists (M-95).
const (
	eduTyping  = "m.typing"
	eduReceipt = "m.receipt"
)

// parseEDU tells whether an EDU has the shape of one. One that has not gets no result and harms no other (T-10).
func parseEDU(origin ident.ServerName, raw canonicaljson.Value) (EDU, bool) {
	eduType, ok := raw.Get("edu_type").Text()
	content := raw.Get("content")
	return EDU{Origin: origin, Type: eduType, Content: content}, ok && eduType != "" && content.Kind() == canonicaljson.Object
}

// admitted are the EDUs that somebody handles, without what is about rooms that do not let the origin in (T-11). It is silent about
// the others.
func (i *Inbox) admitted(ctx context.Context, origin ident.ServerName, edus []EDU) (list []EDU) {
	door := doorman{ctx: ctx, rooms: i.cfg.Rooms, origin: origin, known: map[string]bool{}}
	for _, edu := range edus {
		if i.cfg.EDUs.Keep[edu.Type] == nil && i.cfg.EDUs.Observe[edu.Type] == nil {
			continue
		}
		admitted := true
		switch edu.Type {
		case eduTyping:
			room, _ := edu.Content.Get("room_id").Text()
			admitted = door.letsIn(room)
		case eduReceipt:
			edu.Content = door.receipts(edu.Content)
		}
		if admitted {
			list = append(list, edu)
		}
	}
	return list
}

// doorman asks the rooms that the EDUs of one transaction are about, each once and no more than maxEDURooms: what is about others is
// not let in.
type doorman struct {
	ctx    context.Context
	rooms  RoomAccess // nil lets nobody in
	origin ident.ServerName
	known  map[string]bool
}

func (d doorman) letsIn(room string) bool {
	admitted, asked := d.known[room]
	if asked {
		return admitted
	}
	id, err := ident.ParseRoomID(room)
	if err != nil || d.rooms == nil || len(d.known) == maxEDURooms {
		return false
	}
	admitted = d.rooms.CheckAccess(d.ctx, id, d.origin) == nil
	d.known[room] = admitted
	return admitted
}

// receipts leaves out the rooms of an m.receipt that do not let its origin in.
func (d doorman) receipts(content canonicaljson.Value) canonicaljson.Value {
	var denied []string
	for room := range content.Members() {
		if !d.letsIn(room) {
			if denied = append(denied, room); len(denied) > maxEDURooms {
				return canonicaljson.Value{}
			}
		}
	}
	return content.Without(denied...)
}

// keep has the EDUs made durable, in the job that keeps the reply.
func (h EDUHandlers) keep(tx *persistence.Tx, edus []EDU) error {
	for _, edu := range edus {
		if keeper := h.Keep[edu.Type]; keeper != nil {
			if err := keeper.KeepEDU(tx, edu); err != nil {
				return err
			}
		}
	}
	return nil
}

// observe tells of the others.
func (h EDUHandlers) observe(edus []EDU) {
	for _, edu := range edus {
		if observer := h.Observe[edu.Type]; observer != nil {
			observer.ObserveEDU(edu)
		}
	}
}
