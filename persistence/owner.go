// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/strata-matrix/strata/trace"
)

// How much the owner does before it looks up. Work is counted in statements; a small job has two to ten.
const (
	// maxGroup is the most one commit takes: 5 to 10 ms of work, above which the sync is no longer what costs.
	maxGroup = 2000
	// maxGroupReaders is the same while readers wait. With 250 BenchmarkRead has their median wait at 1 ms, but a server under load is
	// read all the time, and larger commits save it a twentieth of its CPU time and syncs.
	maxGroupReaders = 600
	// maxReads is the most reads between two commits, so that readers cannot keep writers out.
	maxReads = 64
)

// job is one function that a caller wants run, and where its answer goes.
type job struct {
	run    func(*Tx) error
	answer chan error  // of one: the owner never waits for a caller
	taken  atomic.Bool // by the owner, to run it, or by its caller, to give up
}

// claim reports whether the job was still free to take.
func (j *job) claim() bool { return j.taken.CompareAndSwap(false, true) }

// owner has the file. All of its fields belong to the goroutine that run is on; others reach it over the store's channels.
type owner struct {
	store       *Store
	conn        *connection
	lock        *os.File
	sequence    sequence
	commitPoint func(Point) error
	trace       trace.Sink
}

// run works until the store is closed or a commit point says crash. The deferred end also runs when a job ends the goroutine
// (runtime.Goexit, as testing.T.FailNow calls it): then nobody is left waiting either.
func (o *owner) run() {
	cause := fmt.Errorf("%w: a job ended the store's goroutine", ErrClosed)
	defer func() { o.end(cause) }()
	crash := o.work()
	cause = ErrClosed
	if crash != nil {
		cause = fmt.Errorf("%w: crashed: %w", ErrClosed, crash)
	}
}

// end gives the file back. Whatever transaction is open is lost with the connection.
func (o *owner) end(cause error) {
	o.store.close()
	o.store.cause = cause
	if err := o.conn.close(); err != nil {
		o.store.closed = fmt.Errorf("close store: %w", explain(err))
	}
	unlock(o.lock)
	o.trace.Emit(trace.StoreClosed{Cause: cause})
	close(o.store.done)
}

// work takes jobs as they come, reads first. It returns the error of a commit point that crashed, or nil when the store was closed
// and nothing is waiting any more.
func (o *owner) work() (crash error) {
	for {
		o.serveReads()
		select {
		case j := <-o.store.writes:
			if crash := o.commitGroup(j); crash != nil {
				return crash
			}
			continue
		default:
		}
		select {
		case j := <-o.store.reads:
			o.serve(j)
		case j := <-o.store.writes:
			if crash := o.commitGroup(j); crash != nil {
				return crash
			}
		case <-o.store.closing:
			if len(o.store.reads) == 0 && len(o.store.writes) == 0 {
				return nil
			}
		}
	}
}

// serveReads serves the readers that wait, up to the quota.
func (o *owner) serveReads() {
	for range maxReads {
		select {
		case j := <-o.store.reads:
			o.serve(j)
		default:
			return
		}
	}
}

// serve runs one read in a transaction of its own, which is rolled back: what it sees is committed, and is one moment.
func (o *owner) serve(j *job) {
	if !j.claim() {
		return
	}
	if _, err := o.conn.exec("BEGIN"); err != nil {
		j.answer <- fmt.Errorf("begin read: %w", explain(err))
		return
	}
	err := o.call(&Tx{conn: o.conn, sequence: &o.sequence}, j)
	o.rollBack()
	j.answer <- err
}

// group is the jobs of one transaction that have done well so far, with their callbacks.
type group struct {
	jobs  []*job
	after []func()
	// failed counts the jobs that were rolled back out of it.
	failed int
	began  int // the connection's count of statements at the start
	at     time.Time
}

// commitGroup runs first and the jobs waiting behind it in one transaction, commits it, and answers. Only a commit point's error
// is returned; then nobody was answered.
func (o *owner) commitGroup(first *job) (crash error) {
	g := group{began: o.conn.executed, at: time.Now()}
	if _, err := o.conn.exec("BEGIN IMMEDIATE"); err != nil {
		if first.claim() {
			first.answer <- fmt.Errorf("begin commit: %w", explain(err))
		}
		return nil
	}
	for j := first; j != nil; j = o.next(&g) {
		if !j.claim() {
			continue
		}
		if len(g.jobs) == 0 {
			if !o.runFirst(&g, j) {
				return nil
			}
		} else if err := o.runJob(&g, j); err != nil {
			o.fail(&g, err)
			return nil
		}
	}
	if len(g.jobs) == 0 {
		o.rollBack()
		return nil
	}
	if err := o.sequence.save(o.conn); err != nil {
		o.fail(&g, explain(err))
		return nil
	}
	if crash := o.commitPoint(BeforeCommit); crash != nil {
		o.rollBack()
		return crash
	}
	if _, err := o.conn.exec("COMMIT"); err != nil {
		o.fail(&g, fmt.Errorf("commit: %w", explain(err)))
		return nil
	}
	grown := o.sequence.committed()
	o.store.last.Store(int64(o.sequence.last))
	if crash := o.commitPoint(AfterCommit); crash != nil {
		return crash
	}
	o.answer(&g)
	if grown {
		o.store.grown.ring()
	}
	return nil
}

