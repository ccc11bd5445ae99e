// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"sync"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxHeard bounds the servers that the mailbox holds as heard. Any server with a key can be one; what does not fit is a hint
// lost, and the next contact is another.
const maxHeard = 10_000

// mailbox brings news to the dispatcher without making anyone wait: not the persistence goroutine, not a request. Its size
// is bounded: by the servers that something was queued for, since news of one replace each other, by maxHeard and by maxVolatileNews.
type mailbox struct {
	signal chan struct{} // holds one element while there is news

	mu   sync.Mutex
	news news
}

// news is what has happened since the dispatcher last looked.
type news struct {
	wakes map[ident.ServerName]persistence.Position // the first new item for each server
	last  persistence.Position                      // the last new item of all
	heard map[ident.ServerName]struct{}
	rules []Pattern // which servers are held from now on; nil when that has not changed
	drops bool      // some of what is queued was dropped

	volatile []volatileNews
}

func newMailbox() *mailbox {
	return &mailbox{signal: make(chan struct{}, 1)}
}

func (m *mailbox) wake(position persistence.Position, servers []ident.ServerName) {
	m.put(func(n *news) {
		if n.wakes == nil {
			n.wakes = make(map[ident.ServerName]persistence.Position, len(servers))
		}
		for _, server := range servers {
			if _, known := n.wakes[server]; !known {
				n.wakes[server] = position
			}
		}
		n.last = position
	})
}

func (m *mailbox) heard(server ident.ServerName) {
	m.put(func(n *news) {
		if n.heard == nil {
			n.heard = map[ident.ServerName]struct{}{}
		}
		if len(n.heard) < maxHeard {
			n.heard[server] = struct{}{}
		}
	})
}

func (m *mailbox) hold(rules []Pattern) {
	m.put(func(n *news) { n.rules = append(make([]Pattern, 0, len(rules)), rules...) })
}

func (m *mailbox) dropped() {
	m.put(func(n *news) { n.drops = true })
}

func (m *mailbox) put(change func(*news)) {
	m.mu.Lock()
	change(&m.news)
	m.mu.Unlock()
	select {
	case m.signal <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() news {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.news
	m.news = news{last: taken.last}
	return taken
}
