// SPDX-License-Identifier: Apache-2.0

package persistence

import "sync"

// bell wakes everyone who waits for something to happen. mu guards next, which is nil while nobody waits.
type bell struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait is closed at the next ring.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}