// next is the next job for the group, nil when it is large enough or nobody waits.
func (o *owner) next(g *group) *job {
	work := o.conn.executed - g.began
	if work >= maxGroup || work >= maxGroupReaders && len(o.store.reads) > 0 {
		return nil
	}
	select {
	case j := <-o.store.writes:
		return j
	default:
		return nil
	}
}

// runFirst runs a job that has the transaction to itself as yet: if it fails, that is rolled back, and over. It needs no savepoint, for
// which SQLite would copy each page before it is changed.
func (o *owner) runFirst(g *group, j *job) (ok bool) {
	if err := o.runIn(g, j); err != nil {
		o.rollBack()
		j.answer <- err
		return false
	}
	return true
}

// runJob runs one job inside a savepoint. A job that fails is rolled back and answered; the error returned is one that took the
// whole transaction with it.
func (o *owner) runJob(g *group, j *job) (lost error) {
	if _, err := o.conn.exec("SAVEPOINT job"); err != nil {
		err = fmt.Errorf("begin job: %w", explain(err))
		j.answer <- err
		return err
	}
	if err := o.runIn(g, j); err != nil {
		j.answer <- err
		g.failed++
		if _, undo := o.conn.exec("ROLLBACK TO job"); undo != nil {
			return fmt.Errorf("a job of the same commit ended it: %w", err)
		}
	}
	if _, err := o.conn.exec("RELEASE job"); err != nil {
		return fmt.Errorf("end job: %w", explain(err))
	}
	return nil
}

// runIn runs a job within the open transaction. If it fails, what it wrote is still to be undone.
func (o *owner) runIn(g *group, j *job) error {
	before := o.sequence.last
	tx := &Tx{conn: o.conn, sequence: &o.sequence, writes: true}
	if err := o.call(tx, j); err != nil {
		o.conn.forget()
		o.sequence.last = before
		return err
	}
	g.jobs = append(g.jobs, j)
	g.after = append(g.after, tx.after...)
	return nil
}

// call runs a job's function. A panic becomes its error; so does a fault that the function ignored.
func (o *owner) call(tx *Tx, j *job) (err error) {
	defer func() {
		tx.ended = true
		if p := recover(); p != nil {
			err = fmt.Errorf("job panicked: %v", p)
			o.trace.Emit(trace.StorePanic{Value: fmt.Sprint(p), Stack: string(debug.Stack())})
		}
	}()
	if err := j.run(tx); err != nil {
		return err
	}
	return tx.fault
}

// fail rolls the group back and tells its callers.
func (o *owner) fail(g *group, err error) {
	o.rollBack()
	o.conn.forget()
	o.sequence.rolledBack()
	for _, j := range g.jobs {
		j.answer <- err
	}
	o.trace.Emit(trace.StoreCommitFailed{Jobs: len(g.jobs), Err: err})
}

// answer runs the callbacks of a durable group and tells its callers.
func (o *owner) answer(g *group) {
	for _, f := range g.after {
		o.callBack(f)
	}
	for _, j := range g.jobs {
		j.answer <- nil
	}
	o.trace.Emit(trace.StoreCommit{
		Jobs: len(g.jobs), Failed: g.failed, Statements: o.conn.executed - g.began, Last: int64(o.sequence.last),
		Took: time.Since(g.at),
	})
}

// callBack runs an AfterCommit function. If that panics the job is durable all the same, so its caller is not given an error.
func (o *owner) callBack(f func()) {
	defer func() {
		if p := recover(); p != nil {
			o.trace.Emit(trace.StorePanic{Value: fmt.Sprint(p), Stack: string(debug.Stack())})
		}
	}()
	f()
}

// rollBack ends the open transaction. Its error is of no use: it says that SQLite has rolled back already.
func (o *owner) rollBack() {
	_, _ = o.conn.exec("ROLLBACK")
}
