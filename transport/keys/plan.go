// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

const (
	// retireAfter is how long a key stays current after its successor began to sign: what it signed in the last moment, and events
	// that it signed for servers whose clocks are ahead of ours, must not be later than its expired_ts.
	retireAfter = time.Minute
	// DefaultOverlap is how long a new key is published before it signs: as long as a document without it may be valid.
	DefaultOverlap = DefaultValidity
	// MaxOverlap keeps a rotation from being ordered for the next century.
	MaxOverlap = 30 * 24 * time.Hour
	// maxOwnOld leaves room in the published document, of which peers may read 128 keys as we do.
	maxOwnOld = 100
)

// ErrRotating: a new key is published already and does not sign yet. Wait, or let it begin now.
var ErrRotating = errors.New("a rotation is under way")

// Plan is a server's own keys over time. It is a value; Rotate makes the next.
//
//	rotate            From of the new key           From + retireAfter
//	  │ new: published  │ new: signs                   │
//	  │ old: signs      │ old: published as current    │ old: published as expired at that time
type Plan struct {
	// Keys sign one after the other, each from its time on; there is at least one.
	Keys []PlannedKey
	// Old are retired keys. One whose time has not come is current until then, though it does not sign any more.
	Old []OldKey
}

// PlannedKey is a key of ours and the time (ms) from which it signs; 0 is ever since.
type PlannedKey struct {
	signing.Key
	From int64
}

// Phase says what a key of ours is good for at a time.
type Phase string

// The phases, in the order in which a key passes them.
const (
	Published Phase = "published" // peers can learn it; it does not sign yet
	Signs     Phase = "signs"
	Retiring  Phase = "retiring" // signs no more, and is current still
	Retired   Phase = "retired"  // counts for old events only
)

// OwnKey is one of our own keys as it stands at a time.
type OwnKey struct {
	OldKey       // ExpiredAt is 0 as long as there is no end
	From   int64 // ms; 0 is ever since, or not known any more
	Phase  Phase
}

// signer is the key that signs at now (ms). Before the time of the first there is none other.
func (p Plan) signer(now int64) signing.Key { return p.Keys[p.turn(now)].Key }

// turn is the index of the key that signs at now.
func (p Plan) turn(now int64) int {
	i := len(p.Keys) - 1
	for i > 0 && p.Keys[i].From > now {
		i--
	}
	return i
}

// expiry is when a key's time ends, 0 for the last.
func (p Plan) expiry(i int) int64 {
	if i == len(p.Keys)-1 {
		return 0
	}
	return p.Keys[i+1].From + retireAfter.Milliseconds()
}

// At is every key with its phase at now (ms): those that sign in their order, then the old ones.
func (p Plan) At(now int64) []OwnKey {
	all := make([]OwnKey, 0, len(p.Keys)+len(p.Old))
	turn := p.turn(now)
	for i, k := range p.Keys {
		own := OwnKey{OldKey: OldKey{ID: k.ID, Public: k.Public(), ExpiredAt: p.expiry(i)}, From: k.From, Phase: Signs}
		switch {
		case i > turn:
			own.Phase = Published
		case i < turn:
			own.Phase = ending(own.ExpiredAt, now)
		}
		all = append(all, own)
	}
	for _, old := range p.Old {
		all = append(all, OwnKey{OldKey: old, Phase: ending(old.ExpiredAt, now)})
	}
	return all
}

func ending(expired, now int64) Phase {
	if expired > now {
		return Retiring
	}
	return Retired
}

// next is the first time after now (ms) at which At differs, 0 for never.
func (p Plan) next(now int64) (at int64) {
	for _, k := range p.At(now) {
		for _, t := range []int64{k.From, k.ExpiredAt} {
			if t > now && (at == 0 || t < at) {
				at = t
			}
		}
	}
	return at
}

// Rotate brings a new key into the plan, which signs after the overlap. Without overlap a key that waits already begins at once,
// and no other is made. The private halves of keys that sign no more are not kept.
func (p Plan) Rotate(fresh signing.Key, now int64, overlap time.Duration) (Plan, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return p, fmt.Errorf("overlap of %s: from 0 to %s", overlap, MaxOverlap)
	}
	next := p.settle(now)
	last := len(next.Keys) - 1
	switch waiting := next.Keys[last].From > now; {
	case waiting && overlap > 0:
		return p, fmt.Errorf("%w: %s begins to sign at %s", ErrRotating, next.Keys[last].ID,
			time.UnixMilli(next.Keys[last].From).UTC().Format(time.RFC3339))
	case waiting:
		next.Keys[last].From = now
	default:
		if len(next.Old) >= maxOwnOld {
			return p, fmt.Errorf("%d old keys are published, at most %d can be: take the oldest out of the key file", len(next.Old), maxOwnOld)
		}
		next.Keys = append(next.Keys, PlannedKey{fresh, now + overlap.Milliseconds()})
	}
	next = next.settle(now)
	return next, next.check()
}

// settle moves keys that sign no more to the old ones.
func (p Plan) settle(now int64) Plan {
	turn := p.turn(now)
	next := Plan{Keys: slices.Clone(p.Keys[turn:]), Old: slices.Clone(p.Old)}
	for i, k := range p.Keys[:turn] {
		next.Old = append(next.Old, OldKey{ID: k.ID, Public: k.Public(), ExpiredAt: p.expiry(i)})
	}
	return next
}

// check refuses a plan that names a key twice or has no order.
func (p Plan) check() error {
	if len(p.Keys) == 0 {
		return errors.New("no key that signs")
	}
	seen := map[ident.KeyID]bool{}
	for i, k := range p.Keys {
		if i > 0 && k.From <= p.Keys[i-1].From {
			return fmt.Errorf("%s signs from %d, not after the key before it", k.ID, k.From)
		}
		if seen[k.ID] {
			return fmt.Errorf("%s is there twice", k.ID)
		}
		seen[k.ID] = true
	}
	for _, old := range p.Old {
		if seen[old.ID] {
			return fmt.Errorf("%s is there twice", old.ID)
		}
		seen[old.ID] = true
	}
	if len(p.Old) > maxOwnOld {
		return fmt.Errorf("%d old keys, at most %d", len(p.Old), maxOwnOld)
	}
	return nil
}

// AddOld adds the keys of another plan as old ones, those without an end with the given time (ms).
func (p Plan) AddOld(former Plan, expired int64) (Plan, error) {
	next := Plan{Keys: p.Keys, Old: slices.Clone(p.Old)}
	for _, k := range former.At(expired) {
		if k.ExpiredAt == 0 {
			k.ExpiredAt = expired
		}
		next.Old = append(next.Old, k.OldKey)
	}
	return next, next.check()
}
