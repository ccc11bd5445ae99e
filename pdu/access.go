// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"fmt"
	"net/http"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/pdu/acl"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/ident"
)

// CheckAccess is nil when the room's server access control list, as it currently stands, lets a server make requests about the
// room (M-90, M-93); a *transport.Error with status 403 when it does not (M-92). ErrUnknownRoom.
func (e *Engine) CheckAccess(ctx context.Context, id ident.RoomID, server ident.ServerName) error {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return err
	}
	return e.checkAccess(ctx, head, server)
}

func (e *Engine) checkAccess(ctx context.Context, head *room, server ident.ServerName) error {
	id, exists, err := state.Get(storedNodes{ctx, e}, head.current, acl.Slot)
	if err != nil {
		return fmt.Errorf("server ACL of %s: %w", head.id, err)
	}
	if !exists {
		return nil
	}
	r, err := e.storedRecord(ctx, id)
	if err != nil {
		return fmt.Errorf("server ACL of %s: %w", head.id, err)
	}
	if !e.cache.acl(r).Allows(server) {
		return refuse(http.StatusForbidden, spec.ErrorForbidden, "the room's server access control list denies %s", server)
	}
	return nil
}
