// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transport/ident"
)

// errUnreachable is what went wrong at another server, or on the way.
var errUnreachable = errors.New("content of another server")

// remoteKey is that of a copy in the cache. Neither a server name nor a media id holds a slash.
func remoteKey(server ident.ServerName, id ident.MediaID) string {
	return "mxc://" + string(server) + "/" + string(id)
}

// fetch opens content of another server, which is copied to the cache first.
func (r *Repository) fetch(ctx context.Context, server ident.ServerName, id ident.MediaID, wait time.Duration) (item, *os.File, error) {
	key := remoteKey(server, id)
	return r.cachedOr(ctx, key, func() (item, *os.File, error) {
		leave, err := r.fetches.enter(ctx, string(server))
		if err != nil {
			return item{}, nil, err
		}
		defer leave()
		content, err := r.cfg.Remote.DownloadMedia(ctx, server, id, messaging.MediaOptions{MaxSize: r.cfg.MaxRemote, Wait: wait})
		if err != nil {
			return item{}, nil, fmt.Errorf("%w: %w", errUnreachable, err)
		}
		defer content.Close()
		d, err := r.files.draft()
		if err != nil {
			return item{}, nil, err
		}
		defer d.discard()
		source := &sourced{from: content}
		if _, err := io.Copy(d, source); err != nil {
			if source.failed != nil {
				err = fmt.Errorf("%w: %w", errUnreachable, err)
			}
			return item{}, nil, err
		}
		copied := item{kind: mediaType(content.Type), name: nameIn(content.Disposition), open: r.cfg.Unfrozen}
		return r.cache.put(ctx, key, d, copied)
	})
}

// cachedOr opens what the cache has under a key, or else what make puts there. Who wants the same meanwhile waits.
func (r *Repository) cachedOr(ctx context.Context, key string, make func() (item, *os.File, error)) (item, *os.File, error) {
	for {
		i, file, err := r.cache.get(ctx, key)
		if err != nil || file != nil {
			return i, file, err
		}
		mine, err := r.running.do(ctx, key, func() (err error) {
			if i, file, err = r.cache.get(ctx, key); err != nil || file != nil {
				return err // it came between the look above and here
			}
			i, file, err = make()
			return err
		})
		if err != nil || mine {
			return i, file, err
		}
	}
}
