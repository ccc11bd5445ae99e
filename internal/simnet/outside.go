// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// toldTable is what a node's homeserver keeps: how it was told that its user stands to the room, from outside.
const toldTable = `
CREATE TABLE sim_told (
	user       TEXT PRIMARY KEY,
	membership TEXT NOT NULL
) STRICT;`

// MayInvite implements messaging.Invites.
func (n *node) MayInvite(context.Context, ident.UserID, ident.UserID, ident.RoomID) error { return nil }

// Changed implements messaging.Invites.
func (n *node) Changed(tx *persistence.Tx, s messaging.Standing) error {
	_, err := tx.Exec(`INSERT INTO sim_told (user, membership) VALUES (?, ?)
		ON CONFLICT (user) DO UPDATE SET membership = excluded.membership`, string(s.User), s.Membership)
	return err
}

// readOutside reads whether the user of a server is invited or knocks, as the server knows and as it last told.
func (s *Snapshot) readOutside(tx *persistence.Tx, room ident.RoomID) error {
	stood, found, err := tx.Outsider(s.User, room)
	if err != nil {
		return err
	}
	if found && stood.Membership != "leave" {
		s.Outside = stood.Membership
	}
	_, err = tx.QueryRow(`SELECT membership FROM sim_told WHERE user = ?`, []any{string(s.User)}, &s.Told)
	return err
}

// outsideIsTold: a homeserver was told what its server knows of how its user stands to a room from outside.
func outsideIsTold(e End) (wrong []string) {
	for _, s := range e.Snapshots {
		told := s.Told
		if told == "leave" || told == "ban" {
			told = ""
		}
		if !s.Joined && told != s.Outside {
			wrong = append(wrong, fmt.Sprintf("%s knows %q of its user, and told %q", s.Server, s.Outside, s.Told))
		}
	}
	return wrong
}

// closeRoom lets in who is invited, and others knock.
func (a *actor) closeRoom() {
	a.note(a.breathe().SendState(context.Background(), a.world.Room(), a.node.user, "m.room.join_rules", "", map[string]string{"join_rule": "knock"}))
}

// inRoom is what a user is to the room by the state of a server that is in it.
func (a *actor) inRoom(s *messaging.Server, user ident.UserID) string {
	found, err := s.Engine().StateEvent(context.Background(), a.world.Room(), event.StateKey{Type: "m.room.member", Key: string(user)})
	if err != nil || found == nil {
		return ""
	}
	member, _ := found.Membership()
	return member.Membership
}

// outside is what the actor's user is to the room from outside.
func (a *actor) outside(s *messaging.Server) (membership string) {
	_ = s.Store().View(context.Background(), func(tx *persistence.Tx) error { // a server that is dying is asked again
		stood, _, err := tx.Outsider(a.node.user, a.world.Room())
		membership = stood.Membership
		return err
	})
	return membership
}

// insist does something again and again until it is so.
func (a *actor) insist(what string, so func(*messaging.Server) bool, do func(*messaging.Server) error) {
	var err error
	for range maxAttempts {
		server := a.breathe()
		if so(server) {
			return
		}
		if err = do(server); err != nil {
			a.world.Timeline.Add(string(a.node.name), "%s: %v", what, err)
			a.rest()
		}
	}
	a.world.fault("%s: %s did not work in %d attempts: %v", a.node.name, what, maxAttempts, err)
}

func (a *actor) invite(user ident.UserID) {
	a.insist("invite "+string(user), func(s *messaging.Server) bool {
		return slices.Contains([]string{"invite", "join"}, a.inRoom(s, user))
	}, func(s *messaging.Server) error {
		_, err := s.Invite(context.Background(), a.world.Room(), a.node.user, user, nil)
		return err
	})
}

// turnAway ends the invitation or the knock of a user.
func (a *actor) turnAway(user ident.UserID) {
	a.insist("turn away "+string(user), func(s *messaging.Server) bool { return a.inRoom(s, user) == "leave" }, func(s *messaging.Server) error {
		_, err := s.SendState(context.Background(), a.world.Room(), a.node.user, "m.room.member", string(user), map[string]string{"membership": "leave"})
		return err
	})
}

// accept joins over whoever has invited. A join of which no answer came is taken back, and the invitation is gone: there has to be
// another.
func (a *actor) accept(inviter *actor) {
	a.insist("accept", func(*messaging.Server) bool { return a.node.joined() }, func(s *messaging.Server) error {
		err := s.Join(context.Background(), a.node.user, a.world.Room(), nil)
		if a.world.keptOut(err) {
			inviter.tell(func() { inviter.invite(a.node.user) })
		}
		return err
	})
}

func (a *actor) knock(via []ident.ServerName) {
	a.insist("knock", func(s *messaging.Server) bool {
		return slices.Contains([]string{"knock", "invite"}, a.outside(s))
	}, func(s *messaging.Server) error {
		return s.Knock(context.Background(), a.node.user, a.world.Room(), nil, via)
	})
}

// reject rejects an invitation or takes back a knock.
func (a *actor) reject() {
	a.insist("reject", func(s *messaging.Server) bool {
		return !slices.Contains([]string{"knock", "invite"}, a.outside(s))
	}, func(s *messaging.Server) error {
		return s.Leave(context.Background(), a.node.user, a.world.Room())
	})
}

func (s *Script) parseCloses(words []string) (func(*actor), error) {
	s.Knocks = true
	return (*actor).closeRoom, none(words)
}

// parseOther is for what one user does about another.
func (s *Script) parseOther(do func(*actor, ident.UserID)) func(words []string) (func(*actor), error) {
	return func(words []string) (func(*actor), error) {
		if len(words) != 1 || !slices.Contains(s.Servers, words[0]) {
			return nil, errors.New("a server is needed")
		}
		s.Revokes = true
		return func(a *actor) { do(a, userOf(words[0])) }, nil
	}
}

func (s *Script) parseInvites(words []string) (func(*actor), error) {
	return s.parseOther((*actor).invite)(words)
}

func (s *Script) parseTurns(words []string) (func(*actor), error) {
	return s.parseOther((*actor).turnAway)(words)
}

func (s *Script) parseAccepts(words []string) (func(*actor), error) {
	if len(words) != 1 || !slices.Contains(s.Servers, words[0]) {
		return nil, errors.New("whose invitation?")
	}
	s.Revokes = true
	return func(a *actor) { a.accept(a.world.actors[words[0]]) }, nil
}
func (s *Script) parseRejects(words []string) (func(*actor), error) {
	return (*actor).reject, none(words)
}

func (s *Script) parseKnocks(words []string) (func(*actor), error) {
	via, err := s.over(words)
	return func(a *actor) { a.knock(via) }, err
}
