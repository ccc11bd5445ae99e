// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// newID is an id that nobody can guess: who has it may see the content.
func newID() ident.MediaID { return ident.MediaID(rand.Text()) }

func (r *Repository) uri(id ident.MediaID) string {
	return "mxc://" + string(r.cfg.Self) + "/" + string(id)
}

// upload takes content and gives its id.
func (r *Repository) upload(ctx context.Context, q *api.Request) (api.Reply, error) {
	id := newID()
	err := r.receive(ctx, q, func(tx *persistence.Tx, content item) error {
		return insertEntry(tx, id, entry{item: content, user: q.User, created: time.Now()})
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]string{"content_uri": r.uri(id)})
}

// create gives an id whose content comes later.
func (r *Repository) create(ctx context.Context, q *api.Request) (api.Reply, error) {
	id, now := newID(), time.Now()
	err := r.cfg.Store.Update(ctx, func(tx *persistence.Tx) error {
		unused, err := countUnused(tx, q.User, now)
		if err != nil {
			return err
		}
		if unused >= maxUnused {
			return errBusy(fmt.Sprintf("%d ids that you were given have no content yet", unused))
		}
		return insertEntry(tx, id, entry{user: q.User, created: now})
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]any{"content_uri": r.uri(id), "unused_expires_at": now.Add(unusedTime).UnixMilli()})
}

// fill takes the content of an id that was given before.
func (r *Repository) fill(ctx context.Context, q *api.Request) (api.Reply, error) {
	id, err := ident.ParseMediaID(q.Param("mediaID"))
	if err != nil || q.Param("serverName") != string(r.cfg.Self) {
		return api.Reply{}, api.NotFound("that id was not given out here")
	}
	mayFill := func(tx *persistence.Tx) error {
		e, found, err := readEntry(tx, id)
		switch {
		case err != nil:
			return err
		case !found || e.expired(time.Now()):
			return api.NotFound("that id was not given out here, or too long ago")
		case e.user != q.User:
			return api.Forbidden("that id was given to somebody else")
		case e.digest != nil:
			return &api.Error{Status: http.StatusConflict, Code: "M_CANNOT_OVERWRITE_MEDIA", Message: "there is content under that id already"}
		}
		return nil
	}
	if err := r.cfg.Store.View(ctx, mayFill); err != nil {
		return api.Reply{}, err
	}
	err = r.receive(ctx, q, func(tx *persistence.Tx, content item) error {
		if err := mayFill(tx); err != nil { // it may have been filled meanwhile
			return err
		}
		return fillEntry(tx, id, content)
	})
	if err != nil {
		return api.Reply{}, err
	}
	r.arrived.announce(string(id))
	return api.Reply{}, nil
}

// receive takes the body of a request to the shelf; name stores the row that names it.
func (r *Repository) receive(ctx context.Context, q *api.Request, name func(*persistence.Tx, item) error) error {
	if r.cfg.UserQuota > 0 { // before the body is received
		if err := r.cfg.Store.View(ctx, func(tx *persistence.Tx) error { return r.afford(tx, q.User, 1) }); err != nil {
			return err
		}
	}
	leave, err := r.uploads.enter(ctx, string(q.User))
	if err != nil {
		return apiError(err)
	}
	defer leave()
	d, err := r.files.draft()
	if err != nil {
		return err
	}
	defer d.discard()
	content, err := r.copyBody(d, q)
	if err != nil {
		return err
	}
	err = r.shelve(ctx, d, &content, func(tx *persistence.Tx) error {
		if err := r.afford(tx, q.User, content.size); err != nil {
			return err
		}
		return name(tx, content)
	})
	if err != nil && content.digest != nil {
		err = errors.Join(err, r.sweep(context.WithoutCancel(ctx), content.digest))
	}
	return err
}

// afford refuses what would be more than a user may have here (CS "Content repository": 403 M_FORBIDDEN for "a quota").
func (r *Repository) afford(tx *persistence.Tx, user ident.UserID, size int64) error {
	if r.cfg.UserQuota == 0 {
		return nil
	}
	used, err := usedBy(tx, user)
	if err == nil && used+size > r.cfg.UserQuota {
		err = api.Forbidden("what you have uploaded takes %d bytes, of %d that a user may have here", used, r.cfg.UserQuota)
	}
	return err
}

// copyBody takes the body of a request to a draft.
func (r *Repository) copyBody(d *draft, q *api.Request) (item, error) {
	body := &sourced{from: q.Reader}
	if _, err := io.Copy(d, body); err != nil {
		if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
			return item{}, &api.Error{
				Status: http.StatusRequestEntityTooLarge, Code: "M_TOO_LARGE", Message: fmt.Sprintf("more than %d bytes", tooLong.Limit),
			}
		}
		if body.failed != nil {
			return item{}, &api.Error{Status: http.StatusBadRequest, Code: "M_UNKNOWN", Message: "the content did not come whole"}
		}
		return item{}, fmt.Errorf("store an upload: %w", err)
	}
	return item{
		size: d.size, kind: mediaType(q.Header.Get("Content-Type")), name: fileName(q.Query.Get("filename")), open: r.cfg.Unfrozen,
	}, nil
}

// sourced tells the faults of a source from those of where it is copied to.
type sourced struct {
	from   io.Reader
	failed error
}

// Read implements io.Reader.
func (s *sourced) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if err != nil && err != io.EOF {
		s.failed = err
	}
	return n, err
}

func errBusy(message string) *api.Error {
	return &api.Error{Status: http.StatusTooManyRequests, Code: "M_LIMIT_EXCEEDED", Message: message, RetryAfter: time.Minute}
}

// apiError says to a client what is wrong with content.
func apiError(err error) error {
	switch {
	case errors.Is(err, messaging.ErrNoMedia):
		return api.NotFound("no such content")
	case errors.Is(err, messaging.ErrNotYetUploaded):
		return &api.Error{Status: http.StatusGatewayTimeout, Code: "M_NOT_YET_UPLOADED", Message: messaging.ErrNotYetUploaded.Error()}
	case errors.Is(err, errUnreachable) && errors.Is(err, messaging.ErrMediaTooLarge):
		return &api.Error{Status: http.StatusBadGateway, Code: "M_TOO_LARGE", Message: "the content is larger than is fetched from other servers"}
	case errors.Is(err, messaging.ErrMediaTooLarge):
		return &api.Error{Status: http.StatusRequestEntityTooLarge, Code: "M_TOO_LARGE", Message: messaging.ErrMediaTooLarge.Error()}
	case errors.Is(err, messaging.ErrNoThumbnail):
		return &api.Error{Status: http.StatusBadRequest, Code: "M_UNKNOWN", Message: messaging.ErrNoThumbnail.Error()}
	case errors.Is(err, messaging.ErrMediaBusy):
		return errBusy(messaging.ErrMediaBusy.Error())
	case errors.Is(err, errUnreachable):
		return &api.Error{Status: http.StatusBadGateway, Code: "M_UNKNOWN", Message: "the server that has the content does not give it"}
	}
	return err
}
