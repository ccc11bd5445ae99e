// SPDX-License-Identifier: Apache-2.0

package thumbnail

import (
	"bytes"
	"encoding/binary"
	"image"
)

// orientation is how a picture is to be turned to stand upright, as Exif counts: 1 is upright, 2 mirrored, 3 upside down, 4 both, 5 to 8
// the same lying on a side.
type orientation int

// sideways tells whether width and height change places.
func (o orientation) sideways() bool { return o >= 5 }

// jpegMarks are what stands in front of the picture in a JPEG file.
type jpegMarks struct {
	orientation orientation
	baseline    bool // decoded as it comes; otherwise every coefficient is kept until the end
}

// readMarks walks over the segments at the beginning of a JPEG file (ITU T.81 B.1.1). What it does not find counts as not there.
func readMarks(head []byte) jpegMarks {
	marks := jpegMarks{orientation: 1}
	if !bytes.HasPrefix(head, []byte{0xff, 0xd8}) {
		return marks
	}
	for rest := head[2:]; len(rest) >= 4 && rest[0] == 0xff; {
		const app1, startOfScan, baseline, extended, progressive = 0xe1, 0xda, 0xc0, 0xc1, 0xc2
		length := int(binary.BigEndian.Uint16(rest[2:]))
		if length < 2 || 2+length > len(rest) {
			return marks
		}
		switch segment := rest[4 : 2+length]; rest[1] {
		case app1:
			if found := exifOrientation(segment); found != 0 {
				marks.orientation = found
			}
		case baseline, extended:
			marks.baseline = true
			return marks
		case progressive, startOfScan:
			return marks
		}
		rest = rest[2+length:]
	}
	return marks
}

// exifOrientation finds tag 0x0112 in the first directory of an Exif segment (Exif 2.3, 4.6.2), 0 for none.
func exifOrientation(segment []byte) orientation {
	tiff, ok := bytes.CutPrefix(segment, []byte("Exif\x00\x00"))
	if !ok || len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
	}
	at := order.Uint32(tiff[4:])
	if uint64(at)+2 > uint64(len(tiff)) {
		return 0
	}
	entries := int(order.Uint16(tiff[at:]))
	for list := tiff[at+2:]; entries > 0 && len(list) >= 12; list, entries = list[12:], entries-1 {
		const tag, short = 0x0112, 3
		if order.Uint16(list) == tag && order.Uint16(list[2:]) == short {
			if value := order.Uint16(list[8:]); 1 <= value && value <= 8 {
				return orientation(value)
			}
		}
	}
	return 0
}

// upright turns a picture.
func upright(from *image.RGBA, o orientation) *image.RGBA {
	if o <= 1 {
		return from
	}
	size := from.Rect.Size()
	turned := size
	if o.sideways() {
		turned = image.Pt(size.Y, size.X)
	}
	made := image.NewRGBA(image.Rectangle{Max: turned})
	for y := range turned.Y {
		for x := range turned.X {
			at := o.source(x, y, size)
			copy(made.Pix[made.PixOffset(x, y):][:4], from.Pix[from.PixOffset(at.X, at.Y):][:4])
		}
	}
	return made
}

// source is where the pixel that belongs at x, y stands in a picture of some size that is not upright.
func (o orientation) source(x, y int, size image.Point) image.Point {
	if o.sideways() {
		x, y = y, x
	}
	switch o {
	case 2, 8:
		x = size.X - 1 - x
	case 3, 7:
		x, y = size.X-1-x, size.Y-1-y
	case 4, 6:
		y = size.Y - 1 - y
	}
	return image.Pt(x, y)
}
