// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// What may be wrong with content, here or at another server.
var (
	// ErrNoMedia: there is no content under that id.
	ErrNoMedia = errors.New("no such content")
	// ErrNotYetUploaded: the id was given out, its content has not come in the time that was given. Ask again later.
	ErrNotYetUploaded = errors.New("the content has not been uploaded yet")
	// ErrMediaTooLarge: the content is larger than is allowed, or than a thumbnail can be made of.
	ErrMediaTooLarge = errors.New("the content is too large")
	// ErrNoThumbnail: of such content there are no thumbnails. The content itself may be had.
	ErrNoThumbnail = errors.New("no thumbnail can be made of the content")
	// ErrMediaBusy: too much of the kind is being done already. Ask again later.
	ErrMediaBusy = errors.New("too many requests for content at one time")
)

// Media is a homeserver's content repository, as far as other servers may use it: for content of our own (M-80). Its errors wrap those
// above; any other is a defect of ours. Content that has not been uploaded is waited for, as long as is asked.
type Media interface {
	Content(ctx context.Context, id ident.MediaID, wait time.Duration) (*MediaContent, error)
	Thumbnail(ctx context.Context, id ident.MediaID, want Thumbnail, wait time.Duration) (*MediaContent, error)
}

// MediaContent is content on its way. Who got it reads it, on one goroutine, and closes it.
type MediaContent struct {
	io.ReadCloser
	Type        string // media type as whoever uploaded it said; "" when that is not known
	Disposition string // Content-Disposition, with the name of the file; "" for none
	Size        int64  // -1 when it is not known
}

// Thumbnail is what is asked for of a picture. Width and Height are 1 at least.
type Thumbnail struct {
	Width, Height int
	Crop          bool // to the proportions of Width and Height; otherwise the picture keeps its own
	Animated      bool // an animation is welcome
}

// ParseThumbnail reads a request for a thumbnail (E-35, and the client's one). The error says what is wrong with it.
func ParseThumbnail(query url.Values) (Thumbnail, error) {
	var t Thumbnail
	for name, into := range map[string]*int{"width": &t.Width, "height": &t.Height} {
		n, err := strconv.ParseInt(query.Get(name), 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) || n < 1 {
			return Thumbnail{}, fmt.Errorf("%s: %.40q is not a number of 1 or more", name, query.Get(name))
		}
		*into = int(min(n, maxThumbnailSide))
	}
	switch method := query.Get("method"); method {
	case "", "scale":
	case "crop":
		t.Crop = true
	default:
		return Thumbnail{}, fmt.Errorf("method: %.40q is neither crop nor scale", method)
	}
	t.Animated = query.Get("animated") == "true"
	return t, nil
}

// ParseMediaWait reads timeout_ms: 20 s when it is not given, and at most most (M-84).
func ParseMediaWait(query url.Values, most time.Duration) (time.Duration, error) {
	text := query.Get("timeout_ms")
	if text == "" {
		return min(defaultMediaWait, most), nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("timeout_ms: %.40q is not a number of 0 or more", text)
	}
	return time.Duration(min(n, uint64(most.Milliseconds()))) * time.Millisecond, nil
}

// mediaRoutes are those of a homeserver with content (E-34, E-35).
func (s *Server) mediaRoutes() []transport.Route {
	if s.core.Media == nil {
		return nil
	}
	const media = "/_matrix/federation/v1/media/"
	return []transport.Route{
		{Method: http.MethodGet, Pattern: media + "download/:mediaID", Handle: s.serveMedia},
		{Method: http.MethodGet, Pattern: media + "thumbnail/:mediaID", Handle: s.serveThumbnail},
	}
}

func (s *Server) serveMedia(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	return s.openMedia(ctx, r, s.core.Media.Content)
}

func (s *Server) serveThumbnail(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	want, err := ParseThumbnail(r.Query)
	if err != nil {
		return transport.Reply{}, &transport.Error{Status: http.StatusBadRequest, Code: spec.ErrorUnknown, Message: err.Error()}
	}
	return s.openMedia(ctx, r, func(ctx context.Context, id ident.MediaID, wait time.Duration) (*MediaContent, error) {
		return s.core.Media.Thumbnail(ctx, id, want, wait)
	})
}

