// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/transport/ident"
)

// ErrOurs: what was to be asked of another server is our own. The homeserver has it.
var ErrOurs = errors.New("of this server itself")

// askOther runs a question to another server.
func (s *Server) askOther(ctx context.Context, server ident.ServerName, question func(context.Context) error) error {
	if _, err := ident.ParseServerName(string(server)); err != nil {
		return err
	}
	if server == s.self {
		return fmt.Errorf("%w: %s", ErrOurs, server)
	}
	return s.call(ctx, question)
}

// checkOwners checks that users are those of a server: no other may be asked about them (M-65).
func checkOwners[T any](server ident.ServerName, users map[ident.UserID]T) error {
	for user := range users {
		if _, err := ident.ParseUserID(string(user)); err != nil {
			return err
		}
		if user.Server() != server {
			return fmt.Errorf("%s is not a user of %s", user, server)
		}
	}
	return nil
}
