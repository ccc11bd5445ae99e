// SPDX-License-Identifier: Apache-2.0

package transaction

import "time"

const (
	// patience is how long a destination that was well may take over a transaction and keep one of the places for such: most answer
	// within a second.
	patience = 5 * time.Second

	// slowPlaces is how many times Concurrent destinations may be waited for besides. When half of ten thousand servers hang for the
	// first time, the others would otherwise wait for hours until all of those have shown it; each costs a connection and a body.
	slowPlaces = 8
)

// flight is a turn of a destination that is not failing.
type flight struct {
	destination *destination
	since       time.Time
}

// watch takes note of when the turn of a destination that is not failing began.
func (o *Outbox) watch(d *destination, now time.Time) {
	d.due = now.UnixMilli()
	o.flying = append(o.flying, flight{d, now})
}

// moveSlow has destinations that have been sending for longer than patience give their places to others, as long as there is room
// among the slow. They are sent to as before.
func (o *Outbox) moveSlow(now time.Time) {
	for len(o.flying) > 0 && now.Sub(o.flying[0].since) >= patience {
		f := o.flying[0]
		d := f.destination
		if d.phase == sending && d.due == f.since.UnixMilli() && !d.failing() && !d.slow {
			if o.slow.taken == o.slow.places {
				return
			}
			d.slow = true
			o.sound.taken--
			o.slow.taken++
		}
		o.flying = o.flying[1:]
	}
}
