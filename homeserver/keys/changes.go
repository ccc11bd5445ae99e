// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// changed enters in the stream that a user's devices or cross-signing keys are not what they were.
func changed(tx *persistence.Tx, user ident.UserID) error {
	at, err := stream.Append(tx, stream.Entry{Kind: stream.DeviceList, User: user})
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO hs_device_lists (user, position) VALUES (?, ?)
		ON CONFLICT (user) DO UPDATE SET position = excluded.position`, string(user), at)
	return err
}

// Changed lists the users, of whatever server, whose devices or cross-signing keys last changed after one position and not after
// another.
func Changed(tx *persistence.Tx, after, through persistence.Position) (users []ident.UserID, err error) {
	err = tx.Query(`SELECT user FROM hs_device_lists WHERE position > ? AND position <= ? ORDER BY position`, []any{after, through},
		func(r persistence.Row) error {
			var user ident.UserID
			err := r.Scan(&user)
			users = append(users, user)
			return err
		})
	return users, err
}

// OneTimeKeyCounts counts a device's one-time keys by algorithm.
func OneTimeKeyCounts(tx *persistence.Tx, user ident.UserID, device string) (counts map[string]int, err error) {
	counts = map[string]int{}
	err = tx.Query(`SELECT algorithm, count(*) FROM hs_one_time_keys WHERE user = ? AND device = ? GROUP BY algorithm`,
		[]any{string(user), device}, func(r persistence.Row) error {
			var algorithm string
			var n int
			err := r.Scan(&algorithm, &n)
			counts[algorithm] = n
			return err
		})
	return counts, err
}

// UnusedFallbackTypes lists the algorithms of which a device has a fallback key that was not handed out.
func UnusedFallbackTypes(tx *persistence.Tx, user ident.UserID, device string) (algorithms []string, err error) {
	algorithms = []string{}
	err = tx.Query(`SELECT algorithm FROM hs_fallback_keys WHERE user = ? AND device = ? AND used = 0 ORDER BY algorithm`,
		[]any{string(user), device}, func(r persistence.Row) error {
			var algorithm string
			err := r.Scan(&algorithm)
			algorithms = append(algorithms, algorithm)
			return err
		})
	return algorithms, err
}
