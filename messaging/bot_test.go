// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// karma is a small bot server, whole: it has one user, who has a name, accepts every invitation, counts who is thanked in its rooms with
// "NAME++", and tells the count to who asks "NAME?". What it promises is in tables of its own, written in the jobs in which Strata
// promises its part, so that a crash at any moment loses no invitation and counts nobody twice.
type karma struct {
	server *messaging.Server
	user   ident.UserID
	asked  chan struct{} // of one: there are invitations
}

// karmaTables is the annex of the bot.
var karmaTables = persistence.Annex{Name: "karma", Steps: []string{`
	CREATE TABLE karma_invites (room TEXT PRIMARY KEY, via TEXT NOT NULL) STRICT;
	CREATE TABLE karma_points (name TEXT PRIMARY KEY, points INTEGER NOT NULL, position INTEGER NOT NULL) STRICT;`}}

// newKarma is for messaging.Config.Core.
func newKarma(server *messaging.Server) *karma {
	return &karma{server: server, user: ident.UserID("@karma:" + string(server.Name())), asked: make(chan struct{}, 1)}
}

// Profile implements messaging.Profiles.
func (k *karma) Profile(_ context.Context, user ident.UserID) (map[string]json.RawMessage, bool, error) {
	return map[string]json.RawMessage{"displayname": json.RawMessage(`"Karma"`)}, user == k.user, nil
}

// MayInvite implements messaging.Invites: there is nobody here but the bot.
func (k *karma) MayInvite(_ context.Context, _, invitee ident.UserID, _ ident.RoomID) error {
	if invitee != k.user {
		return messaging.ErrInviteRefused
	}
	return nil
}

// Changed implements messaging.Invites. An invitation that is taken back is none any more.
func (k *karma) Changed(tx *persistence.Tx, s messaging.Standing) error {
	query, args := `DELETE FROM karma_invites WHERE room = ?`, []any{string(s.Room)}
	if s.Membership == "invite" {
		query, args = `INSERT OR REPLACE INTO karma_invites (room, via) VALUES (?, ?)`, append(args, string(s.Sender.Server()))
		tx.AfterCommit(k.wake)
	}
	_, err := tx.Exec(query, args...)
	return err
}

func (k *karma) wake() {
	select {
	case k.asked <- struct{}{}:
	default:
	}
}

// accept joins the rooms that the bot is invited to, those of before the last restart too, until ctx ends.
func (k *karma) accept(ctx context.Context) error {
	for {
		invites := map[ident.RoomID]ident.ServerName{}
		err := k.server.Store().View(ctx, func(tx *persistence.Tx) error {
			return tx.Query(`SELECT room, via FROM karma_invites`, nil, func(r persistence.Row) error {
				var room ident.RoomID
				var via ident.ServerName
				err := r.Scan(&room, &via)
				invites[room] = via
				return err
			})
		})
		for room, via := range invites {
			k.join(ctx, room, via)
			err = k.server.Store().Update(ctx, func(tx *persistence.Tx) error {
				_, err := tx.Exec(`DELETE FROM karma_invites WHERE room = ?`, string(room))
				return err
			})
		}
		if err != nil {
			return err
		}
		select {
		case <-k.asked:
		case <-ctx.Done():
			return nil
		}
	}
}

// join tries a few times: the server that invites hears of the bot's yes before it has told the room of the invitation. A room that cannot
// be joined is then given up; who wants the bot there invites it again.
func (k *karma) join(ctx context.Context, room ident.RoomID, via ident.ServerName) {
	for range 5 {
		if k.server.Join(ctx, k.user, room, []ident.ServerName{via}) == nil {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

// hear is called with each event, at least once: the position tells those that were counted already.
func (k *karma) hear(ctx context.Context, d messaging.Delivery) error {
	body, _ := d.Event.Content().Get("body").Text()
	if d.Event.Sender() == k.user {
		return nil
	}
	if name, thanked := strings.CutSuffix(body, "++"); thanked {
		return k.server.Store().Update(ctx, func(tx *persistence.Tx) error {
			_, err := tx.Exec(`INSERT INTO karma_points (name, points, position) VALUES (?, 1, ?)
				ON CONFLICT (name) DO UPDATE SET points = points + 1, position = excluded.position WHERE position < excluded.position`,
				name, d.Position)
			return err
		})
	}
	name, asked := strings.CutSuffix(body, "?")
	if !asked {
		return nil
	}
	var points int
	err := k.server.Store().View(ctx, func(tx *persistence.Tx) error {
		_, err := tx.QueryRow(`SELECT points FROM karma_points WHERE name = ?`, []any{name}, &points)
		return err
	})
	if err != nil {
		return err
	}
	answer := map[string]string{"msgtype": "m.notice", "body": fmt.Sprintf("%s has %d", name, points)}
	_, err = k.server.Send(ctx, d.Room, k.user, "m.room.message", answer)
	return err
}

// TestBot has a user of another server invite the bot and talk to it, before and after a restart of the bot's server.
func TestBot(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		home, dir := n.open("home.example", ""), t.TempDir()
		const alice = ident.UserID("@alice:home.example")
		heard := &journal{}
		defer subscribe(t, home, "alice", heard.deliver)()
		start := func() (stop func()) {
			var bot *karma
			server := n.open("bots.example", dir, func(c *messaging.Config) {
				c.Annex = karmaTables
				c.Core = func(s *messaging.Server) (messaging.Core, error) {
					bot = newKarma(s)
					return messaging.Core{Profiles: bot, Invites: bot}, nil
				}
			})
			ctx, cancel := context.WithCancel(context.Background())
			accepting := make(chan error, 1)
			go func() { accepting <- bot.accept(ctx) }()
			silence := subscribe(t, server, "karma", bot.hear)
			return func() {
				silence()
				cancel()
				if err := <-accepting; err != nil {
					t.Error(err)
				}
				if err := server.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		stop := start()
		room, err := home.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := home.Invite(t.Context(), room, alice, "@nobody:bots.example", nil); err == nil {
			t.Error("somebody is invited who is not there")
		}
		if _, err := home.Invite(t.Context(), room, alice, "@karma:bots.example", nil); err != nil {
			t.Fatal(err)
		}
		settle()
		say := func(body string) {
			t.Helper()
			if _, err := home.Send(t.Context(), room, alice, "m.room.message", map[string]string{"msgtype": "m.text", "body": body}); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		say("bob++")
		say("bob++")
		say("bob?")
		stop()
		defer start()()
		say("bob++")
		say("bob?")
		for _, want := range []string{"@karma:bots.example join", "@karma:bots.example: bob has 2", "@karma:bots.example: bob has 3"} {
			if !slices.Contains(heard.all(), want) {
				t.Errorf("not heard: %s, but %q", want, heard.all())
			}
		}
	})
}
