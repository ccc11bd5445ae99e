// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/memo"
)

// spaces is what other servers said of spaces that this server is not in, by space and suggestion.
type spaces = memo.Memo[remembered]

type remembered struct {
	messaging.Hierarchy
	until time.Time
}

func newSpaces() *spaces {
	return memo.New(hierarchiesKept, func(s remembered) time.Time { return s.until })
}

// walk goes through a space depth first, each room once, for one user (mod/spaces, "Querying a hierarchy"). It belongs to one request.
type walk struct {
	r         *Rooms
	user      ident.UserID
	suggested bool
	maxDepth  int // -1 for none

	stack []stop // the next last
	seen  map[ident.RoomID]bool
	asked int // questions to other servers
}

// stop is a room on the way.
type stop struct {
	room  ident.RoomID
	via   []ident.ServerName
	depth int
	told  *messaging.RoomSummary // what the server of a space above said of it, nil for nothing
}

// hierarchyToken is where a page ends, and what the walk was told.
type hierarchyToken struct {
	walked, depth int
	suggested     bool
}

func (t hierarchyToken) String() string {
	return fmt.Sprintf("%d_%d_%t", t.walked, t.depth, t.suggested)
}

func parseHierarchyToken(text string) (t hierarchyToken, err error) {
	n, err := fmt.Sscanf(text, "%d_%d_%t", &t.walked, &t.depth, &t.suggested)
	if err != nil || n != 3 || t.walked < 0 || t.String() != text {
		return hierarchyToken{}, api.InvalidParam("from: %.40q is no token of this endpoint", text)
	}
	return t, nil
}

// hierarchy is GET /_matrix/client/v1/rooms/{roomId}/hierarchy.
func (r *Rooms) hierarchy(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	limit, err := q.Int("limit", maxHierarchyPage)
	if err != nil {
		return api.Reply{}, err
	}
	depth := -1
	if q.Query.Get("max_depth") != "" {
		if depth, err = q.Int("max_depth", 0); err != nil {
			return api.Reply{}, err
		}
	}
	token := hierarchyToken{depth: depth, suggested: q.Query.Get("suggested_only") == "true"}
	if from := q.Query.Get("from"); from != "" {
		was, err := parseHierarchyToken(from)
		if err != nil {
			return api.Reply{}, err
		}
		if was.depth != token.depth || was.suggested != token.suggested {
			return api.Reply{}, api.InvalidParam("max_depth and suggested_only cannot change from one page to the next")
		}
		token.walked = was.walked
	}
	w := &walk{
		r: r, user: q.User, suggested: token.suggested, maxDepth: depth,
		stack: []stop{{room: room}}, seen: map[ident.RoomID]bool{room: true},
	}
	page, more, err := w.page(ctx, token.walked, max(1, min(limit, maxHierarchyPage)))
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	reply := map[string]any{"rooms": page}
	if more {
		token.walked += len(page)
		reply["next_batch"] = token.String()
	}
	return api.JSON(reply)
}

// page walks past the rooms of earlier pages and gives the next ones. What a user cannot see is not there, but for the root, which is an
// error.
func (w *walk) page(ctx context.Context, skip, limit int) (page []messaging.SpaceRoom, more bool, err error) {
	page = []messaging.SpaceRoom{}
	for looked := 0; len(w.stack) > 0 && looked < maxHierarchyWalked; looked++ {
		next := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		room, visible, err := w.visit(ctx, next)
		if err != nil {
			return nil, false, err
		}
		switch {
		case !visible && next.depth == 0:
			return nil, false, api.Forbidden("there is no such room that you can see")
		case !visible:
		case skip > 0:
			skip--
		case len(page) == limit:
			return page, true, nil
		default:
			page = append(page, room)
		}
	}
	return page, false, nil
}

// visit looks at a room, and puts those that are in it on the way.
func (w *walk) visit(ctx context.Context, at stop) (room messaging.SpaceRoom, visible bool, err error) {
	room, told, err := w.read(ctx, at)
	if err != nil || room.Room == "" {
		return messaging.SpaceRoom{}, false, err
	}
	if visible, err = w.r.isVisible(ctx, w.user, room.RoomSummary); err != nil || !visible {
		return messaging.SpaceRoom{}, false, err
	}
	slices.SortFunc(room.ChildrenState, byOrder)
	if w.maxDepth < 0 || at.depth < w.maxDepth {
		for _, child := range slices.Backward(room.ChildrenState) {
			if !w.seen[child.StateKey] {
				w.seen[child.StateKey] = true
				w.stack = append(w.stack, stop{child.StateKey, viaOf(child), at.depth + 1, told[child.StateKey]})
			}
		}
	}
	return room, true, nil
}

