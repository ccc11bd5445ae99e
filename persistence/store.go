// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Limits of what may wait for the store's goroutine. A caller that finds the queue full waits, as long as its context lets it.
const (
	// maxWaitingWrites: above the 256 concurrent callers up to which group commit was measured to gain.
	maxWaitingWrites = 1024
	// maxWaitingReads: reads are short, and hot ones never come here.
	maxWaitingReads = 256
)

// Store is one open file. It may be used by any number of goroutines; each of its jobs runs on the one that owns the file
// (see owner).
type Store struct {
	serverName string
	readOnly   bool
	writes     chan *job
	reads      chan *job
	close      func()        // closes closing, once
	closing    chan struct{} // no new jobs; the owner finishes those it has
	done       chan struct{} // the owner has ended and given the file back
	cause      error         // why no job gets an answer any more. Set before done is closed
	closed     error         // what closing the file reported. Set before done is closed
	grown      bell
	last       atomic.Int64 // the last position that is committed
}

// Now is the last position that is committed, 0 in a new file. What a job took is in it when the job is answered.
func (s *Store) Now() Position { return Position(s.last.Load()) }

// Grown is closed when positions are committed after the call. Take it, read, then wait for it.
func (s *Store) Grown() <-chan struct{} { return s.grown.wait() }

// ServerName is the name of the server whose file this is.
func (s *Store) ServerName() string { return s.serverName }

// Update runs f with the right to write and returns once what it did is durable, or with the error for which nothing of it was
// kept. Jobs of several callers share a commit, but each fails alone. f runs on the store's goroutine: it must not wait for
// anything, nor call the Store. ctx counts until f starts; a job that has started always gets its answer.
// Errors: f's own, ctx's, ErrClosed, ErrFull, ErrIO, ErrReadOnly.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error {
	if s.readOnly {
		return fmt.Errorf("update: %w", ErrReadOnly)
	}
	return s.submit(ctx, s.writes, f)
}

// View runs f on committed data, ahead of the jobs that wait to write. f should be short: a few indexed rows. The rules of Update
// hold for it.
func (s *Store) View(ctx context.Context, f func(*Tx) error) error {
	return s.submit(ctx, s.reads, f)
}

// submit puts a job into a lane and waits for its answer.
func (s *Store) submit(ctx context.Context, lane chan<- *job, f func(*Tx) error) error {
	j := &job{run: f, answer: make(chan error, 1)}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.refusal(); err != nil {
		return err
	}
	select {
	case lane <- j:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return s.cause
	}
	select {
	case err := <-j.answer:
		return err
	case <-s.done:
		return s.lastAnswer(j)
	case <-ctx.Done():
		if j.claim() {
			return ctx.Err() // before it started: it never will
		}
	}
	select {
	case err := <-j.answer:
		return err
	case <-s.done:
		return s.lastAnswer(j)
	}
}

// refusal is why the store takes no new jobs, nil while it does.
func (s *Store) refusal() error {
	select {
	case <-s.closing:
	default:
		return nil
	}
	select {
	case <-s.done:
		return s.cause
	default:
		return ErrClosed
	}
}

// lastAnswer is a job's answer if the owner gave one before it ended.
func (s *Store) lastAnswer(j *job) error {
	select {
	case err := <-j.answer:
		return err
	default:
		return s.cause
	}
}

// Close lets the jobs that are waiting finish, refuses new ones, and returns when the file is given back and no goroutine is
// left. It may be called again.
func (s *Store) Close() error {
	s.close()
	<-s.done
	return s.closed
}
