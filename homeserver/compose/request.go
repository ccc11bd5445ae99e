// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// request is what a client asks for.
type request struct {
	user   ident.UserID
	device string

	initial   bool
	since     persistence.Position // seen already
	fullState bool
	timeout   time.Duration
	filter    *Filter
	presence  string // "online", "unavailable" or "offline"
	after     mode
}

// mode says how a client wants the state of rooms.
type mode int

const (
	atStart   mode = iota // state: that at the start of the timeline
	atEnd                 // state_after: that at its end
	atEndName             // the same, under the unstable name
)

// readRequest reads a request (CS GET /sync).
func (c *Composer) readRequest(ctx context.Context, q *api.Request) (r request, err error) {
	r = request{user: q.User, device: q.Device, filter: &Filter{}, presence: "online"}
	if text := q.Query.Get("since"); text == "" {
		r.initial = true
	} else if r.since, err = stream.ParseToken(text); err != nil {
		return request{}, api.InvalidParam("since: %v", err)
	}
	if r.fullState, err = boolean(q.Query, "full_state"); err != nil {
		return request{}, err
	}
	ms, err := q.Int("timeout", 0)
	if err != nil {
		return request{}, err
	}
	r.timeout = min(time.Duration(min(ms, int(maxTimeout/time.Millisecond)))*time.Millisecond, maxTimeout)
	if r.after, err = modeOf(q.Query); err != nil {
		return request{}, err
	}
	switch set := q.Query.Get("set_presence"); set {
	case "":
	case "online", "unavailable", "offline":
		r.presence = set
	default:
		return request{}, api.InvalidParam("set_presence: %.40q is none of online, unavailable and offline", set)
	}
	if text := q.Query.Get("filter"); text != "" {
		if r.filter, err = c.filter(ctx, q.User, text); err != nil {
			return request{}, err
		}
	}
	return r, nil
}

func modeOf(query url.Values) (mode, error) {
	stable, err := boolean(query, "use_state_after")
	if err != nil || stable {
		return atEnd, err
	}
	unstable, err := boolean(query, "org.matrix.msc4222.use_state_after")
	if unstable {
		return atEndName, err
	}
	return atStart, err
}

func boolean(query url.Values, name string) (bool, error) {
	text := query.Get(name)
	if text == "" {
		return false, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, api.InvalidParam("%s: %.40q is neither true nor false", name, text)
	}
	return value, nil
}

// filter is one that is given, or was uploaded (S-02).
func (c *Composer) filter(ctx context.Context, user ident.UserID, text string) (*Filter, error) {
	content := json.RawMessage(text)
	if !strings.HasPrefix(text, "{") {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, api.InvalidParam("filter: %.40q is neither a filter nor the id of one", text)
		}
		found := false
		err = c.store.View(ctx, func(tx *persistence.Tx) (err error) {
			content, found, err = accountdata.Filter(tx, user, id)
			return err
		})
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, api.InvalidParam("filter: there is none of the id %d", id)
		}
	}
	f, err := ParseFilter(content)
	if err != nil {
		return nil, api.InvalidParam("%v", err)
	}
	return f, nil
}