// read finds what there is to know of a room: by ourselves where we are in it, else from others; what the server of the space above said of
// it does for what is no space. A room of which nothing is known is zero.
func (w *walk) read(ctx context.Context, at stop) (room messaging.SpaceRoom, told map[ident.RoomID]*messaging.RoomSummary, err error) {
	summary, err := w.r.server.Summary(ctx, at.room)
	if err == nil {
		room = messaging.SpaceRoom{RoomSummary: summary, ChildrenState: []messaging.SpaceChild{}}
		if summary.RoomType == messaging.SpaceType {
			room.ChildrenState, err = w.r.server.SpaceChildren(ctx, at.room, w.suggested)
		}
		return room, nil, err
	}
	if !errors.Is(err, pdu.ErrUnknownRoom) && !errors.Is(err, pdu.ErrNotJoined) {
		return messaging.SpaceRoom{}, nil, err
	}
	if at.told != nil && at.told.RoomType != messaging.SpaceType {
		return messaging.SpaceRoom{RoomSummary: *at.told, ChildrenState: []messaging.SpaceChild{}}, nil, nil
	}
	answer, err := w.ask(ctx, at)
	if ctx.Err() != nil {
		return messaging.SpaceRoom{}, nil, ctx.Err()
	}
	if err != nil { // nobody can say more
		if at.told != nil {
			room = messaging.SpaceRoom{RoomSummary: *at.told, ChildrenState: []messaging.SpaceChild{}}
		}
		return room, nil, nil
	}
	told = map[ident.RoomID]*messaging.RoomSummary{}
	for i := range answer.Children {
		told[answer.Children[i].Room] = &answer.Children[i]
	}
	room = answer.Room
	room.ChildrenState = slices.Clone(room.ChildrenState) // what is kept is not ours to sort
	return room, told, nil
}

func (w *walk) ask(ctx context.Context, at stop) (messaging.Hierarchy, error) {
	if len(at.via) == 0 || w.asked >= maxHierarchyAsked {
		return messaging.Hierarchy{}, messaging.ErrNoServer
	}
	key := fmt.Sprintf("%s %t", at.room, w.suggested)
	answer, kept, err := w.r.spaces.Ask(ctx, key, false, hierarchyTime, func(ctx context.Context, _ remembered) (remembered, error) {
		h, err := w.r.server.Hierarchy(ctx, at.room, at.via, w.suggested)
		return remembered{h, time.Now().Add(hierarchyKept)}, err
	})
	if !kept {
		w.asked++
	}
	return answer.Hierarchy, err
}

// viaOf is the servers over which a space says that one of its rooms can be reached.
func viaOf(child messaging.SpaceChild) (via []ident.ServerName) {
	var content struct {
		Via []string `json:"via"`
	}
	_ = json.Unmarshal(child.Content, &content) // what cannot be read names nobody
	for _, name := range content.Via {
		if server, err := ident.ParseServerName(name); err == nil {
			via = append(via, server)
		}
	}
	return via
}

// byOrder is the order of rooms in a space: those with a valid order first, by it; then by time, then by room id (mod/spaces, "Ordering of
// children within a space").
func byOrder(x, y messaging.SpaceChild) int {
	ox, oy := orderOf(x), orderOf(y)
	switch {
	case ox != "" && oy == "":
		return -1
	case ox == "" && oy != "":
		return 1
	}
	return cmp.Or(cmp.Compare(ox, oy), cmp.Compare(x.OriginServerTS, y.OriginServerTS), cmp.Compare(x.StateKey, y.StateKey))
}

// orderOf is the order that a child has, "" for none that is valid: of 1 to 50 characters from U+0020 to U+007E.
func orderOf(child messaging.SpaceChild) string {
	var content struct {
		Order string `json:"order"`
	}
	if json.Unmarshal(child.Content, &content) != nil || len(content.Order) > 50 {
		return ""
	}
	for _, c := range content.Order {
		if c < 0x20 || c > 0x7e {
			return ""
		}
	}
	return content.Order
}
