// SPDX-License-Identifier: Apache-2.0

package thumbnail

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const ample = 1 << 30

// The files of testdata were made with Pillow 13: thirds in red, green and blue, their upper half bright, their lower half dark.
func read(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// made is the thumbnail of a file, decoded, with its media type.
func made(t testing.TB, file []byte, want Want) (image.Image, string) {
	t.Helper()
	p, err := Inspect(bytes.NewReader(file), want, ample)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	kind, err := p.Make(&out, bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	decode := map[string]func([]byte) (image.Image, error){
		"image/png":  func(b []byte) (image.Image, error) { return png.Decode(bytes.NewReader(b)) },
		"image/jpeg": func(b []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(b)) },
	}[kind]
	small, err := decode(out.Bytes())
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	return small, kind
}

// Every kind of picture, and one that lies on its side, shows its thirds where they are.
func TestMake(t *testing.T) {
	for name, kind := range map[string]string{
		"progressive.jpg": "image/jpeg", "onside.jpg": "image/jpeg", "cmyk.jpg": "image/jpeg", "lossy.webp": "image/jpeg",
		"alpha.webp": "image/png", "alpha.png": "image/png", "animated.gif": "image/png",
	} {
		small, got := made(t, read(t, name), Want{Width: 12, Height: 8})
		if got != kind || small.Bounds() != image.Rect(0, 0, 12, 8) {
			t.Errorf("%s: %s of %v, want %s of 12 × 8", name, got, small.Bounds(), kind)
			continue
		}
		for third := range 3 {
			for half, least := range []uint8{190, 90} {
				c, _ := color.NRGBAModel.Convert(small.At(4*third+2, 4*half+2)).(color.NRGBA)
				levels := []uint8{c.R, c.G, c.B}
				if v := levels[third]; v < least || levels[(third+1)%3] > 70 || levels[(third+2)%3] > 70 {
					t.Errorf("%s: third %d, half %d is %v", name, third, half, c)
				}
			}
		}
	}
}

// M-85: never larger than the picture; no side smaller than asked unless the picture's is; the proportions those of the picture or, cropped,
// those asked for.
func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		w, h int
		want Want
		part string
		to   string
	}{
		{4000, 3000, Want{800, 600, false}, "(0,0)-(4000,3000)", "(800,600)"},
		{3000, 4000, Want{800, 600, false}, "(0,0)-(3000,4000)", "(800,1067)"},
		{1000, 10, Want{100, 100, false}, "(0,0)-(1000,10)", "(1000,10)"},
		{1000, 101, Want{100, 100, false}, "(0,0)-(1000,101)", "(991,100)"},
		{10, 10, Want{100, 100, false}, "(0,0)-(10,10)", "(10,10)"},
		{10, 200, Want{100, 100, false}, "(0,0)-(10,200)", "(10,200)"},
		{640, 480, Want{640, 480, false}, "(0,0)-(640,480)", "(640,480)"},
		{4000, 3000, Want{96, 96, true}, "(500,0)-(3500,3000)", "(96,96)"},
		{3000, 4000, Want{96, 96, true}, "(0,500)-(3000,3500)", "(96,96)"},
		{3000, 4000, Want{100, 50, true}, "(0,1250)-(3000,2750)", "(100,50)"},
		{50, 200, Want{100, 100, true}, "(0,50)-(50,150)", "(50,100)"},
		{50, 60, Want{100, 100, true}, "(0,0)-(50,60)", "(50,60)"},
		{100, 101, Want{100, 100, true}, "(0,0)-(100,100)", "(100,100)"},
		{65535, 65535, Want{1, 65536, true}, "(32767,0)-(32768,65535)", "(1,65535)"},
	} {
		part, to := plan(image.Pt(tt.w, tt.h), tt.want)
		if part.String() != tt.part || to.String() != tt.to {
			t.Errorf("%d × %d as %v: %v to %v, want %s to %s", tt.w, tt.h, tt.want, part, to, tt.part, tt.to)
		}
	}
}

