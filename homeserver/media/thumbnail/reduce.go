// SPDX-License-Identifier: Apache-2.0

package thumbnail

import (
	"image"
	"image/draw"
)

// reduce gives a part of a picture in a size that is on neither side larger. Each pixel is the exact mean of the area that it covers: along
// a side of n pixels that becomes one of m, pixel i is the stretch [i·m, (i+1)·m) and the new pixel j is [j·n, (j+1)·n).
func reduce(from image.Image, part image.Rectangle, to image.Point) *image.RGBA {
	part = part.Add(from.Bounds().Min)
	size := part.Size()
	made := image.NewRGBA(image.Rectangle{Max: to})
	line := image.NewRGBA(image.Rect(0, 0, size.X, 1))
	narrow, sum := make([]uint64, 4*to.X), make([]uint64, 4*to.X)
	area := uint64(size.X) * uint64(size.Y)
	row := 0
	for y := range size.Y {
		draw.Draw(line, line.Rect, from, image.Pt(part.Min.X, part.Min.Y+y), draw.Src)
		narrowed(narrow, line.Pix, size.X, to.X)
		begin, end := y*to.Y, (y+1)*to.Y
		for edge := (row + 1) * size.Y; end >= edge; edge = (row + 1) * size.Y { // this line completes the row
			add(sum, narrow, uint64(edge-begin))
			emit(made.Pix[row*made.Stride:], sum, area)
			begin = edge
			row++
		}
		add(sum, narrow, uint64(end-begin))
	}
	return made
}

// narrowed sums the pixels of a line of n into m, weighted by how much of each lies in the new one.
func narrowed(into []uint64, line []uint8, n, m int) {
	clear(into)
	column := 0
	for x := range n {
		begin, end := x*m, (x+1)*m
		pixel := line[4*x : 4*x+4 : 4*x+4]
		for edge := (column + 1) * n; end > edge; edge = (column + 1) * n {
			mix(into[4*column:4*column+4:4*column+4], pixel, uint64(edge-begin))
			begin = edge
			column++
		}
		mix(into[4*column:4*column+4:4*column+4], pixel, uint64(end-begin))
	}
}

func mix(into []uint64, pixel []uint8, weight uint64) {
	for c, v := range pixel {
		into[c] += weight * uint64(v)
	}
}

func add(sum, line []uint64, weight uint64) {
	for i, v := range line {
		sum[i] += weight * v
	}
}

// emit writes a row of means and begins anew.
func emit(row []uint8, sum []uint64, area uint64) {
	for i, v := range sum {
		row[i] = uint8((v + area/2) / area)
	}
	clear(sum)
}