func (s *Server) openMedia(
	ctx context.Context, r *transport.Request, open func(context.Context, ident.MediaID, time.Duration) (*MediaContent, error),
) (transport.Reply, error) {
	id, err := ident.ParseMediaID(r.Params["mediaID"])
	if err != nil {
		return transport.Reply{}, notFound("no such content")
	}
	wait, err := ParseMediaWait(r.Query, maxPeerWait)
	if err != nil {
		return transport.Reply{}, invalidParam("%v", err)
	}
	if wait > 0 && !s.awaiting.enter(r.Origin) {
		wait = 0 // what waits keeps the origin's other requests waiting
	} else if wait > 0 {
		defer s.awaiting.leave(r.Origin)
	}
	content, err := open(ctx, id, wait)
	if err != nil {
		return transport.Reply{}, mediaRefusal(err)
	}
	context.AfterFunc(ctx, func() { _ = content.Close() }) // also if the reply is thrown away
	return mediaReply(content), nil
}

// mediaRefusal says to another server what is wrong with content of ours.
func mediaRefusal(err error) error {
	for _, known := range []struct {
		err    error
		status int
		code   spec.MatrixErrorCode
	}{
		{ErrNoMedia, http.StatusNotFound, spec.ErrorNotFound},
		{ErrNotYetUploaded, http.StatusGatewayTimeout, codeNotYetUploaded},
		{ErrMediaTooLarge, http.StatusRequestEntityTooLarge, transport.CodeTooLarge},
		{ErrNoThumbnail, http.StatusBadRequest, spec.ErrorUnknown},
		{ErrMediaBusy, http.StatusTooManyRequests, spec.ErrorLimitExceeded},
	} {
		if errors.Is(err, known.err) {
			return &transport.Error{Status: known.status, Code: known.code, Message: known.err.Error()}
		}
	}
	return err
}

// codeNotYetUploaded completes the error codes of package spec.
const codeNotYetUploaded spec.MatrixErrorCode = "M_NOT_YET_UPLOADED"

// mediaReply is content as other servers get it: metadata, of which there is none yet, and then the bytes (M-82). The last boundary is
// written after the last byte alone. The type comes before the disposition: Synapse 1.163 reads them in that order only.
func mediaReply(content *MediaContent) transport.Reply {
	boundary := rand.Text()
	head := "--" + boundary + "\r\nContent-Type: application/json\r\n\r\n{}\r\n--" + boundary +
		"\r\nContent-Type: " + headerValue(content.Type, "application/octet-stream") + "\r\n"
	if disposition := headerValue(content.Disposition, ""); disposition != "" {
		head += "Content-Disposition: " + disposition + "\r\n"
	}
	return transport.Reply{Type: "multipart/mixed; boundary=" + boundary, Stream: func(w io.Writer) error {
		defer content.Close()
		if _, err := io.WriteString(w, head+"\r\n"); err != nil {
			return err
		}
		n, err := io.Copy(w, content)
		if err == nil && content.Size >= 0 && n != content.Size {
			err = fmt.Errorf("content of %d bytes ends after %d", content.Size, n)
		}
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, "\r\n--"+boundary+"--\r\n")
		return err
	}}
}

// headerValue is a value that cannot be more than one header, or the other one.
func headerValue(value, otherwise string) string {
	isControl := func(r rune) bool { return r < ' ' || r == 0x7f }
	if value == "" || len(value) > maxMediaHeader || strings.ContainsFunc(value, isControl) {
		return otherwise
	}
	return value
}

// awaiting counts the requests of each server that wait for an upload: they hold places that the server's transactions need. mu guards
// all.
type awaiting struct {
	mu sync.Mutex
	of map[ident.ServerName]int
}

// enter reports whether one more may wait; then leave must follow.
func (a *awaiting) enter(origin ident.ServerName) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of[origin] >= maxPeerWaits {
		return false
	}
	a.of[origin]++
	return true
}

func (a *awaiting) leave(origin ident.ServerName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of[origin]--; a.of[origin] <= 0 {
		delete(a.of, origin)
	}
}
