// SPDX-License-Identifier: Apache-2.0

package ephemeral

import (
	"context"
	"sync"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const presenceSchema = `
CREATE TABLE hs_presence (
	user     TEXT    PRIMARY KEY,
	presence TEXT    NOT NULL,
	status   TEXT    NOT NULL, -- '' for none
	active   INTEGER NOT NULL, -- ms; when the user was last active
	current  INTEGER NOT NULL, -- 1: is active now
	position INTEGER NOT NULL  -- of the last change of presence, status or current
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_presence_changes ON hs_presence (position);`

// The states of presence.
const (
	Online      = "online"
	Unavailable = "unavailable"
	Offline     = "offline"
)

// Present is a user's presence.
type Present struct {
	User     ident.UserID
	Presence string
	Status   string
	ActiveAt int64 // ms
	Current  bool
	Position persistence.Position // of its last change, 0 for a user who never was there
}

// Content is the content of m.presence, and the answer to GET /presence/{userId}/status.
func (p Present) Content(now time.Time) map[string]any {
	content := map[string]any{"presence": p.Presence, "currently_active": p.Current}
	if p.Status != "" {
		content["status_msg"] = p.Status
	}
	if p.ActiveAt > 0 {
		content["last_active_ago"] = max(0, now.UnixMilli()-p.ActiveAt)
	}
	return content
}

// PresenceOf gives a user's presence.
func PresenceOf(tx *persistence.Tx, user ident.UserID) (Present, error) {
	p := Present{User: user, Presence: Offline}
	_, err := tx.QueryRow(`SELECT presence, status, active, current, position FROM hs_presence WHERE user = ?`, []any{string(user)},
		&p.Presence, &p.Status, &p.ActiveAt, &p.Current, &p.Position)
	return p, err
}

// PresenceChanges gives who has changed after one position and not after another, in order.
func PresenceChanges(tx *persistence.Tx, after, through persistence.Position) (list []Present, err error) {
	err = tx.Query(`SELECT user, presence, status, active, current, position FROM hs_presence WHERE position > ? AND position <= ?
		ORDER BY position`, []any{after, through}, func(r persistence.Row) error {
		var p Present
		err := r.Scan(&p.User, &p.Presence, &p.Status, &p.ActiveAt, &p.Current, &p.Position)
		list = append(list, p)
		return err
	})
	return list, err
}

// putPresent writes a user's presence. That somebody is still active is no news (S-32).
func putPresent(tx *persistence.Tx, p Present) (news bool, err error) {
	old, err := PresenceOf(tx, p.User)
	if err != nil {
		return false, err
	}
	p.Position = old.Position
	news = old.Presence != p.Presence || old.Status != p.Status || old.Current != p.Current
	if news {
		if p.Position, err = stream.Append(tx, stream.Entry{Kind: stream.Presence, User: p.User}); err != nil {
			return false, err
		}
	}
	_, err = tx.Exec(`INSERT OR REPLACE INTO hs_presence (user, presence, status, active, current, position) VALUES (?, ?, ?, ?, ?, ?)`,
		string(p.User), p.Presence, p.Status, p.ActiveAt, p.Current, p.Position)
	return news, err
}

// Presence implements messaging.Presence.
func (e *Ephemeral) Presence(_ context.Context, updates []messaging.PresenceUpdate) {
	e.tell(func(tx *persistence.Tx, now time.Time) error {
		for _, u := range updates {
			_, err := putPresent(tx, Present{
				User: u.User, Presence: u.Presence, Status: u.Status, ActiveAt: now.Add(-u.LastActive).UnixMilli(), Current: u.CurrentlyActive,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// putPresence is PUT /presence/{userId}/status.
func (e *Ephemeral) putPresence(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Presence string `json:"presence"`
		Status   string `json:"status_msg"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	switch {
	case r.Param("userID") != string(r.User):
		return api.Reply{}, api.Forbidden("only %s can set their presence", r.Param("userID"))
	case body.Presence == "":
		return api.Reply{}, api.MissingParam("presence")
	case body.Presence != Online && body.Presence != Unavailable && body.Presence != Offline:
		return api.Reply{}, api.InvalidParam("presence is online, unavailable or offline, not %q", body.Presence)
	case len(body.Status) > maxStatus:
		return api.Reply{}, api.InvalidParam("status_msg has more than %d bytes", maxStatus)
	}
	if e.noPresence {
		return api.Reply{}, nil // as other servers do: clients set it unasked
	}
	e.attendance.set(r.User, body.Presence)
	return api.Reply{}, e.change(ctx, r.User, func(p *Present) { p.Presence, p.Status = body.Presence, body.Status })
}

// change changes the presence of a user of ours, and tells other servers of what is news.
func (e *Ephemeral) change(ctx context.Context, user ident.UserID, f func(*Present)) error {
	var p Present
	var news bool
	now := time.Now()
	err := e.store.Update(ctx, func(tx *persistence.Tx) (err error) {
		if p, err = PresenceOf(tx, user); err != nil {
			return err
		}
		f(&p)
		p.Current = p.Presence == Online
		if p.Presence != Offline {
			p.ActiveAt = now.UnixMilli()
		}
		news, err = putPresent(tx, p)
		return err
	})
	if err != nil || !news {
		return err
	}
	return e.teller.SendPresence(ctx, messaging.PresenceUpdate{
		User: user, Presence: p.Presence, Status: p.Status, CurrentlyActive: p.Current, LastActive: now.Sub(time.UnixMilli(p.ActiveAt)),
	})
}

// getPresence is GET /presence/{userId}/status, of users of this server and of others with whom they share rooms.
func (e *Ephemeral) getPresence(ctx context.Context, r *api.Request) (api.Reply, error) {
	user, err := ident.ParseUserID(r.Param("userID"))
	if err != nil {
		return api.Reply{}, api.InvalidParam("%v", err)
	}
	var p Present
	err = e.store.View(ctx, func(tx *persistence.Tx) error {
		if user.Server() != e.self {
			if met, err := e.rooms.Meets(tx, user); err != nil {
				return err
			} else if !met {
				return api.Forbidden("you share no room with %s", user)
			}
		}
		p, err = PresenceOf(tx, user)
		return err
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(p.Content(time.Now()))
}

// attendance is who syncs: whoever does is there.
type attendance struct {
	mu    sync.Mutex
	users map[ident.UserID]*attendee
}

type attendee struct {
	syncs    int       // under way
	last     time.Time // when the last one ended
	presence string    // as written
	written  time.Time
}

// enter notes a sync that begins with a presence, which is to be written unless it stands there already and is of now.
func (a *attendance) enter(user ident.UserID, presence string, now time.Time) (who *attendee, write bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	who = a.users[user]
	if who == nil {
		who = &attendee{}
		a.users[user] = who
	}
	who.syncs++
	write = who.presence != presence || now.Sub(who.written) >= activeEvery
	who.presence, who.written = presence, now
	return who, write
}

// set notes a presence that the user has set otherwise.
func (a *attendance) set(user ident.UserID, presence string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if who := a.users[user]; who != nil {
		who.presence = presence
	}
}

func (a *attendance) leave(who *attendee, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	who.syncs--
	who.last = now
}

// Syncing tells that a user syncs, with the presence that they set by it (S-05): Offline leaves it as it is. The user counts as there
// until done is called, and a while after.
func (e *Ephemeral) Syncing(ctx context.Context, user ident.UserID, presence string) (done func(), err error) {
	if presence == Offline || e.noPresence {
		return func() {}, nil
	}
	who, write := e.attendance.enter(user, presence, time.Now())
	done = func() { e.attendance.leave(who, time.Now()) }
	if write {
		if err := e.change(ctx, user, func(p *Present) { p.Presence = presence }); err != nil {
			done()
			return nil, err
		}
	}
	return done, nil
}

// recall notes who was there when the server last ended: they are gone unless they sync.
func (e *Ephemeral) recall(ctx context.Context, now time.Time) error {
	return e.store.View(ctx, func(tx *persistence.Tx) error {
		return tx.Query(`SELECT user FROM hs_presence WHERE presence <> ?`, []any{Offline}, func(r persistence.Row) error {
			var user ident.UserID
			if err := r.Scan(&user); err != nil {
				return err
			}
			if user.Server() == e.self {
				who, _ := e.attendance.enter(user, "", now)
				e.attendance.leave(who, now)
			}
			return nil
		})
	})
}

// forgetPresence forgets what was kept while there was presence. Of our users other servers are told that they are offline.
func (e *Ephemeral) forgetPresence(ctx context.Context, _ time.Time) error {
	var ours []ident.UserID
	err := e.store.Update(ctx, func(tx *persistence.Tx) error {
		ours = nil
		err := tx.Query(`SELECT user FROM hs_presence WHERE presence <> ?`, []any{Offline}, func(r persistence.Row) error {
			var user ident.UserID
			err := r.Scan(&user)
			if err == nil && user.Server() == e.self {
				ours = append(ours, user)
			}
			return err
		})
		if err == nil {
			_, err = tx.Exec(`DELETE FROM hs_presence`)
		}
		return err
	})
	for _, user := range ours {
		if err == nil {
			err = e.teller.SendPresence(ctx, messaging.PresenceUpdate{User: user, Presence: Offline})
		}
	}
	return err
}

// gone takes out who has not synced for a while.
func (a *attendance) gone(now time.Time) (users []ident.UserID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for user, at := range a.users {
		if at.syncs == 0 && now.Sub(at.last) >= absentAfter {
			users = append(users, user)
			delete(a.users, user)
		}
	}
	return users
}

// expirePresence marks those as offline who are there no more.
func (e *Ephemeral) expirePresence(ctx context.Context, now time.Time) error {
	for _, user := range e.attendance.gone(now) {
		if err := e.change(ctx, user, func(p *Present) { p.Presence = Offline }); err != nil {
			return err
		}
	}
	return nil
}
