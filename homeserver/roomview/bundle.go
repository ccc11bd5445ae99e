// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// The kinds of relations that are aggregated. Annotations are not (CS "Server-side aggregation of m.annotation relationships").
const (
	replacement = "m.replace"
	reference   = "m.reference"
)

var bundledKinds = []string{event.ThreadRelation, replacement, reference}

// Limits of what is gathered for one event. What is more is left out, the oldest first.
const (
	// bundledAtOnce is of how many events one job gathers what relates to them.
	bundledAtOnce = 32
	// maxThread is how many events of a thread are counted: some 3 µs each.
	maxThread = 5000
	// maxEdits is how many edits are looked through for the latest valid one: people make few.
	maxEdits = 100
	// maxReferences is how many references are listed; a verification has some ten.
	maxReferences = 100
	// visibleAtOnce is how many of a thread are looked at in one step where it matters who may see them.
	visibleAtOnce = 100
)

// Bundle is what the events that relate to one come to, for a user (CS "Aggregations of child events", S-31).
type Bundle struct {
	Replacement *pdu.Placed // the latest valid edit, nil for none
	Thread      *Thread     // nil for none
	References  []ident.EventID
}

// Thread is what the thread of an event comes to.
type Thread struct {
	Latest       *pdu.Placed
	Count        int
	Participated bool // the user has a part in it
}

// Bundles is bundles by the events that they are of. Those that nothing relates to are left out.
type Bundles map[ident.EventID]Bundle

// Bundles gathers what relates to some events, as far as the user sees it and is not by whom they ignore; and what relates to the latest
// events of threads among it. State events have no bundles.
func (s *Sight) Bundles(ctx context.Context, events []*pdu.Placed, ignored map[ident.UserID]bool) (Bundles, error) {
	all := Bundles{}
	for len(events) > 0 { // twice: what is in a thread has none of its own
		var latest []*pdu.Placed
		for part := range slices.Chunk(events, bundledAtOnce) {
			found, err := s.related(ctx, part)
			if err != nil {
				return nil, fmt.Errorf("what relates to events of %s: %w", s.room, err)
			}
			for _, p := range part {
				b, err := s.bundle(ctx, p, found[p.Event.ID()], ignored)
				if err != nil {
					return nil, fmt.Errorf("what relates to %s: %w", p.Event.ID(), err)
				}
				if b.Thread != nil {
					latest = append(latest, b.Thread.Latest)
				}
				if b.Thread != nil || b.Replacement != nil || len(b.References) > 0 {
					all[p.Event.ID()] = b
				}
			}
		}
		events = latest
	}
	return all, nil
}

// relatives is what relates to an event, by kind, newest first.
type relatives map[string][]persistence.Related