func TestPlanKeepsTheRules(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	side := func() int { return 1 + random.IntN(1<<random.IntN(16)) }
	for range 100_000 {
		size, want := image.Pt(side(), side()), Want{side(), side(), random.IntN(2) == 0}
		part, to := plan(size, want)
		switch {
		case !part.In(image.Rectangle{Max: size}) || part.Empty():
			t.Fatalf("%v as %+v: part %v", size, want, part)
		case to.X > part.Dx() || to.Y > part.Dy():
			t.Fatalf("%v as %+v: %v is larger than %v", size, want, to, part)
		case to.X < min(want.Width, size.X) || to.Y < min(want.Height, size.Y):
			t.Fatalf("%v as %+v: %v is smaller than asked", size, want, to)
		case want.Crop && (to.X > want.Width || to.Y > want.Height):
			t.Fatalf("%v as %+v: %v is larger than asked", size, want, to)
		}
	}
}

// reduce is held against the mean over the area, computed point by point: where sides are multiples of n and m, each pixel is cut into
// n·m equal pieces.
func TestReduce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		w, h := 1+random.IntN(12), 1+random.IntN(12)
		to := image.Pt(1+random.IntN(w), 1+random.IntN(h))
		from := image.NewRGBA(image.Rect(3, 5, 3+w, 5+h))
		for i := range from.Pix {
			from.Pix[i] = uint8(random.IntN(256))
		}
		got := reduce(from, image.Rect(0, 0, w, h), to)
		for y := range to.Y {
			for x := range to.X {
				for c := range 4 {
					sum := 0
					for i := range w { // w·h pieces of 1/to.X by 1/to.Y of a pixel each
						for j := range h {
							sum += int(from.Pix[from.PixOffset(3+(x*w+i)/to.X, 5+(y*h+j)/to.Y)+c])
						}
					}
					want := uint8((2*sum + w*h) / (2 * w * h))
					if v := got.Pix[got.PixOffset(x, y)+c]; v != want {
						t.Fatalf("%d × %d to %v: pixel %d, %d, channel %d is %d, want %d", w, h, to, x, y, c, v, want)
					}
				}
			}
		}
	}
}

// The orientations as Exif 2.3, 4.6.4 tells them: where the 0th row and the 0th column of what is stored belong. The picture is
//
//	1 2
//	3 4
//	5 6
func TestUpright(t *testing.T) {
	stored := map[orientation]string{
		1: "12/34/56", 2: "21/43/65", 3: "65/43/21", 4: "56/34/12", 5: "135/246", 6: "246/135", 7: "642/531", 8: "531/642",
	}
	for o, rows := range stored {
		lines := strings.Split(rows, "/")
		from := image.NewRGBA(image.Rect(0, 0, len(lines[0]), len(lines)))
		for y, line := range lines {
			for x := range line {
				from.SetRGBA(x, y, color.RGBA{line[x], 0, 0, 255})
			}
		}
		got := ""
		turned := upright(from, o)
		for y := range turned.Rect.Dy() {
			for x := range turned.Rect.Dx() {
				got += string(rune(turned.RGBAAt(x, y).R))
			}
			got += "/"
		}
		if got != "12/34/56/" {
			t.Errorf("orientation %d: %s", o, got)
		}
	}
}

