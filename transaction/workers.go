// SPDX-License-Identifier: Apache-2.0

package transaction

// worker is a goroutine that does one turn after the other. Its stack has grown by then: a new goroutine for each of ten thousand
// destinations would have its own copied several times over on the way through TLS and HTTP/2, at a tenth of what a delivery costs.
type worker chan func() outcome

// employ has a worker that has nothing to do, or else a new one, do a turn.
func (o *Outbox) employ(turn func() outcome) {
	if last := len(o.free) - 1; last >= 0 {
		o.free[last] <- turn
		o.free = o.free[:last]
		return
	}
	w := make(worker, 1)
	w <- turn
	go w.work(o.outcomes)
}

// dismiss lets those go for which there is nothing to do.
func (o *Outbox) dismiss() {
	for _, w := range o.free {
		close(w)
	}
	o.free = o.free[:0]
}

func (w worker) work(outcomes chan<- outcome) {
	for turn := range w {
		result := turn()
		result.by = w
		outcomes <- result
	}
}
