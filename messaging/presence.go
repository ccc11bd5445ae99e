// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Presence hears who is there.
type Presence interface {
	// Presence tells of users of other servers, whether or not anybody here knows them (M-51). It must not wait.
	Presence(ctx context.Context, updates []PresenceUpdate)
}

// PresenceUpdate is what a user's presence is now.
type PresenceUpdate struct {
	User            ident.UserID
	Presence        string        // "online", "unavailable" or "offline"
	LastActive      time.Duration // so long ago, in ms
	Status          string        // in the user's words, "" for none
	CurrentlyActive bool
}

// parsePresence reads m.presence. What makes no sense, or is of another server's user (M-61), harms no other.
func parsePresence(edu transaction.EDU) (list []PresenceUpdate, faults error) {
	push := edu.Content.Get("push")
	if push.Kind() != canonicaljson.Array {
		return nil, malformed("push is not an array")
	}
	for entry := range push.Elements() {
		if len(list) == maxPresence {
			return list, malformed("more than %d users", maxPresence)
		}
		update, err := parsePresenceUpdate(edu.Origin, entry)
		if err != nil {
			faults = err
			continue
		}
		list = append(list, update)
	}
	return list, faults
}

func parsePresenceUpdate(origin ident.ServerName, v canonicaljson.Value) (u PresenceUpdate, err error) {
	if u.User, err = speaker(origin, v.Get("user_id")); err != nil {
		return u, err
	}
	if u.Presence, err = presenceState(v.Get("presence")); err != nil {
		return u, err
	}
	ago, ok := v.Get("last_active_ago").Int()
	if !ok || ago < 0 {
		return u, malformed("last_active_ago is not a number of milliseconds")
	}
	u.LastActive = time.Duration(min(ago, maxInactive.Milliseconds())) * time.Millisecond
	if u.Status, _ = v.Get("status_msg").Text(); len(u.Status) > maxStatus {
		return u, malformed("status_msg of %d bytes", len(u.Status))
	}
	u.CurrentlyActive, _ = v.Get("currently_active").Bool()
	return u, nil
}

func presenceState(v canonicaljson.Value) (string, error) {
	switch text, _ := v.Text(); text {
	case "online", "unavailable", "offline":
		return text, nil
	}
	return "", malformed("presence is not one of those that there are")
}

func (s *Server) hearPresence(edu transaction.EDU) error {
	list, faults := parsePresence(edu)
	if len(list) > 0 {
		s.core.Presence.Presence(s.alive, list)
	}
	return faults
}

// SendPresence tells all servers that share a room with a user of ours how the user's presence is. Nothing of it is kept.
func (s *Server) SendPresence(ctx context.Context, u PresenceUpdate) error {
	err := s.ours(u.User)
	if err == nil {
		err = s.call(ctx, func(ctx context.Context) error { return s.sendPresence(ctx, u) })
	}
	if err != nil {
		return fmt.Errorf("send presence of %s: %w", u.User, err)
	}
	return nil
}

func (s *Server) sendPresence(ctx context.Context, u PresenceUpdate) error {
	update := map[string]any{
		"user_id": u.User, "presence": u.Presence, "last_active_ago": u.LastActive.Milliseconds(), "currently_active": u.CurrentlyActive,
	}
	if u.Status != "" {
		update["status_msg"] = u.Status
	}
	var servers []ident.ServerName
	err := s.store.View(ctx, func(tx *persistence.Tx) (err error) {
		servers, err = s.engine.Company(tx, u.User)
		return err
	})
	if err != nil {
		return err
	}
	return s.sendVolatile(transaction.Volatile{Type: eduPresence, Key: string(u.User)}, map[string]any{"push": []any{update}}, servers)
}
