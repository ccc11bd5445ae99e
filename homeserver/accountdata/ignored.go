// SPDX-License-Identifier: Apache-2.0

package accountdata

import (
	"encoding/json"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const ignoredType = "m.ignored_user_list"

// Ignored is whom a user ignores (S-29).
func Ignored(tx *persistence.Tx, user ident.UserID) (map[ident.UserID]bool, error) {
	content, found, err := Get(tx, user, "", ignoredType)
	if err != nil || !found {
		return nil, err
	}
	var ignored struct {
		Users map[ident.UserID]json.RawMessage `json:"ignored_users"`
	}
	if json.Unmarshal(content, &ignored) != nil {
		return nil, nil // what a client wrote there and no server understands ignores nobody
	}
	users := make(map[ident.UserID]bool, len(ignored.Users))
	for id := range ignored.Users {
		users[id] = true
	}
	return users, nil
}
