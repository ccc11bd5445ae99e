// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"slices"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/compose"
	"github.com/strata-matrix/strata/homeserver/dispatch"
	"github.com/strata-matrix/strata/homeserver/ephemeral"
	"github.com/strata-matrix/strata/homeserver/push"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/homeserver/tally"
	"github.com/strata-matrix/strata/messaging"
)

// syncs is what tells clients what happens: the feed, who waits for it, and the endpoints.
type syncs struct {
	feed    *stream.Feed
	waiting *dispatch.Dispatcher
	routes  []api.Route
}

func newSyncs(server *messaging.Server, progress *stream.Progress, view *roomview.View, now *ephemeral.Ephemeral, counts *push.Tally) syncs {
	store, engine := server.Store(), server.Engine()
	waiting := dispatch.New(view.Joined)
	feed := stream.NewFeed(stream.FeedConfig{
		Self: server.Name(), Store: store, Progress: progress, Rooms: engine, Dispatch: waiting,
		Derive:  []stream.Deriver{view, tally.New(view, engine, counts)},
		Company: view.RoomsWith,
	})
	composer := compose.New(compose.Config{
		Store: store, Engine: engine, Ring: feed.Ring(), Rooms: view, Dispatcher: waiting, Presence: now.Syncing,
	})
	return syncs{feed, waiting, slices.Concat(composer.Routes(), tally.NewNotices(view, engine, store).Routes())}
}
