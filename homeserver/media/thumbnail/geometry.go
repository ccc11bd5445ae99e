// SPDX-License-Identifier: Apache-2.0

package thumbnail

import "image"

// Want is the size that is asked for; sides are 1 at least.
type Want struct {
	Width, Height int
	Crop          bool // to the proportions asked for; otherwise the whole picture is kept
}

// plan tells which part of a picture of some size is reduced to which size (M-85). The part is in the middle.
func plan(size image.Point, want Want) (part image.Rectangle, to image.Point) {
	whole := image.Rectangle{Max: size}
	// The picture is reduced until one more step would leave one side smaller than asked: by the side that is the scarcer.
	w, h, sw, sh := int64(want.Width), int64(want.Height), int64(size.X), int64(size.Y)
	byWidth := w*sh >= h*sw
	if byWidth && w >= sw || !byWidth && h >= sh { // there is nothing to reduce
		if !want.Crop {
			return whole, size
		}
		to = image.Pt(int(min(w, sw)), int(min(h, sh)))
		return middle(size, to), to
	}
	switch {
	case want.Crop && byWidth:
		return middle(size, image.Pt(size.X, atLeast(h*sw/w, want.Height))), image.Pt(want.Width, want.Height)
	case want.Crop:
		return middle(size, image.Pt(atLeast(w*sh/h, want.Width), size.Y)), image.Pt(want.Width, want.Height)
	case byWidth:
		return whole, image.Pt(want.Width, int((sh*w+sw-1)/sw))
	default:
		return whole, image.Pt(int((sw*h+sh-1)/sh), want.Height)
	}
}

func atLeast(n int64, least int) int { return max(int(n), least) }

// middle is the part of a size in the middle of a picture.
func middle(size, part image.Point) image.Rectangle {
	corner := size.Sub(part).Div(2)
	return image.Rectangle{Min: corner, Max: corner.Add(part)}
}
