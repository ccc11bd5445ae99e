// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Remote has what other servers have. *messaging.Server is one.
type Remote interface {
	DownloadMedia(ctx context.Context, server ident.ServerName, id ident.MediaID, o messaging.MediaOptions) (*messaging.MediaContent, error)
}

// Policy is what an operator chooses. Sizes are in bytes, and zero is the default where there is one.
type Policy struct {
	// MaxUpload is the largest upload; DefaultMaxUpload.
	MaxUpload int64
	// MaxRemote is the largest content that is fetched from another server; DefaultMaxRemote.
	MaxRemote int64
	// CacheSize is for what can be had again: copies of other servers' content, and thumbnails; DefaultCacheSize.
	CacheSize int64
	// PictureMemory is what all pictures together may take that are being decoded, and so any of them; DefaultPictureMemory.
	PictureMemory int64
	// UserQuota is what each user's uploads may take together; 0 for no bound.
	UserQuota int64
	// CacheTime is how long what can be had again is kept when nobody looks at it; 0 for as long as there is room.
	CacheTime time.Duration
	// Unfrozen lets everybody have new content without an access token, over the deprecated endpoints. Otherwise those are frozen: they
	// have what was stored while they were not.
	Unfrozen bool
}

func (p Policy) orDefault() Policy {
	return Policy{
		MaxUpload: cmp.Or(p.MaxUpload, DefaultMaxUpload), MaxRemote: cmp.Or(p.MaxRemote, DefaultMaxRemote),
		CacheSize: cmp.Or(p.CacheSize, DefaultCacheSize), PictureMemory: cmp.Or(p.PictureMemory, DefaultPictureMemory),
		UserQuota: p.UserQuota, CacheTime: p.CacheTime, Unfrozen: p.Unfrozen,
	}
}

// Config is what a repository is made of. Self, Store, Remote and Dir are needed.
type Config struct {
	Self   ident.ServerName
	Store  *persistence.Store // with Schema in its annex
	Remote Remote
	Dir    string // of the files; it is made when it is missing
	NoSync bool   // leaves out every sync of the disk, for tests
	Policy
}

// Repository is the content repository. Its methods may be called from any goroutine.
type Repository struct {
	cfg     Config
	files   files
	cache   *cache
	uploads *lanes // by user
	fetches *lanes // by server
	reduces *lanes
	memory  *semaphore.Weighted // of pictures that are being decoded
	running flights
	arrived arrivals
	naming  sync.RWMutex // read by who puts a file on the shelf until a row names it, written by who removes one that none names
}

// New opens a repository.
func New(ctx context.Context, cfg Config) (*Repository, error) {
	cfg.Policy = cfg.Policy.orDefault()
	f, err := openFiles(cfg.Dir, cfg.NoSync)
	if err != nil {
		return nil, err
	}
	c, err := newCache(ctx, f, cfg.Store, cfg.CacheSize)
	if err != nil {
		return nil, err
	}
	pictures := max(1, runtime.GOMAXPROCS(0)-1)
	return &Repository{
		cfg: cfg, files: f, cache: c,
		uploads: newLanes(userUploads, allUploads), fetches: newLanes(serverFetches, allFetches), reduces: newLanes(pictures, pictures),
		memory:  semaphore.NewWeighted(cfg.PictureMemory),
		running: flights{under: map[string]*flight{}}, arrived: arrivals{of: map[string]*arrival{}},
	}, nil
}

// Routes are the endpoints (Client-Server API, "Content repository"). The deprecated ones need no access token.
func (r *Repository) Routes() []api.Route {
	const client, old, upload = "/_matrix/client/v1/media/", "/_matrix/media/v3/", "/_matrix/media/v3/upload"
	const content = "/{serverName}/{mediaID}"
	routes := []api.Route{
		{Method: "POST", Pattern: upload, Raw: true, MaxBody: r.cfg.MaxUpload, Handle: r.upload},
		{Method: "POST", Pattern: "/_matrix/media/v1/create", Handle: r.create},
		{Method: "PUT", Pattern: upload + content, Raw: true, MaxBody: r.cfg.MaxUpload, Handle: r.fill},
		{Method: "GET", Pattern: client + "config", Handle: r.config},
		{Method: "GET", Pattern: old + "config", Handle: r.config},
		{Method: "DELETE", Pattern: "/_synapse/admin/v1/media" + content, Handle: r.removeContent},
	}
	for _, public := range []bool{false, true} {
		prefix, whole, small := client, r.give(door{public: public}), r.give(door{public: public, small: true})
		if public {
			prefix = old
		}
		routes = append(routes,
			api.Route{Method: "GET", Pattern: prefix + "download" + content, Open: public, Handle: whole},
			api.Route{Method: "GET", Pattern: prefix + "download" + content + "/{fileName}", Open: public, Handle: whole},
			api.Route{Method: "GET", Pattern: prefix + "thumbnail" + content, Open: public, Handle: small},
		)
	}
	return routes
}

func (r *Repository) config(context.Context, *api.Request) (api.Reply, error) {
	return api.JSON(map[string]int64{"m.upload.size": r.cfg.MaxUpload})
}

// Content implements messaging.Media.
func (r *Repository) Content(ctx context.Context, id ident.MediaID, wait time.Duration) (*messaging.MediaContent, error) {
	i, file, err := r.findOwn(ctx, id, wait)
	if err != nil {
		return nil, err
	}
	return i.content(file), nil
}

// Thumbnail implements messaging.Media.
func (r *Repository) Thumbnail(
	ctx context.Context, id ident.MediaID, want messaging.Thumbnail, wait time.Duration,
) (*messaging.MediaContent, error) {
	i, file, err := r.findOwn(ctx, id, wait)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if i, file, err = r.reduced(ctx, i, file, want); err != nil {
		return nil, err
	}
	return i.content(file), nil
}

// content is an item as other servers get it.
func (i item) content(file *os.File) *messaging.MediaContent {
	return &messaging.MediaContent{ReadCloser: file, Type: i.kind, Disposition: disposition(i.kind, i.name), Size: i.size}
}

// findOwn opens content of ours. What was not uploaded is waited for.
func (r *Repository) findOwn(ctx context.Context, id ident.MediaID, wait time.Duration) (item, *os.File, error) {
	came, stop := r.arrived.watch(string(id)) // before looking, or what comes between is missed
	defer stop()
	e, err := r.entry(ctx, id)
	if err == nil && e.digest == nil && wait > 0 {
		patience := time.NewTimer(wait)
		defer patience.Stop()
		select {
		case <-came:
		case <-patience.C:
		case <-ctx.Done():
			return item{}, nil, ctx.Err()
		}
		e, err = r.entry(ctx, id)
	}
	if err != nil {
		return item{}, nil, err
	}
	if e.digest == nil {
		return item{}, nil, messaging.ErrNotYetUploaded
	}
	file, err := r.files.open(own, e.digest)
	if errors.Is(err, fs.ErrNotExist) { // removed in this moment, or lost
		if _, err := r.entry(ctx, id); err != nil {
			return item{}, nil, err
		}
	}
	if err != nil {
		return item{}, nil, fmt.Errorf("open content: %w", err)
	}
	return e.item, file, nil
}

func (r *Repository) entry(ctx context.Context, id ident.MediaID) (e entry, err error) {
	err = r.cfg.Store.View(ctx, func(tx *persistence.Tx) error {
		var found bool
		var err error
		if e, found, err = readEntry(tx, id); err == nil && (!found || e.expired(time.Now())) {
			err = messaging.ErrNoMedia
		}
		return err
	})
	return e, err
}
