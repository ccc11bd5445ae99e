// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/trace"
)

// occupy has the owner busy with a job until release is called. In a bubble, synctest.Wait then sees everyone else wait.
func occupy(t *testing.T, s *Store) (release func()) {
	t.Helper()
	gate, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.Update(context.Background(), func(*Tx) error { <-gate; return nil })
	}()
	synctest.Wait()
	return func() {
		close(gate)
		if err := <-ended; err != nil {
			t.Errorf("the occupying job: %v", err)
		}
	}
}

// An idle store lets virtual time pass, and a closed one leaves no goroutine (or synctest.Test would not return).
func TestIdle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := OpenScratch(context.Background(), Options{Path: path, ServerName: "a.example"})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.Sleep(24 * time.Hour)
		update(t, s, func(tx *Tx) error { return tx.Put("a", 1) })
		if passed := time.Since(began); passed != 24*time.Hour {
			t.Errorf("%v passed, want a day", passed)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What waits while the owner is busy shares one commit.
func TestGroupCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	synctest.Test(t, func(t *testing.T) {
		var commits []trace.StoreCommit
		s := newStore(t, Options{Path: path, Trace: trace.SinkFunc(func(e trace.Event) {
			if c, ok := e.(trace.StoreCommit); ok {
				commits = append(commits, c)
			}
		})})
		release := occupy(t, s)
		const waiting, failing = 50, 5
		for n := range waiting {
			go func() {
				err := s.Update(context.Background(), func(tx *Tx) error {
					if n < failing {
						return errChild
					}
					_, err := tx.NextPosition()
					return err
				})
				if (err != nil) != (n < failing) {
					t.Errorf("job %d: %v", n, err)
				}
			}()
		}
		synctest.Wait()
		release()
		synctest.Wait()
		// BEGIN, COMMIT and the position, two for each savepoint, one more to roll one back; the occupier counts as a job, and needs none.
		want := []trace.StoreCommit{{
			Jobs: 1 + waiting - failing, Failed: failing, Statements: 3 + 2*waiting + failing, Last: waiting - failing,
		}}
		if diff := cmp.Diff(want, commits); diff != "" {
			t.Errorf("commits (-want +got):\n%s", diff)
		}
	})
}

// A commit takes no more than maxGroup, and little more than maxGroupReaders once a reader waits.
func TestGroupLimits(t *testing.T) {
	const statements, jobs = 48, 80 // 50 with the savepoint's
	for _, test := range []struct {
		reader bool
		want   int64 // jobs done when the reader is served, or in the first commit
	}{
		{true, 1 + maxGroupReaders/(statements+2)},
		{false, 1 + maxGroup/(statements+2)},
	} {
		path := filepath.Join(t.TempDir(), "strata.db")
		synctest.Test(t, func(t *testing.T) {
			first := int64(0)
			s := newStore(t, Options{Path: path, Trace: trace.SinkFunc(func(e trace.Event) {
				if c, ok := e.(trace.StoreCommit); ok && first == 0 {
					first = int64(c.Jobs)
				}
			})})
			release := occupy(t, s)
			var done atomic.Int64
			for range jobs {
				go func() {
					err := s.Update(context.Background(), func(tx *Tx) error {
						for range statements {
							if err := tx.Put("a", 1); err != nil {
								return err
							}
						}
						done.Add(1)
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}()
			}
			var seen int64
			if test.reader {
				go func() {
					err := s.View(context.Background(), func(*Tx) error { seen = done.Load(); return nil })
					if err != nil {
						t.Error(err)
					}
				}()
			}
			synctest.Wait()
			release()
			synctest.Wait()
			// The occupier's own three statements may make room for one job less.
			if first < test.want-1 || first > test.want+1 {
				t.Errorf("reader %t: %d jobs in the first commit, want about %d", test.reader, first, test.want)
			}
			if test.reader && seen != first-1 {
				t.Errorf("the reader was served after %d jobs, want %d: right after the first commit", seen, first-1)
			}
			if done.Load() != jobs {
				t.Errorf("%d jobs done, want %d", done.Load(), jobs)
			}
		})
	}
}

// Callers beyond the queue's limit wait outside of it, and may give up like any other.
func TestQueueFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, Options{Path: path})
		release := occupy(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		const callers = maxWaitingWrites + 50
		answers := make(chan error, callers)
		for range callers {
			go func() {
				answers <- s.Update(ctx, func(*Tx) error { t.Error("a cancelled job ran"); return nil })
			}()
		}
		synctest.Wait()
		if got := len(s.writes); got != maxWaitingWrites {
			t.Errorf("%d jobs in the queue, want %d", got, maxWaitingWrites)
		}
		cancel()
		for range callers {
			if err := <-answers; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		release()
		update(t, s, func(tx *Tx) error { return tx.Put("a", 1) })
	})
}

