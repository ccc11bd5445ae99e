// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// Filter selects servers, and of what is about them a part. Every question about queues and peers takes one; the zero value selects
// everything.
type Filter struct {
	Server string `json:"server,omitempty"` // a pattern with * and ?, "" for all
	Class  string `json:"class,omitempty"`  // of the last failure in a row
	State  string `json:"state,omitempty"`
	RoomID string `json:"room_id,omitempty"`
	Since  int64  `json:"since,omitempty"` // ms
	Until  int64  `json:"until,omitempty"` // ms, 0 for no end
	Limit  int    `json:"limit,omitempty"` // 0 for DefaultLimit
}

// check tells what is wrong with a filter; states are those that there are.
func (f Filter) check(states []string) (transaction.Pattern, error) {
	pattern, err := transaction.Pattern("*"), error(nil)
	if f.Server != "" {
		pattern, err = transaction.ParsePattern(f.Server)
	}
	switch {
	case err != nil:
		return "", badQuery{err}
	case f.State != "" && !slices.Contains(states, f.State):
		return "", badQuery{fmt.Errorf("state %q is none of %s", f.State, strings.Join(states, ", "))}
	case f.Until != 0 && f.Until < f.Since:
		return "", badQuery{errors.New("the time asked for ends before it begins")}
	}
	if f.RoomID != "" {
		if _, err := ident.ParseRoomID(f.RoomID); err != nil {
			return "", badQuery{err}
		}
	}
	return pattern, nil
}

// within tells whether a time is in the time asked for.
func (f Filter) within(ms int64) bool { return ms >= f.Since && (f.Until == 0 || ms <= f.Until) }

// ofItems tells that the filter selects among what is queued, and not only servers.
func (f Filter) ofItems() bool { return f.RoomID != "" || f.Since != 0 || f.Until != 0 }

// isPattern tells a pattern from the name of one server.
func isPattern(server string) bool { return server == "" || strings.ContainsAny(server, "*?") }
