// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"sync"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
)

// cache is what can be had again, up to a size. mu is held while a file comes or goes together with its row: two rows may name one file.
type cache struct {
	files files
	store *persistence.Store
	most  int64

	mu    sync.Mutex
	total int64 // of all rows: files that two name count twice
}

func newCache(ctx context.Context, f files, store *persistence.Store, most int64) (*cache, error) {
	c := &cache{files: f, store: store, most: most}
	err := store.View(ctx, func(tx *persistence.Tx) (err error) {
		c.total, err = sumCached(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("size of the media cache: %w", err)
	}
	return c, nil
}

// get opens what is kept under a key; file is nil when nothing is. A file that somebody has deleted counts as not there;
// what an operator has removed is messaging.ErrNoMedia.
func (c *cache) get(ctx context.Context, key string) (i item, file *os.File, err error) {
	var used time.Time
	var found bool
	err = c.store.View(ctx, func(tx *persistence.Tx) (err error) {
		removed, err := isRemoved(tx, key)
		if err == nil && removed {
			err = messaging.ErrNoMedia
		}
		if err != nil {
			return err
		}
		i, used, found, err = readCached(tx, key)
		return err
	})
	if err != nil || !found {
		return item{}, nil, err
	}
	file, err = c.files.open(cached, i.digest)
	if errors.Is(err, fs.ErrNotExist) {
		return item{}, nil, nil
	}
	if err != nil {
		return item{}, nil, fmt.Errorf("open content: %w", err)
	}
	if now := time.Now(); now.Sub(used) > touchEvery {
		if err := c.store.Update(ctx, func(tx *persistence.Tx) error { return touchCached(tx, key, now) }); err != nil {
			_ = file.Close() // the first error tells more
			return item{}, nil, err
		}
	}
	return i, file, nil
}

// put keeps a draft under a key, in place of what was there, and opens it. What is too much goes.
func (c *cache) put(ctx context.Context, key string, d *draft, i item) (item, *os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx = context.WithoutCancel(ctx) // what is kept is counted, whoever goes away meanwhile
	var err error
	i.size = d.size
	if i.digest, err = c.files.keep(d, cached); err != nil {
		return item{}, nil, err
	}
	file, err := c.files.open(cached, i.digest)
	if err != nil {
		return item{}, nil, fmt.Errorf("open content: %w", err)
	}
	var before item
	err = c.store.Update(ctx, func(tx *persistence.Tx) (err error) {
		if before, _, _, err = readCached(tx, key); err != nil {
			return err
		}
		if err := deleteCached(tx, key); err != nil {
			return err
		}
		return insertCached(tx, key, i, time.Now())
	})
	if err == nil {
		c.total += i.size - before.size
		err = c.shrink(ctx)
	}
	if err != nil {
		_ = file.Close() // the first error tells more
		return item{}, nil, err
	}
	return i, file, nil
}

// shrink removes what was not used for longest until the rest is within bounds. mu is held.
func (c *cache) shrink(ctx context.Context) error {
	for c.total > c.most {
		freed, err := c.evict(ctx, c.total-c.most, func(tx *persistence.Tx) ([]stale, error) { return leastUsed(tx, math.MaxInt64) })
		if err != nil {
			return fmt.Errorf("shrink the media cache: %w", err)
		}
		if freed == 0 {
			return nil // nothing but empty files is left
		}
	}
	return nil
}

// expire removes what was not used since a time.
func (c *cache) expire(ctx context.Context, before time.Time) error {
	for {
		n := 0
		err := c.clear(ctx, func(tx *persistence.Tx) (list []stale, err error) {
			list, err = leastUsed(tx, before.UnixMilli())
			n = len(list)
			return list, err
		})
		if err != nil || n < evictAtOnce {
			return err
		}
	}
}

// clear removes what find finds.
func (c *cache) clear(ctx context.Context, find func(*persistence.Tx) ([]stale, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.evict(context.WithoutCancel(ctx), math.MaxInt64, find)
	return err
}

// evict removes of what find finds as much as is too much, the first first, and says how much that was. mu is held.
func (c *cache) evict(ctx context.Context, excess int64, find func(*persistence.Tx) ([]stale, error)) (freed int64, err error) {
	var unnamed [][]byte
	err = c.store.Update(ctx, func(tx *persistence.Tx) error {
		freed, unnamed = 0, nil
		list, err := find(tx)
		if err != nil {
			return err
		}
		for _, s := range list {
			if freed >= excess {
				break
			}
			if err := deleteCached(tx, s.key); err != nil {
				return err
			}
			freed += s.size
			named, err := isCachedDigest(tx, s.digest)
			if err != nil {
				return err
			}
			if !named {
				unnamed = append(unnamed, s.digest)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	c.total -= freed
	for _, digest := range unnamed {
		if err := c.files.remove(cached, digest); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return freed, err
		}
	}
	return freed, nil
}
