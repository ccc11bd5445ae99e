// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strata-matrix/strata/trace"
)

// benchRow is the mean size of a signed PDU, as the rows of the benchmarks are.
const benchRow = 795 // bytes

// putRow is the benchmarks' job: a position and a row appended.
func putRow(padding []byte) func(*Tx) error {
	return func(tx *Tx) error {
		p, err := tx.NextPosition()
		if err != nil {
			return err
		}
		return tx.PutPadded(strconv.Itoa(int(p)), int64(p), padding)
	}
}

// syncFloor is the time that this disk takes to append size bytes to a file and sync it: the least a commit of them can cost.
func syncFloor(b *testing.B, size int) time.Duration {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	data := make([]byte, size)
	const rounds = 200
	began := time.Now()
	for range rounds {
		if _, err := file.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began) / rounds
}

func perOp(b *testing.B) float64 { return float64(b.Elapsed()) / float64(b.N) }

// BenchmarkCommit is one commit of a group of jobs, against one write and sync of their rows' bytes.
func BenchmarkCommit(b *testing.B) {
	for _, group := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			commits := 0
			s := newStore(b, Options{Trace: trace.SinkFunc(func(e trace.Event) {
				if _, ok := e.(trace.StoreCommit); ok {
					commits++
				}
			})})
			put := putRow(make([]byte, benchRow))
			floor := syncFloor(b, group*benchRow)
			var together atomic.Bool
			b.ResetTimer()
			for range b.N {
				together.Store(false)
				var wg sync.WaitGroup
				for range group {
					wg.Go(func() {
						update(b, s, func(tx *Tx) error {
							for !together.Load() && len(s.writes) < group-1 {
								runtime.Gosched() // the first job waits for the others
							}
							together.Store(true)
							return put(tx)
						})
					})
				}
				wg.Wait()
			}
			b.StopTimer()
			b.ReportMetric(float64(commits)/float64(b.N), "commits/op")
			b.ReportMetric(perOp(b)/float64(floor), "ratio")
		})
	}
}

// BenchmarkThroughput is the time per job with so many callers, against one write and sync for each.
func BenchmarkThroughput(b *testing.B) {
	for _, callers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := newStore(b, Options{})
			put := putRow(make([]byte, benchRow))
			floor := syncFloor(b, benchRow)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						update(b, s, put)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
			b.ReportMetric(perOp(b)/float64(floor), "ratio")
		})
	}
}

// BenchmarkRead is a short read while writers saturate the store, against the same read on an idle one.
func BenchmarkRead(b *testing.B) {
	s := newStore(b, Options{})
	put := putRow(make([]byte, benchRow))
	for range 1000 {
		update(b, s, put)
	}
	read := func() time.Duration {
		began := time.Now()
		err := s.View(context.Background(), func(tx *Tx) error {
			_, _, err := tx.Get("500")
			return err
		})
		if err != nil {
			b.Error(err)
		}
		return time.Since(began)
	}
	idle := make([]time.Duration, 1000)
	for i := range idle {
		idle[i] = read()
	}
	slices.Sort(idle)

	stop := make(chan struct{})
	var writes atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					update(b, s, put)
					writes.Add(1)
				}
			}
		})
	}
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	for i := range took {
		took[i] = read()
	}
	b.StopTimer()
	b.ReportMetric(float64(writes.Load())/b.Elapsed().Seconds(), "writes/s")
	close(stop)
	wg.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(took[len(took)/2])/float64(idle[len(idle)/2]), "ratio")
}
