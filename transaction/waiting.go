// SPDX-License-Identifier: Apache-2.0

package transaction

// waitingRoom is the destinations that wait, as a heap (container/heap) by the time at which they become due. What is asked of
// it after every event must not cost more the more servers are down.
type waitingRoom []*destination

// Len implements heap.Interface.
func (w waitingRoom) Len() int { return len(w) }

// Less implements heap.Interface.
func (w waitingRoom) Less(i, j int) bool { return w[i].due < w[j].due }

// Swap implements heap.Interface.
func (w waitingRoom) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = int32(i), int32(j)
}

// Push implements heap.Interface.
func (w *waitingRoom) Push(x any) {
	d := x.(*destination)
	d.place = int32(len(*w))
	*w = append(*w, d)
}

// Pop implements heap.Interface.
func (w *waitingRoom) Pop() any {
	last := len(*w) - 1
	d := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return d
}
