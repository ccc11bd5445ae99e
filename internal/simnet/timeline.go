// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"fmt"
	"sync"
	"time"
)

// maxLines bounds the timeline: what led to a failure stands at its end.
const maxLines = 100_000

// Timeline is what happened in a run, for people to read when an invariant fails. mu guards it.
type Timeline struct {
	start time.Time

	mu    sync.Mutex
	lines []string
}

// Add notes something at the present virtual time.
func (l *Timeline) Add(who, format string, args ...any) {
	line := fmt.Sprintf("%12s %-10s %s", time.Since(l.start).Round(time.Microsecond), who, fmt.Sprintf(format, args...))
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) >= maxLines {
		l.lines = append(l.lines[:0], l.lines[maxLines/2:]...)
	}
	l.lines = append(l.lines, line)
}

// Lines is the timeline so far.
func (l *Timeline) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}
