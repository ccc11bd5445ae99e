// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"os"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
)

// LookAt looks at a running server, whose database is the file at path.
func LookAt(server *messaging.Server, path string) Look {
	return func(ctx context.Context) (s Standing, err error) {
		err = server.Store().View(ctx, func(tx *persistence.Tx) (err error) {
			s.Pending, err = tx.Pending(maxCounted)
			return err
		})
		if err != nil {
			return Standing{}, err
		}
		if s.Destinations, err = server.Outbox().Census(ctx); err != nil {
			return Standing{}, err
		}
		if network := server.Network(); network != nil {
			s.Documents, s.Records = network.Remembered()
		}
		s.Keys = server.Keys().Remembered()
		s.Database, s.WAL = size(path), size(path+"-wal")
		return s, nil
	}
}

// size is that of a file, 0 for none: the log is gone after an orderly end.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
