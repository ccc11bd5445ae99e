// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/transport/ident"
)

// errOnlyLooked ends a turn whose batch is not to be kept.
var errOnlyLooked = errors.New("nothing is to be stored")

// Rejudge tells how an event would be judged by what is known now, and stores nothing. What was accepted is not held to the current
// state of today, as in JudgeAgain. ErrUnknownEvent for what is not stored, or not judged yet.
func (e *Engine) Rejudge(ctx context.Context, id ident.EventID) (v Verdict, err error) {
	r, err := e.storedRecord(ctx, id)
	if err == nil {
		err = e.do(ctx, r.event.RoomID(), true, func(b *batch) (err error) {
			if v, err = b.rejudge(id); err != nil {
				return err
			}
			return errOnlyLooked
		})
	}
	if !errors.Is(err, errOnlyLooked) {
		return Verdict{}, fmt.Errorf("judge %s on trial: %w", id, err)
	}
	return v, nil
}

func (b *batch) rejudge(id ident.EventID) (Verdict, error) {
	r, err := b.stored(id)
	if err != nil {
		return Verdict{}, err
	}
	if r.outcome == Staged {
		return Verdict{}, fmt.Errorf("nothing but its text is known yet: %w", ErrUnknownEvent)
	}
	v, _, err := b.verdictBefore(r)
	if err != nil {
		return Verdict{}, err
	}
	a, own := b.newAgain(""), b.change(r)
	if !own.inGraph {
		waits := v.Outcome == Quarantined
		if err = b.judgeAsOutlier(own, &v); waits {
			v.Outcome = Quarantined // for its place in the graph
		}
		return v, err
	}
	if own.outcome == Accepted {
		b.passed = a.past
	}
	err = a.judgeInGraph(own, &v)
	return v, err
}
