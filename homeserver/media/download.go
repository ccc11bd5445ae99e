// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transport/ident"
)

// asked is what a client asks for.
type asked struct {
	server    ident.ServerName
	id        ident.MediaID
	wait      time.Duration
	elsewhere bool                 // other servers may be asked
	public    bool                 // nobody has said who asks
	small     *messaging.Thumbnail // nil for the content itself
	name      string               // of the file, in place of its own
}

// door is one way to content.
type door struct {
	public bool // for everybody, without an access token
	small  bool // to thumbnails
}

// give answers with content, or a thumbnail.
func (r *Repository) give(d door) func(context.Context, *api.Request) (api.Reply, error) {
	return func(ctx context.Context, q *api.Request) (api.Reply, error) {
		a, err := d.ask(q)
		if err != nil {
			return api.Reply{}, err
		}
		i, file, err := r.find(ctx, a)
		if err == nil && a.small != nil {
			defer file.Close()
			i, file, err = r.reduced(ctx, i, file, *a.small)
		}
		if err != nil {
			return api.Reply{}, apiError(err)
		}
		i.name = cmp.Or(a.name, i.name)
		context.AfterFunc(ctx, func() { _ = file.Close() }) // also if nobody takes the answer
		return d.reply(i, file), nil
	}
}

// ask reads a request.
func (d door) ask(q *api.Request) (a asked, err error) {
	a = asked{name: fileName(q.Param("fileName")), public: d.public, elsewhere: q.Query.Get("allow_remote") != "false"}
	if a.server, err = ident.ParseServerName(q.Param("serverName")); err != nil {
		return a, api.NotFound("%v", err)
	}
	if a.id, err = ident.ParseMediaID(q.Param("mediaID")); err != nil {
		return a, api.NotFound("%v", err)
	}
	if a.wait, err = messaging.ParseMediaWait(q.Query, maxWait); err != nil {
		return a, api.InvalidParam("%v", err)
	}
	if d.small {
		small, err := messaging.ParseThumbnail(q.Query)
		if err != nil {
			return a, &api.Error{Status: http.StatusBadRequest, Code: "M_UNKNOWN", Message: err.Error()}
		}
		a.small = &small
	}
	return a, nil
}

// find opens the content that is asked for.
func (r *Repository) find(ctx context.Context, a asked) (i item, file *os.File, err error) {
	switch {
	case a.server == r.cfg.Self:
		i, file, err = r.findOwn(ctx, a.id, a.wait)
	case a.elsewhere && (!a.public || r.cfg.Unfrozen):
		i, file, err = r.fetch(ctx, a.server, a.id, a.wait)
	default:
		i, file, err = r.cache.get(ctx, remoteKey(a.server, a.id))
	}
	if err == nil && (file == nil || a.public && !i.open) {
		err = messaging.ErrNoMedia
		if file != nil {
			_ = file.Close() // it is not for everybody
		}
	}
	return i, file, err
}

// reply is content as clients get it. Whatever it is, a browser shall not run it as a part of this site (Client-Server API, "Content
// repository", security considerations).
func (d door) reply(i item, file *os.File) api.Reply {
	age := "private, max-age=86400, immutable"
	if d.public {
		age = "public, max-age=86400, immutable"
	}
	return api.Reply{
		Header: http.Header{
			"Content-Type":                 {i.kind},
			"Content-Length":               {strconv.FormatInt(i.size, 10)},
			"Content-Disposition":          {disposition(i.kind, i.name)},
			"Content-Security-Policy":      {"sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';"},
			"Cross-Origin-Resource-Policy": {"cross-origin"},
			"X-Content-Type-Options":       {"nosniff"},
			"Cache-Control":                {age},
		},
		Stream: func(w io.Writer) error {
			defer file.Close()
			n, err := io.Copy(w, file)
			if err == nil && n != i.size {
				err = io.ErrUnexpectedEOF
			}
			return err
		},
	}
}
