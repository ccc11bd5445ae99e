// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// sendPath is where transactions go (E-06).
const sendPath = "/_matrix/federation/v1/send/"

// Ledger watches the links for what holds between any two servers at any time: one transaction in flight (T-02), the same bytes
// under the same id, and each room's events in the order in which their sender made them. mu guards it.
type Ledger struct {
	mu     sync.Mutex
	flying map[string]string   // by link: transaction id
	bytes  map[string][32]byte // by link and transaction id: hash of the body
	newest map[string]int64    // by link and room: time of the newest of the origin's own events
	sent   map[string]bool     // by link, time and content hash: events that were sent before
	exempt map[string]bool     // senders that keep to nothing
	faults []string
}

// NewLedger makes an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{flying: map[string]string{}, bytes: map[string][32]byte{}, newest: map[string]int64{}, sent: map[string]bool{}, exempt: map[string]bool{}}
}

// Faults is what went wrong, in words.
func (l *Ledger) Faults() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.faults...)
}

// Distrust exempts what a server sends.
func (l *Ledger) Distrust(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exempt[name] = true
}

// Begin looks at a request that is about to be sent. The function that it returns is called when its sender no longer waits.
func (l *Ledger) Begin(from, to, method, path string, body []byte) (end func()) {
	txn, isTransaction := strings.CutPrefix(path, sendPath)
	if method != http.MethodPut || !isTransaction {
		return func() {}
	}
	link := from + " -> " + to
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.exempt[from] {
		return func() {}
	}
	if other, flying := l.flying[link]; flying {
		l.fault("%s: transaction %s was sent while %s was in flight", link, txn, other)
	}
	l.flying[link] = txn
	key, hash := link+" "+txn, sha256.Sum256(body)
	if first, known := l.bytes[key]; !known {
		l.bytes[key] = hash
		l.inOrder(link, txn, from, body)
	} else if first != hash {
		l.fault("%s: transaction %s was sent again with other bytes: %.200s", link, txn, body)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.flying, link)
	}
}

// inOrder checks that the origin's own events stand in the order of their making. Events that it relays for others may stand
// anywhere, and so may those that it sends again: what a server refused goes out anew.
func (l *Ledger) inOrder(link, txn, origin string, body []byte) {
	if !json.Valid(body) {
		l.fault("%s: transaction %s is not JSON: %.200s", link, txn, body)
	}
	for _, pdu := range pdusIn(body) {
		again := fmt.Sprint(link, " ", pdu.Time, " ", pdu.Hashes.SHA256)
		if !strings.HasSuffix(pdu.Sender, ":"+origin) || l.sent[again] {
			continue
		}
		l.sent[again] = true
		key := link + " " + pdu.Room
		if pdu.Time < l.newest[key] {
			l.fault("%s: transaction %s: an event in %s of %d comes after one of %d", link, txn, pdu.Room, pdu.Time, l.newest[key])
		}
		l.newest[key] = max(l.newest[key], pdu.Time)
	}
}

func (l *Ledger) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}
