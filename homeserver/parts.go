// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/backup"
	"github.com/strata-matrix/strata/homeserver/compose"
	"github.com/strata-matrix/strata/homeserver/dispatch"
	"github.com/strata-matrix/strata/homeserver/ephemeral"
	"github.com/strata-matrix/strata/homeserver/keys"
	"github.com/strata-matrix/strata/homeserver/media"
	"github.com/strata-matrix/strata/homeserver/openid"
	"github.com/strata-matrix/strata/homeserver/profiles"
	"github.com/strata-matrix/strata/homeserver/push"
	"github.com/strata-matrix/strata/homeserver/rooms"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/homeserver/todevice"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
)

// annex is the tables of all parts.
func annex() persistence.Annex {
	return persistence.Annex{Name: "hs", Steps: []string{strings.Join([]string{
		stream.Schema,
		accounts.Schema,
		accountdata.Schema,
		push.Schema,
		keys.Schema,
		todevice.Schema,
		backup.Schema,
		ephemeral.Schema,
		profiles.Schema,
		openid.Schema,
		roomview.Schema,
		rooms.Schema,
		media.Schema,
	}, "\n")}}
}

// mediaFolder is where content is, in the data directory.
const mediaFolder = "media"

// parts are what a homeserver is made of, complete.
type parts struct {
	core    messaging.Core // what other servers ask for
	routes  []api.Route    // what clients ask for
	tokens  api.Tokens
	witness api.Witness
	loops   []loop // what is done meanwhile
	syncs   *dispatch.Dispatcher
}

// loop runs until its context ends; an error ends the server.
type loop struct {
	name string
	run  func(context.Context) error
}

// assemble makes all parts, each of what stands before it.
func assemble(ctx context.Context, cfg Config, server *messaging.Server) (parts, error) {
	self, store := server.Name(), server.Store()
	passwords := accounts.NewPasswords(cfg.PasswordCost)
	interactive := accounts.NewInteractive(accounts.InteractiveConfig{
		Self: self, Store: store, Passwords: passwords, Rate: cfg.Accounts.Logins,
	})
	counts := push.NewTally()
	pushes := push.New(store, counts)
	deviceKeys := keys.New(keys.Config{
		Self: self, Store: store, Asker: server, Teller: server, Company: server.Engine(), Confirm: interactive.Confirm,
	})
	messages := todevice.New(self, store, server)
	backups := backup.New(store)
	now := ephemeral.New(ephemeral.Config{Self: self, Store: store, Teller: server, Rooms: server.Engine(), NoPresence: cfg.NoPresence})
	book := profiles.NewBook(store)
	progress := stream.NewProgress(store)
	view := roomview.New(server.Engine(), store, progress)
	chats := rooms.New(rooms.Config{Server: server, View: view, DefaultVersion: cfg.DefaultRoomVersion, Profiles: book, Known: accounts.Known})
	people := profiles.New(profiles.Config{Self: self, Store: store, Asker: server, Rooms: chats})
	proofs := openid.New(self, store)
	departures := rooms.NewDepartures(chats)
	users := accounts.New(accounts.Config{
		Self: self, Store: store, Passwords: passwords, Interactive: interactive, Policy: cfg.Accounts,
		Witnesses: []accounts.Witness{pushes, deviceKeys, messages, backups, people, proofs, departures},
	})
	content, err := media.New(ctx, media.Config{
		Self: self, Store: store, Remote: server, Dir: filepath.Join(cfg.Messaging.DataDir, mediaFolder), NoSync: cfg.Messaging.NoSync,
		Policy: cfg.Media,
	})
	if err != nil {
		return parts{}, err
	}
	syncs := newSyncs(server, progress, view, now, counts)
	return parts{
		core: messaging.Core{
			Invites: chats, Aliases: chats, PublicRooms: chats, Devices: deviceKeys, DeviceLists: keys.Followed{}, ToDevice: todevice.Inbox{},
			Media: content, Profiles: book, OpenID: proofs, Typing: now, Receipts: now, Presence: presence(cfg, now),
		},
		routes: slices.Concat(
			discovery(cfg),
			users.Routes(),
			chats.Routes(),
			pushes.Routes(),
			deviceKeys.Routes(),
			messages.Routes(),
			backups.Routes(),
			now.Routes(),
			people.Routes(),
			proofs.Routes(),
			content.Routes(),
			accountdata.New(store, compose.CheckFilter).Routes(),
			syncs.routes,
		),
		tokens:  users,
		witness: users,
		syncs:   syncs.waiting,
		loops: []loop{
			{"sightings of devices", users.Run},
			{"typing, receipts and presence", now.Run},
			{"profiles", people.Run},
			{"content", content.Run},
			{"departures", departures.Run},
			{"stream", syncs.feed.Run},
		},
	}, nil
}

// presence is who is told of it by other servers, nil for nobody.
func presence(cfg Config, now *ephemeral.Ephemeral) messaging.Presence {
	if cfg.NoPresence {
		return nil
	}
	return now
}
