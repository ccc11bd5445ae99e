// SPDX-License-Identifier: Apache-2.0

package thumbnail

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

var (
	// ErrUnknown: it is no picture of a kind that is read here, or a broken one.
	ErrUnknown = errors.New("not a picture that can be reduced")
	// ErrTooLarge: the picture has more pixels than are ever decoded.
	ErrTooLarge = errors.New("the picture has too many pixels")
)

const (
	// maxSide is that of JPEG; other kinds could have more.
	maxSide = 65_535
	// maxHead is how much of a JPEG file is looked at for how it stands: the Exif segment, of at most 64 KiB, comes among the first.
	maxHead = 256 << 10
	// quality is that of JPEG thumbnails, of 100.
	quality = 80
	// perMade is how many bytes a pixel of a thumbnail takes: four channels, and once more where it is turned.
	perMade = 8
)

// format is a kind of picture.
type format struct {
	name   string
	magic  string // "?" is any byte
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

var formats = []format{
	{"jpeg", "\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode},
	{"png", "\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode},
	{"gif", "GIF8?a", gif.DecodeConfig, gif.Decode},
	{"webp", "RIFF????WEBPVP8", webp.DecodeConfig, webp.Decode},
}

func (f format) matches(head []byte) bool {
	if len(head) < len(f.magic) {
		return false
	}
	for i := range len(f.magic) {
		if f.magic[i] != '?' && f.magic[i] != head[i] {
			return false
		}
	}
	return true
}

// Picture is what is known of a picture before it is decoded.
type Picture struct {
	// Memory is about how many bytes Make takes at the most.
	Memory int64

	format format
	size   image.Point // as it is stored
	turn   orientation
	want   Want // of what is stored
}

// Inspect reads the beginning of a file, of which a thumbnail is wanted. most is how much memory there is for any.
func Inspect(file io.Reader, want Want, most int64) (Picture, error) {
	source := bufio.NewReaderSize(file, maxHead)
	head, err := source.Peek(maxHead)
	if err != nil && err != io.EOF {
		return Picture{}, err
	}
	p := Picture{turn: 1, want: want}
	for _, f := range formats {
		if f.matches(head) {
			p.format = f
		}
	}
	if p.format.name == "" {
		return Picture{}, ErrUnknown
	}
	config, err := p.format.config(source)
	if err != nil {
		return Picture{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if config.Width < 1 || config.Height < 1 {
		return Picture{}, fmt.Errorf("%w: %d × %d pixels", ErrUnknown, config.Width, config.Height)
	}
	if config.Width > maxSide || config.Height > maxSide {
		return Picture{}, fmt.Errorf("%w: %d × %d", ErrTooLarge, config.Width, config.Height)
	}
	p.size = image.Pt(config.Width, config.Height)
	marks := jpegMarks{orientation: 1}
	if p.format.name == "jpeg" {
		marks = readMarks(head)
		p.turn = marks.orientation
	}
	if p.turn.sideways() {
		p.want.Width, p.want.Height = want.Height, want.Width
	}
	_, small := plan(p.size, p.want)
	p.Memory = int64(config.Width)*int64(config.Height)*p.format.perPixel(config.ColorModel, marks) + int64(small.X)*int64(small.Y)*perMade
	if p.Memory > most {
		return Picture{}, fmt.Errorf("%w: %d × %d", ErrTooLarge, config.Width, config.Height)
	}
	return p, nil
}

// perPixel is how many bytes decoding takes for a pixel, at most. It follows from how the decoders work: TestMemory measures it.
func (f format) perPixel(model color.Model, marks jpegMarks) int64 {
	switch {
	case f.name == "jpeg" && marks.baseline:
		return 8 // three or four components, and those of four are put together anew
	case f.name == "jpeg":
		return 24 // and a coefficient of four bytes for each sample
	case f.name == "webp":
		return 16 // four channels, once more while they are predicted
	case model == color.RGBA64Model, model == color.NRGBA64Model:
		return 16 // eight bytes, of which an interlaced picture has the parts and the whole
	case model == color.Gray16Model:
		return 4
	}
	if _, isPalette := model.(color.Palette); isPalette {
		return 2
	}
	return 8
}

// Make writes the thumbnail of the picture, of which file is the whole, and gives its media type.
func (p Picture) Make(to io.Writer, file io.Reader) (kind string, err error) {
	decoded, err := p.format.decode(file)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	size := decoded.Bounds().Size()
	if size.X < 1 || size.Y < 1 || size.X > p.size.X || size.Y > p.size.Y { // the first picture of an animation may be smaller
		return "", fmt.Errorf("%w: %v pixels where %v were told", ErrUnknown, size, p.size)
	}
	part, reduced := plan(size, p.want)
	small := upright(reduce(decoded, part, reduced), p.turn)
	if p.format.name == "jpeg" || p.format.name == "webp" && small.Opaque() {
		return "image/jpeg", jpeg.Encode(to, small, &jpeg.Options{Quality: quality})
	}
	return "image/png", png.Encode(to, small)
}
