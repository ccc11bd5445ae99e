// SPDX-License-Identifier: Apache-2.0

package turns

import "time"

// account is what a party has spent, and who waits for it.
type account struct {
	party   string
	spent   time.Duration
	latest  uint64          // its latest turn, by number
	working int             // turns that it has now
	line    []chan struct{} // each is closed when its turn has come
	place   int             // in the queue, while somebody waits
}

// rests says that the party has nothing to do.
func (a *account) rests() bool { return a.working == 0 && len(a.line) == 0 }

// queue is a heap (container/heap) of accounts, first who has spent the least, and of equals whose latest turn is the longest ago.
type queue []*account

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool {
	if q[i].spent != q[j].spent {
		return q[i].spent < q[j].spent
	}
	return q[i].latest < q[j].latest
}

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	a := x.(*account)
	a.place = len(*q)
	*q = append(*q, a)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	a := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return a
}