// What decoding really takes is within what was told before.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector takes half a minute for millions of pixels, of one goroutine")
	}
	var gray16, gif8, baseline bytes.Buffer
	deep := image.NewGray16(image.Rect(0, 0, 1024, 1024))
	flat := image.NewPaletted(deep.Rect, color.Palette{color.Black, color.White})
	for _, err := range []error{png.Encode(&gray16, deep), gif.Encode(&gif8, flat, nil), jpeg.Encode(&baseline, deep, nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	files := map[string][]byte{"gray16.png": gray16.Bytes(), "flat.gif": gif8.Bytes(), "baseline.jpg": baseline.Bytes()}
	for _, name := range []string{"large-progressive.jpg", "large-progressive-cmyk.jpg", "large.webp", "large-lossless.webp", "large-deep.png"} {
		files[name] = read(t, name)
	}
	for name, file := range files {
		p, err := Inspect(bytes.NewReader(file), Want{1 << 16, 1 << 16, false}, ample)
		if err != nil {
			t.Fatal(name, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err = p.Make(io.Discard, bytes.NewReader(file)); err != nil {
			t.Fatal(name, err)
		}
		runtime.ReadMemStats(&after)
		const around = 2 << 20 // tables and buffers, whatever the size
		if taken := int64(after.TotalAlloc - before.TotalAlloc); taken > p.Memory+around {
			t.Errorf("%s: %d bytes were allocated, %d were told", name, taken, p.Memory)
		}
	}
}

// A file can promise any size. What it promises is held against what there is, before anything is decoded.
func TestBombs(t *testing.T) {
	huge := func(w, h uint32) []byte {
		header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), w), h)
		header = append(header, 8, 2, 0, 0, 0)
		file := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), header...)
		return binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(header))
	}
	for _, tt := range []struct {
		name string
		file []byte
		want error
	}{
		{"65535 × 65535", huge(65535, 65535), ErrTooLarge}, {"wide", huge(1<<31-1, 1), ErrTooLarge}, {"tall", huge(1, 70_000), ErrTooLarge},
		{"no pixels", huge(0, 1), ErrUnknown}, {"text", []byte("hello"), ErrUnknown}, {"empty", nil, ErrUnknown},
		{"magic alone", []byte("\xff\xd8\xff"), ErrUnknown}, {"SVG", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), ErrUnknown},
		{"64 MiB and a bit", huge(4096, 2048), ErrTooLarge}, {"64 MiB", huge(4096, 2047), nil},
	} {
		if _, err := Inspect(bytes.NewReader(tt.file), Want{1, 1, false}, 64<<20); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	whole := read(t, "alpha.png")
	p, err := Inspect(bytes.NewReader(whole), Want{1, 1, false}, ample)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Make(io.Discard, bytes.NewReader(whole[:len(whole)/2])); !errors.Is(err, ErrUnknown) {
		t.Errorf("half a file: %v, want ErrUnknown", err)
	}
}

func FuzzMake(f *testing.F) {
	for _, name := range []string{"progressive.jpg", "onside.jpg", "cmyk.jpg", "lossy.webp", "alpha.webp", "alpha.png", "animated.gif"} {
		f.Add(read(f, name), 10, 10, true)
	}
	f.Fuzz(func(t *testing.T, file []byte, w, h int, crop bool) {
		if w < 1 || h < 1 || w > 1<<16 || h > 1<<16 {
			return
		}
		p, err := Inspect(bytes.NewReader(file), Want{w, h, crop}, 4<<20)
		if err != nil {
			return
		}
		if _, err := p.Make(io.Discard, bytes.NewReader(file)); err != nil && !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
	})
}

func BenchmarkMake(b *testing.B) {
	var file bytes.Buffer
	from := image.NewYCbCr(image.Rect(0, 0, 4000, 3000), image.YCbCrSubsampleRatio420)
	for i := range from.Y {
		from.Y[i] = uint8(i>>4) ^ uint8(i/4000)
	}
	if err := jpeg.Encode(&file, from, nil); err != nil {
		b.Fatal(err)
	}
	b.Run("decode", func(b *testing.B) { // the floor
		for b.Loop() {
			if _, err := jpeg.Decode(bytes.NewReader(file.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, want := range []Want{{800, 600, false}, {96, 96, true}} {
		b.Run(fmt.Sprintf("%dx%d", want.Width, want.Height), func(b *testing.B) {
			p, err := Inspect(bytes.NewReader(file.Bytes()), want, ample)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := p.Make(io.Discard, bytes.NewReader(file.Bytes())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
