// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// An accepted redaction takes effect when the event that it names is here and valid, is of the same room, and may be redacted by
// it at the state before it (rooms/v3, "Handling redactions"; P-60, P-61, P-64; in room versions 1 and 2 the rules have decided
// that, P-57). Everything that decides is the same on every server, whatever comes first. Then the stored event becomes what is
// left of it, and the redaction gets its position. Until then, be it for ever, the redaction is in the graph like any event and
// is delivered to nobody.
//
// A redaction that has soft-failed has no effect, as it would otherwise be a way around a ban: it counts when it is accepted.
// A redacted redaction keeps the effect that it has had or is still to have. What was redacted stays so.
//
// The rules look at events as redaction leaves them, as every later member of the room does: what they need is kept.
// Up to room version 10 some of it is not: the invite level, third-party invites, and of create events the room version and
// whether the room is closed. The last cannot be done without (P-40, P-42), so there a redaction of a create event has no effect.

// redactionType is the type of the events that redact others.
const redactionType = "m.room.redaction"

// effect is an accepted redaction with the event that it names.
type effect struct {
	redaction *record // the batch's own
	names     ident.EventID
	target    *record // the batch's own; nil while the redaction is held back
}

// redact finds which redactions take effect with what the batch has judged: those among it, and those held back for it.
func (b *batch) redact() error {
	if err := b.gatherRedactions(); err != nil || len(b.effects) == 0 {
		return err
	}
	targets := make([]ident.EventID, len(b.effects))
	for i, x := range b.effects {
		targets[i] = x.names
	}
	if err := b.load(targets); err != nil {
		return err
	}
	for i := range b.effects {
		if err := b.takeEffect(&b.effects[i]); err != nil {
			return err
		}
		b.head.withheld = b.head.withheld || b.effects[i].target == nil
	}
	return nil
}

// gatherRedactions lists them before the first takes effect: it may be on another's name for its target.
func (b *batch) gatherRedactions() error {
	var arrived []ident.EventID
	for _, r := range b.order {
		if names, ok := r.event.Redacts(); ok && r.outcome == Accepted && r.inGraph && r.position == 0 {
			b.effects = append(b.effects, effect{redaction: r, names: names})
		}
		if isNew := r.nid == 0 && r.past == live && b.isOwn(r); r.valid() && !isNew {
			arrived = append(arrived, r.event.ID())
		}
	}
	held, err := b.heldFor(arrived)
	if err != nil {
		return err
	}
	for _, h := range held {
		r, err := b.stored(h.Redaction)
		if err != nil {
			return err
		}
		gathered := slices.ContainsFunc(b.effects, func(x effect) bool { return x.redaction == r && x.names == h.Target })
		if !gathered && r.outcome == Accepted && r.inGraph {
			b.effects = append(b.effects, effect{redaction: r, names: h.Target})
		}
	}
	return nil
}

// valid says whether a redaction may take effect on the event: that it was not refused.
func (r *record) valid() bool { return r.outcome == Accepted || r.outcome == SoftFailed }

// awaitsParents says whether an event that others rest on is still to get its place in the graph: it is judged as it was sent, and
// redacted after.
func (b *batch) awaitsParents(r *record) (waits bool, err error) {
	id := r.event.ID()
	if _, judged := b.settled[id]; r.inGraph || r.past == history || r.nid == 0 || judged {
		return !r.inGraph && b.waits[id] != nil, nil
	}
	err = b.e.store.View(b.ctx, func(tx *persistence.Tx) (err error) {
		_, waits, err = tx.StagedEvent(r.nid)
		return err
	})
	return waits, err
}

// heldFor lists the redactions that are held back for one of the given events.
func (b *batch) heldFor(ids []ident.EventID) (held []persistence.Redaction, err error) {
	if !b.head.withheld {
		return nil, nil
	}
	for chunk := range slices.Chunk(ids, loadChunk) {
		err := b.e.store.View(b.ctx, func(tx *persistence.Tx) error {
			found, err := tx.HeldRedactions(b.head.nid, chunk)
			held = append(held, found...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list redactions held back: %w", err)
		}
	}
	return held, nil
}

// takeEffect redacts the target if it is valid and may be redacted.
func (b *batch) takeEffect(x *effect) error {
	target, err := b.record(x.names)
	if err != nil || target == nil || !target.valid() {
		return err
	}
	if waits, err := b.awaitsParents(target); err != nil || waits {
		return err
	}
	if allowed, err := b.mayRedact(x.redaction, target); err != nil || !allowed {
		return err
	}
	x.redaction, x.target = b.change(x.redaction), b.change(target)
	if x.target.by == "" {
		x.target.event, x.target.by = x.target.event.Redact(), x.redaction.event.ID()
		b.replaceExtremity(x.target)
	}
	return nil
}

func (b *batch) mayRedact(redaction, target *record) (bool, error) {
	if target.event.RoomID() != redaction.event.RoomID() {
		return false, nil // P-64
	}
	if target.event.IsState(createSlot) && losesContent(target.event) {
		return false, nil
	}
	if b.head.version.RedactionAuthRule {
		return true, nil
	}
	at := &stateAt{b: b, root: redaction.before}
	result := auth.MayRedact(redaction.event, target.event, at)
	return result.OK, at.err
}

// keptAllowed lets a redaction of room versions 1 and 2 pass that does not say any more what it names: only what the rules had
// allowed could be redacted itself.
func keptAllowed(r *record, result auth.Result) auth.Result {
	if result.OK || result.Rule != "P-57" || r.by == "" {
		return result
	}
	return auth.Result{OK: true, Rule: "P-57", Detail: "allowed when it came; what it names has been redacted since"}
}

// losesContent says whether redaction takes content from an event.
func losesContent(e *event.Event) bool {
	return !bytes.Equal(e.Content().Canonical(), e.Redact().Content().Canonical())
}

// replaceExtremity has the room's head hold an event as it stands.
func (b *batch) replaceExtremity(r *record) {
	for _, list := range []*[]*extremity{&b.head.extremities, &b.head.held} {
		i := slices.IndexFunc(*list, func(x *extremity) bool { return x.record.event.ID() == r.event.ID() })
		if i >= 0 {
			*list = slices.Clone(*list)
			(*list)[i] = &extremity{record: r, ref: (*list)[i].ref}
		}
	}
}

// holdsBack says whether an accepted event is kept from subscribers: a redaction that has taken no effect.
func (b *batch) holdsBack(r *record) bool {
	return r.event.Type() == redactionType && !slices.ContainsFunc(b.effects, func(x effect) bool {
		return x.target != nil && x.redaction.event.ID() == r.event.ID()
	})
}

// writeEffects stores what takes effect and what is held back, when the events of the batch are stored.
func (b *batch) writeEffects(tx *persistence.Tx) error {
	for _, x := range b.effects {
		if err := tx.PutRedaction(b.head.nid, x.names, x.redaction.nid, x.target == nil); err != nil {
			return err
		}
		if x.target == nil || x.target.by != x.redaction.event.ID() {
			continue
		}
		if err := tx.RedactEvent(x.target.nid, x.redaction.nid, x.target.event.JSON()); err != nil {
			return err
		}
	}
	return nil
}

// tellEffects traces what has taken effect.
func (b *batch) tellEffects() {
	for _, x := range b.effects {
		if x.target != nil {
			b.e.trace.Emit(trace.PDURedacted{
				Room: string(b.id), Event: string(x.names), By: string(x.redaction.event.ID()), Position: int64(x.redaction.position),
			})
		}
	}
}
