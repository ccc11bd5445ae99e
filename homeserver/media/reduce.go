// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/strata-matrix/strata/homeserver/media/thumbnail"
	"github.com/strata-matrix/strata/messaging"
)

// reduced opens a thumbnail of a picture, from the cache if it is there. The file stays its caller's.
func (r *Repository) reduced(ctx context.Context, i item, file *os.File, want messaging.Thumbnail) (item, *os.File, error) {
	size := thumbnail.Want{Width: want.Width, Height: want.Height, Crop: want.Crop}
	key := fmt.Sprintf("%s%d/%d/%t", thumbnailsOf(i.digest), size.Width, size.Height, size.Crop)
	return r.cachedOr(ctx, key, func() (item, *os.File, error) {
		leave, err := r.reduces.enter(ctx, "")
		if err != nil {
			return item{}, nil, err
		}
		defer leave()
		d, err := r.files.draft()
		if err != nil {
			return item{}, nil, err
		}
		defer d.discard()
		kind, err := r.reduce(ctx, d, file, size)
		if err != nil {
			return item{}, nil, pictureError(err)
		}
		return r.cache.put(ctx, key, d, item{kind: kind, name: thumbnailName(kind), open: true})
	})
}

// reduce decodes a picture when there is memory for it.
func (r *Repository) reduce(ctx context.Context, to io.Writer, file *os.File, size thumbnail.Want) (kind string, err error) {
	picture, err := thumbnail.Inspect(file, size, r.cfg.PictureMemory)
	if err != nil {
		return "", err
	}
	if err := r.memory.Acquire(ctx, picture.Memory); err != nil {
		return "", err
	}
	defer r.memory.Release(picture.Memory)
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, pictureTime)
	defer cancel()
	return picture.Make(to, hurried{ctx, file})
}

// pictureError says what is wrong with a picture in messaging's words.
func pictureError(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, thumbnail.ErrTooLarge), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", messaging.ErrMediaTooLarge, err)
	case errors.Is(err, thumbnail.ErrUnknown):
		return fmt.Errorf("%w: %w", messaging.ErrNoThumbnail, err)
	}
	return err
}

// hurried is a file that ends with an error when the time is over: decoders read as they go, and stop there.
type hurried struct {
	ctx  context.Context
	file io.Reader
}

// Read implements io.Reader.
func (h hurried) Read(p []byte) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	return h.file.Read(p)
}

func thumbnailName(kind string) string {
	if kind == "image/png" {
		return "thumbnail.png"
	}
	return "thumbnail.jpg"
}
