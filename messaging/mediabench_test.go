// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"io"
	"runtime"
	"testing"
)

// through has content written by one side and read by the other, and gives how many bytes came.
func through(tb testing.TB, size int64) int64 {
	tb.Helper()
	reply := mediaReply(&MediaContent{ReadCloser: io.NopCloser(io.LimitReader(zeros{}, size)), Size: size})
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(reply.Stream(writer)) }()
	parts, err := readMediaParts(reply.Type, reader, size)
	if err != nil {
		tb.Fatal(err)
	}
	n, err := io.Copy(io.Discard, parts)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// zeros is content without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Content of any size passes through little memory.
func TestMediaIsStreamed(t *testing.T) {
	const size = 64 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if n := through(t, size); n != size {
		t.Errorf("%d bytes came, want %d", n, size)
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 1<<20 {
		t.Errorf("%d bytes were allocated on the way", taken)
	}
}

// BenchmarkMediaParts is 16 MiB between two servers, without a network; floor is the same bytes through the same pipe.
func BenchmarkMediaParts(b *testing.B) {
	const size = 16 << 20
	b.Run("floor", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			reader, writer := io.Pipe()
			go func() {
				_, err := io.Copy(writer, io.LimitReader(zeros{}, size))
				_ = writer.CloseWithError(err)
			}()
			if _, err := io.Copy(io.Discard, reader); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parts", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			through(b, size)
		}
	})
}
