// SPDX-License-Identifier: Apache-2.0

package state

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

var sizes = []int{1_000, 10_000, 100_000}

// The floor of a change or a diff is the SHA-256 of the nodes that it cannot but write or read. The ratio to it should not
// grow with the room.
func report(b *testing.B, bytesPerOp int) {
	b.StopTimer()
	buf := make([]byte, bytesPerOp)
	start := time.Now()
	for range b.N {
		sha256.Sum256(buf)
	}
	floor := time.Since(start)
	b.ReportMetric(float64(b.Elapsed())/float64(floor), "ratio")
	b.ReportMetric(float64(bytesPerOp), "node-B/op")
}

func BenchmarkSet(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			mem := newMemory()
			root := mem.set(b, Root{}, room(size))
			written, i := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				_, nodes, err := Set(mem, root, model{member(i % size): "$QqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqM"})
				if err != nil {
					b.Fatal(err)
				}
				for _, n := range nodes {
					written += 2 * len(n.Data) // each is read in its old form and written in the new
				}
				i++
			}
			report(b, written/b.N)
		})
	}
}

func BenchmarkDiff(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			mem := newMemory()
			root := mem.set(b, Root{}, room(size))
			changes := model{}
			for i := range 10 {
				changes[member(i*size/10)] = "$changed"
			}
			_, nodes, err := Set(mem, root, changes)
			if err != nil {
				b.Fatal(err)
			}
			mem.keep(nodes)
			read := 0
			for _, n := range nodes {
				read += 2 * len(n.Data) // the differing nodes of both trees
			}
			other := nodes[len(nodes)-1].Hash
			b.ReportAllocs()
			for b.Loop() {
				if got, err := Diff(mem, root, other); err != nil || len(got) != len(changes) {
					b.Fatal(got, err)
				}
			}
			report(b, read)
		})
	}
}