// Close finishes every job that was in the queue when it was called.
func TestCloseDrains(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, Options{Path: path})
		release := occupy(t, s)
		answers := make(chan error, 100)
		for n := range cap(answers) {
			go func() {
				answers <- s.Update(context.Background(), func(tx *Tx) error { return tx.Put(fmt.Sprint(n), 1) })
			}()
		}
		synctest.Wait()
		go func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if err := s.Update(context.Background(), func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
			t.Errorf("Update while closing: %v, want ErrClosed", err)
		}
		release()
		for range cap(answers) {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
	})
}

// A crash answers everyone: the group's jobs, those behind it, and those that come later.
func TestCrashAnswersAll(t *testing.T) {
	for _, at := range []Point{BeforeCommit, AfterCommit} {
		path := filepath.Join(t.TempDir(), "strata.db")
		synctest.Test(t, func(t *testing.T) {
			s := newStore(t, Options{Path: path, CommitPoint: func(p Point) error {
				if p == at {
					return errChild
				}
				return nil
			}})
			gate := make(chan struct{})
			answers := make(chan error, 1+maxGroup)
			go func() {
				answers <- s.Update(context.Background(), func(tx *Tx) error { <-gate; return tx.Put("a", 1) })
			}()
			synctest.Wait()
			for range maxGroup { // more than one commit takes
				go func() { answers <- s.Update(context.Background(), func(tx *Tx) error { return tx.Put("b", 1) }) }()
			}
			synctest.Wait()
			close(gate)
			for range 1 + maxGroup {
				if err := <-answers; !errors.Is(err, ErrClosed) || !errors.Is(err, errChild) {
					t.Fatalf("got %v, want ErrClosed and the crash", err)
				}
			}
			if err := s.View(context.Background(), func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) || !errors.Is(err, errChild) {
				t.Errorf("later: %v, want ErrClosed and the crash", err)
			}
		})
	}
}

// A job whose error makes SQLite end the transaction takes the commit's other jobs with it; they are told, and the store goes on.
func TestTransactionLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, Options{Path: path})
		update(t, s, func(tx *Tx) error { return tx.Put("a", 1) })
		gate, answer := make(chan struct{}), make(chan error, 1)
		go func() {
			answer <- s.Update(context.Background(), func(tx *Tx) error {
				<-gate
				tx.AfterCommit(func() { t.Error("callback of a lost job ran") })
				_, err := tx.NextPosition()
				return errors.Join(err, tx.Put("b", 1))
			})
		}()
		synctest.Wait()
		const ends = "INSERT OR ROLLBACK INTO scratch (key, value) VALUES ('a', 2)" // a key that exists
		culprit := make(chan error, 1)
		go func() { culprit <- s.Update(context.Background(), func(tx *Tx) error { return tx.exec(ends) }) }()
		synctest.Wait()
		close(gate)
		if err := <-culprit; err == nil {
			t.Error("the job that ended the transaction: no error")
		}
		if err := <-answer; err == nil {
			t.Error("the job that was lost with it: no error")
		}
		update(t, s, func(tx *Tx) error {
			if p, err := tx.NextPosition(); p != 1 || err != nil {
				t.Errorf("position %d, %v; want 1: the lost one is given back", p, err)
			}
			return nil
		})
		if all, _ := readAll(t, s); len(all) != 1 || all["a"] != 1 {
			t.Errorf("rows %v, want a = 1 alone", all)
		}
	})
}

// A job that ends its goroutine, as testing.T.FailNow does, ends the store; it leaves nobody waiting.
func TestGoexit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	s := newStore(t, Options{Path: path})
	err := s.Update(context.Background(), func(tx *Tx) error {
		if err := tx.Put("a", 1); err != nil {
			t.Error(err)
		}
		runtime.Goexit()
		return nil
	})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if all, _ := readAll(t, newStore(t, Options{Path: path})); len(all) != 0 {
		t.Errorf("it left %v", all)
	}
}

func TestPanicIsTraced(t *testing.T) {
	var got []string
	s := newStore(t, Options{Trace: trace.SinkFunc(func(e trace.Event) {
		if p, ok := e.(trace.StorePanic); ok {
			got = append(got, p.Value)
		}
	})})
	if err := s.Update(context.Background(), func(*Tx) error { panic("in a job") }); err == nil {
		t.Error("no error")
	}
	update(t, s, func(tx *Tx) error { tx.AfterCommit(func() { panic("in a callback") }); return nil })
	if diff := cmp.Diff([]string{"in a job", "in a callback"}, got); diff != "" {
		t.Error(diff)
	}
}
