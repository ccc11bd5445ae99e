// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// MediaOptions bound a download from another server. The zero value has the limits that are told.
type MediaOptions struct {
	// MaxSize is how many bytes the content may have, 100 MiB when zero. Reading fails with ErrMediaTooLarge where there is one more.
	MaxSize int64
	// Wait is how long the other server shall wait for what has not been uploaded yet; it may choose less. Zero is not at all.
	Wait time.Duration
	// Timeout is for all of it, 5 minutes when zero.
	Timeout time.Duration
}

// DownloadMedia opens content of another server: over the federation, or, of a server that does not know that way, over the one that
// was before (M-81). It must be read soon and closed. The error wraps ErrNoMedia and its like where the server said so.
func (s *Server) DownloadMedia(ctx context.Context, server ident.ServerName, id ident.MediaID, o MediaOptions) (*MediaContent, error) {
	return s.download(ctx, mediaQuestion{"download", server, id, url.Values{}}, o)
}

// DownloadThumbnail is DownloadMedia for a thumbnail, made by the server that has the content.
func (s *Server) DownloadThumbnail(
	ctx context.Context, server ident.ServerName, id ident.MediaID, want Thumbnail, o MediaOptions,
) (*MediaContent, error) {
	method := "scale"
	if want.Crop {
		method = "crop"
	}
	return s.download(ctx, mediaQuestion{"thumbnail", server, id, url.Values{
		"width": {strconv.Itoa(want.Width)}, "height": {strconv.Itoa(want.Height)}, "method": {method},
		"animated": {strconv.FormatBool(want.Animated)},
	}}, o)
}

// mediaQuestion is what is asked of another server.
type mediaQuestion struct {
	what   string // download or thumbnail
	server ident.ServerName
	id     ident.MediaID
	query  url.Values
}

func (s *Server) download(ctx context.Context, q mediaQuestion, o MediaOptions) (*MediaContent, error) {
	if _, err := ident.ParseServerName(string(q.server)); err != nil {
		return nil, err
	}
	if _, err := ident.ParseMediaID(string(q.id)); err != nil { // it becomes part of a path (M-83)
		return nil, err
	}
	if o.MaxSize <= 0 {
		o.MaxSize = defaultMaxMedia
	}
	if o.Timeout <= 0 {
		o.Timeout = mediaTimeout
	}
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	leave := sync.OnceFunc(done)
	content, err := s.ask(ctx, q, o)
	if err != nil {
		leave()
		return nil, fmt.Errorf("%s mxc://%s/%s: %w", q.what, q.server, q.id, err)
	}
	context.AfterFunc(ctx, leave) // the server does not wait for readers when it ends
	content.ReadCloser = &bounded{ReadCloser: content.ReadCloser, left: o.MaxSize, leave: leave}
	return content, nil
}

// ask opens the content, whose size is not bounded yet.
func (s *Server) ask(ctx context.Context, q mediaQuestion, o MediaOptions) (*MediaContent, error) {
	q.query.Set("timeout_ms", strconv.FormatInt(o.Wait.Milliseconds(), 10))
	call := transport.Call{
		Method: http.MethodGet, Path: transport.Path("_matrix", "federation", "v1", "media", q.what, string(q.id)), Query: q.query,
		MaxReply: o.MaxSize + 3*maxPartsHead, Timeout: o.Timeout,
	}
	stream, err := s.client.Open(ctx, q.server, call)
	if err == nil {
		return s.fromParts(ctx, stream, o)
	}
	if failure := (*transport.Failure)(nil); !errors.As(err, &failure) || failure.Status != http.StatusNotFound || failure.Code != spec.ErrorUnrecognized {
		return nil, mediaFailure(err)
	}
	q.query.Set("allow_remote", "false")
	call.Path = transport.Path("_matrix", "media", "v3", q.what, string(q.server), string(q.id))
	call.Unsigned = true
	if stream, err = s.client.Open(ctx, q.server, call); err != nil {
		return nil, mediaFailure(err)
	}
	return fromStream(stream, o)
}

// fromParts finds the content in a reply of the federation, or where it points to.
func (s *Server) fromParts(ctx context.Context, stream *transport.Stream, o MediaOptions) (*MediaContent, error) {
	parts, err := readMediaParts(stream.Header.Get("Content-Type"), stream, o.MaxSize)
	if err != nil {
		_ = stream.Close() // the first error tells more
		return nil, err
	}
	header := parts.header()
	location := header.Get("Location")
	if location == "" {
		return &MediaContent{
			ReadCloser: struct {
				io.Reader
				io.Closer
			}{parts, stream},
			Type: headerValue(header.Get("Content-Type"), ""), Disposition: headerValue(header.Get("Content-Disposition"), ""), Size: -1,
		}, nil
	}
	_ = stream.Close() // there is no more in it
	if stream, err = s.client.Fetch(ctx, location, o.MaxSize+1, o.Timeout); err != nil {
		return nil, err
	}
	content, err := fromStream(stream, o)
	if err == nil && content.Disposition == "" {
		content.Disposition = headerValue(header.Get("Content-Disposition"), "")
	}
	return content, err
}

// fromStream takes a reply for the content itself.
func fromStream(stream *transport.Stream, o MediaOptions) (*MediaContent, error) {
	size, err := strconv.ParseInt(stream.Header.Get("Content-Length"), 10, 64)
	if err != nil || size < 0 {
		size = -1
	}
	if size > o.MaxSize {
		_ = stream.Close() // nothing of it is wanted
		return nil, fmt.Errorf("%w: %d bytes", ErrMediaTooLarge, size)
	}
	return &MediaContent{
		ReadCloser: stream, Type: headerValue(stream.Header.Get("Content-Type"), ""),
		Disposition: headerValue(stream.Header.Get("Content-Disposition"), ""), Size: size,
	}, nil
}

// mediaFailure says what another server meant by a refusal.
func mediaFailure(err error) error {
	failure := (*transport.Failure)(nil)
	if !errors.As(err, &failure) {
		return err
	}
	switch {
	case failure.Code == codeNotYetUploaded:
		return fmt.Errorf("%w: %w", ErrNotYetUploaded, err)
	case failure.Code == transport.CodeTooLarge:
		return fmt.Errorf("%w: %w", ErrMediaTooLarge, err)
	case failure.Status == http.StatusNotFound && failure.Code != "":
		return fmt.Errorf("%w: %w", ErrNoMedia, err)
	case failure.Status == http.StatusBadRequest && failure.Code != "":
		return fmt.Errorf("%w: %w", ErrNoThumbnail, err)
	}
	return err
}

// bounded is content that may have so many bytes. Closing it ends the call.
type bounded struct {
	io.ReadCloser
	left  int64
	leave func()
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrMediaTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return n - 1, ErrMediaTooLarge
	}
	return n, err
}

// Close implements io.Closer.
func (b *bounded) Close() error {
	defer b.leave()
	return b.ReadCloser.Close()
}
