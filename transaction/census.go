// SPDX-License-Identifier: Apache-2.0

package transaction

import "context"

// Census counts the destinations by where they stand.
type Census struct {
	Idle    int // nothing is queued for them
	Parked  int // nothing but what they refused
	Ready   int // in line for a place
	Sending int
	Waiting int // backing off
	Held    int // by a rule
}

// Census counts the destinations. Run must be running.
func (o *Outbox) Census(ctx context.Context) (c Census, err error) {
	err = o.order(ctx, func() {
		c = Census{}
		counters := map[phase]*int{
			idle: &c.Idle, dozing: &c.Parked, ready: &c.Ready, sending: &c.Sending, waiting: &c.Waiting, held: &c.Held,
		}
		for _, d := range o.destinations {
			*counters[d.phase]++
		}
	})
	return c, err
}

// Total is the number of all of them.
func (c Census) Total() int { return c.Idle + c.Parked + c.Ready + c.Sending + c.Waiting + c.Held }
