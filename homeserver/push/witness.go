// SPDX-License-Identifier: Apache-2.0

package push

import (
	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

var _ accounts.Witness = (*Push)(nil)

// UserRegistered implements accounts.Witness: a client finds the rules in its first sync.
func (p *Push) UserRegistered(tx *persistence.Tx, user ident.UserID) error {
	return Keep(tx, user, Changes{})
}

// UserDeactivated implements accounts.Witness.
func (p *Push) UserDeactivated(tx *persistence.Tx, user ident.UserID) error {
	for _, query := range []string{
		`DELETE FROM hs_push_rules WHERE user = ?`, `DELETE FROM hs_pushers WHERE user = ?`, `DELETE FROM hs_unread WHERE user = ?`,
		`DELETE FROM hs_notices WHERE user = ?`,
	} {
		if _, err := tx.Exec(query, string(user)); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() { p.tally.forget(user) })
	return nil
}