// related reads what relates to some events.
func (s *Sight) related(ctx context.Context, events []*pdu.Placed) (found map[ident.EventID]relatives, err error) {
	byID := map[ident.EventID]*pdu.Placed{}
	ids := make([]ident.EventID, 0, len(events))
	for _, p := range events {
		if _, isState := p.Event.StateKey(); !isState {
			byID[p.Event.ID()] = p
			ids = append(ids, p.Event.ID())
		}
	}
	found = map[ident.EventID]relatives{}
	err = s.v.store.View(ctx, func(tx *persistence.Tx) error {
		parents, err := tx.Parents(ids, bundledKinds)
		if err != nil {
			return err
		}
		for id := range parents {
			if found[id], err = relativesOf(tx, byID[id], s.at); err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

// relativesOf reads what relates to an event in a way that the specification allows: what is itself related to another makes no thread and
// is not edited if it is an edit; what is redacted is edited no more, and only its sender has edited it.
func relativesOf(tx *persistence.Tx, p *pdu.Placed, through persistence.Position) (relatives, error) {
	list := relatives{}
	query := func(kind string, sender ident.UserID, limit int) (err error) {
		list[kind], err = tx.Related(persistence.RelatedQuery{
			Room: p.RoomNID, Parent: p.Event.ID(), Kind: kind, Sender: sender, Through: through, Limit: limit,
		})
		return err
	}
	_, kind, relates := p.Event.Relation()
	if !relates {
		if err := query(event.ThreadRelation, "", maxThread); err != nil {
			return nil, err
		}
	}
	if p.RedactedBy == "" && kind != replacement {
		if err := query(replacement, p.Event.Sender(), maxEdits); err != nil {
			return nil, err
		}
	}
	return list, query(reference, "", maxReferences)
}

// bundle makes the bundle of an event.
func (s *Sight) bundle(ctx context.Context, p *pdu.Placed, found relatives, ignored map[ident.UserID]bool) (b Bundle, err error) {
	for kind, list := range found {
		list = slices.DeleteFunc(list, func(r persistence.Related) bool { return ignored[r.Sender] })
		if found[kind] = list; kind != replacement { // of edits one is looked at, mostly
			if found[kind], err = s.visible(ctx, p, list); err != nil {
				return Bundle{}, err
			}
		}
	}
	if b.Replacement, err = s.latestEdit(ctx, p, found[replacement]); err != nil {
		return Bundle{}, err
	}
	if b.Thread, err = s.thread(ctx, p, found[event.ThreadRelation]); err != nil {
		return Bundle{}, err
	}
	for _, r := range slices.Backward(found[reference]) {
		b.References = append(b.References, r.ID)
	}
	return b, nil
}

// visible keeps what the user may see of what relates to an event.
func (s *Sight) visible(ctx context.Context, p *pdu.Placed, list []persistence.Related) ([]persistence.Related, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if all, err := s.seesAll(ctx, p); err != nil || all {
		return list, err
	}
	var kept []persistence.Related
	for part := range slices.Chunk(list, visibleAtOnce) {
		ids := make([]ident.EventID, len(part))
		for i, r := range part {
			ids[i] = r.ID
		}
		placed, err := s.v.engine.PlacedAll(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, r := range part {
			one, ok := placed[r.ID]
			if !ok {
				continue
			}
			sees, err := s.Sees(ctx, &one)
			if err != nil {
				return nil, err
			}
			if sees {
				kept = append(kept, r)
			}
		}
	}
	return kept, nil
}

// seesAll says whether the user sees all that came after an event: they are in the room, which shows its history to who is.
func (s *Sight) seesAll(ctx context.Context, p *pdu.Placed) (bool, error) {
	if s.membership != "join" {
		return false, nil
	}
	if s.present == (state.Root{}) {
		var err error
		if s.present, err = s.v.StateAsOf(ctx, p.RoomNID, s.at); err != nil {
			return false, err
		}
	}
	for _, root := range []state.Root{p.After, s.present} {
		setting, err := s.setting(ctx, root)
		if err != nil || setting.NeedsMembers() {
			return false, err
		}
	}
	return true, nil
}

// latestEdit is the latest valid edit of an event that the user sees, of those that its sender has made: by origin_server_ts, then by id
// (CS "Server-side aggregation of m.replace relationships").
func (s *Sight) latestEdit(ctx context.Context, p *pdu.Placed, list []persistence.Related) (*pdu.Placed, error) {
	slices.SortFunc(list, func(a, b persistence.Related) int { return cmp.Or(cmp.Compare(b.TS, a.TS), cmp.Compare(b.ID, a.ID)) })
	for _, r := range list {
		found, err := s.v.engine.Placed(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		if !edits(found.Event, p.Event) {
			continue
		}
		if sees, err := s.Sees(ctx, &found); err != nil || sees {
			return &found, err
		}
	}
	return nil, nil
}

// edits says whether an event that is said to replace another does (CS "Validity of replacement events"). What replaces an encrypted one is
// in what is encrypted.
func edits(e, original *event.Event) bool {
	_, isState := e.StateKey()
	return !isState && e.Type() == original.Type() && (e.Type() == "m.room.encrypted" || e.Content().Has("m.new_content"))
}

// thread is the thread of an event, of what is in it, newest first.
func (s *Sight) thread(ctx context.Context, p *pdu.Placed, list []persistence.Related) (*Thread, error) {
	if len(list) == 0 {
		return nil, nil
	}
	latest, err := s.v.engine.Placed(ctx, list[0].ID)
	if err != nil {
		return nil, err
	}
	return &Thread{
		Latest: &latest, Count: len(list),
		Participated: p.Event.Sender() == s.user || slices.ContainsFunc(list, func(r persistence.Related) bool { return r.Sender == s.user }),
	}, nil
}
