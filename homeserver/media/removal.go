// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Run removes, now and then until ctx ends, what nobody has looked at for too long.
func (r *Repository) Run(ctx context.Context) error {
	if r.cfg.CacheTime == 0 {
		return nil
	}
	ticks := time.NewTicker(expireEvery)
	defer ticks.Stop()
	for {
		if err := r.cache.expire(ctx, time.Now().Add(-r.cfg.CacheTime)); err != nil {
			return fmt.Errorf("remove old content of other servers: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// removeContent is DELETE /_synapse/admin/v1/media/{serverName}/{mediaID}, as Synapse has it for content of its own. That of other servers is
// not fetched again.
func (r *Repository) removeContent(ctx context.Context, q *api.Request) (api.Reply, error) {
	if !q.Admin {
		return api.Reply{}, api.Forbidden("only administrators may remove content")
	}
	server, err := ident.ParseServerName(q.Param("serverName"))
	if err != nil {
		return api.Reply{}, api.InvalidParam("%v", err)
	}
	id, err := ident.ParseMediaID(q.Param("mediaID"))
	if err != nil {
		return api.Reply{}, api.InvalidParam("%v", err)
	}
	if server == r.cfg.Self {
		err = r.removeOwn(ctx, id)
	} else {
		err = r.removeCopy(ctx, remoteKey(server, id))
	}
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]any{"deleted_media": []ident.MediaID{id}, "total": 1})
}

// removeOwn removes what was uploaded under an id, and the thumbnails of it. The same content under another id stays.
func (r *Repository) removeOwn(ctx context.Context, id ident.MediaID) error {
	var e entry
	err := r.cfg.Store.Update(ctx, func(tx *persistence.Tx) (err error) {
		var found bool
		if e, found, err = readEntry(tx, id); err != nil {
			return err
		}
		if !found {
			return api.NotFound("no such content")
		}
		return deleteEntry(tx, id)
	})
	if err != nil || e.digest == nil {
		return err
	}
	if err := r.removeThumbnails(ctx, e.digest); err != nil {
		return err
	}
	return r.sweep(context.WithoutCancel(ctx), e.digest)
}

// removeCopy removes content of another server, if there is a copy, and the thumbnails of it; it is not fetched again.
func (r *Repository) removeCopy(ctx context.Context, key string) error {
	var copied item
	err := r.cfg.Store.Update(ctx, func(tx *persistence.Tx) (err error) {
		if copied, _, _, err = readCached(tx, key); err != nil {
			return err
		}
		return markRemoved(tx, key, time.Now())
	})
	if err == nil && copied.digest != nil {
		err = r.removeThumbnails(ctx, copied.digest)
	}
	if err != nil {
		return err
	}
	return r.cache.clear(ctx, func(tx *persistence.Tx) ([]stale, error) { return keyed(tx, key, key+"\x00") })
}

func (r *Repository) removeThumbnails(ctx context.Context, digest []byte) error {
	prefix := thumbnailsOf(digest)
	return r.cache.clear(ctx, func(tx *persistence.Tx) ([]stale, error) { return keyed(tx, prefix, prefix+"\xff") })
}

// thumbnailsOf begins the keys of the thumbnails of a picture.
func thumbnailsOf(digest []byte) string { return "thumbnail/" + hex.EncodeToString(digest) + "/" }

// shelve puts a draft on the shelf of our own, and has name store a row that names it.
func (r *Repository) shelve(ctx context.Context, d *draft, content *item, name func(*persistence.Tx) error) (err error) {
	r.naming.RLock()
	defer r.naming.RUnlock()
	if content.digest, err = r.files.keep(d, own); err != nil {
		return err
	}
	return r.cfg.Store.Update(ctx, name)
}

// sweep removes a file of our own that no row names.
func (r *Repository) sweep(ctx context.Context, digest []byte) error {
	r.naming.Lock()
	defer r.naming.Unlock()
	var named bool
	err := r.cfg.Store.View(ctx, func(tx *persistence.Tx) (err error) {
		named, err = isOwnDigest(tx, digest)
		return err
	})
	if err != nil || named {
		return err
	}
	if err := r.files.remove(own, digest); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove content: %w", err)
	}
	return nil
}
