// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"crypto/sha256"
	"sync"

	"github.com/strata-matrix/strata/pdu/acl"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// record is an event with what is known of it. It is immutable once it is in the memory or handed out; while a turn works on
// it, it is the turn's own.
type record struct {
	nid      int64 // 0 until stored
	room     int64
	event    *event.Event
	outcome  Outcome // Staged until judged
	redacted bool
	by       ident.EventID // the redaction that took effect on it, "" for none
	past     past
	inGraph  bool       // its parents are known, and so is:
	before   state.Root // the state before it
	after    state.Root // and after it
	position persistence.Position

	rewritten bool // its text may not be the one that is stored: it has more signatures, or is whole
}

// past is how an event that came late stands to what is in the graph.
type past int

// The values are stored.
const (
	live     past = 0
	followed past = 1 // something in the graph follows it, by a state or auth chain that was given: it becomes no extremity
	history  past = 2 // likewise, and it is from before a join of ours or a gap: it is not judged by the present, nor delivered
)

// known says that the event has been judged at least by its own auth events, so that others may rest on it.
func (r *record) known() bool { return r.outcome != Staged }

// memory holds recent events and state nodes, so that hot reads never reach the store. Records are put by the store's
// goroutine when they change, and by the goroutine that has their room's turn when it reads them: so no older one ever
// replaces a newer one. mu guards all.
type memory struct {
	mu          sync.Mutex
	records     *generations[ident.EventID, *record]
	nodes       *generations[state.Root, state.Node]
	acls        *generations[aclKey, acl.List] // parsed, since every request asks for them
	auths       *generations[eventRef, []eventRef]
	chains      *generations[state.Root, []ident.EventID]   // of states
	resolutions *generations[[sha256.Size]byte, state.Root] // by their inputs; what they give is stored
}

// aclKey names what an event says, which its redaction changes, and so does a whole copy of it.
type aclKey struct {
	id       ident.EventID
	redacted bool
}

func newMemory() *memory {
	return &memory{
		records:     newGenerations[ident.EventID](recordCacheWeight, func(r *record) int { return len(r.event.JSON()) }),
		nodes:       newGenerations[state.Root](nodeCacheWeight, func(n state.Node) int { return len(n.Data) }),
		acls:        newGenerations[aclKey](aclCacheWeight, func(acl.List) int { return 1 }),
		auths:       newGenerations[eventRef](authsCacheWeight, func(list []eventRef) int { return authsWeight + len(list) }),
		chains:      newGenerations[state.Root](chainCacheWeight, func(chain []ident.EventID) int { return len(chain) }),
		resolutions: newResolutions(),
	}
}

func (m *memory) record(id ident.EventID) (*record, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records.get(id)
}

func (m *memory) putRecords(records ...*record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		m.records.put(r.event.ID(), r)
	}
}

func (m *memory) forgetRecords(ids ...ident.EventID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		m.records.remove(id)
	}
}

func (m *memory) node(hash state.Root) (state.Node, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes.get(hash)
}

func (m *memory) putNode(n state.Node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes.put(n.Hash, n)
}

// authEvents is the auth events of each of the given events, not nil, and those of which they are not known.
func (m *memory) authEvents(refs []eventRef) (lists [][]eventRef, missing []ident.EventID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lists = make([][]eventRef, len(refs))
	for i, ref := range refs {
		if list, ok := m.auths.get(ref); ok {
			lists[i] = list
		} else {
			missing = append(missing, ref.Value())
		}
	}
	return lists, missing
}

func (m *memory) putAuthEvents(refs []eventRef, lists [][]eventRef) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, ref := range refs {
		m.auths.put(ref, lists[i])
	}
}

// chain is the auth chain of a state.
func (m *memory) chain(root state.Root) ([]ident.EventID, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.chains.get(root)
}

func (m *memory) putChain(root state.Root, chain []ident.EventID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.chains.put(root, chain)
}

// acl is the list that an event sets.
func (m *memory) acl(r *record) acl.List {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := aclKey{r.event.ID(), r.redacted || r.by != ""}
	list, ok := m.acls.get(key)
	if !ok {
		list = acl.Parse(r.event.Content())
		m.acls.put(key, list)
	}
	return list
}

// generations is a bounded map: when the young half is full, it becomes the old half and what was not asked for since is
// forgotten. It is not safe for concurrent use.
type generations[K comparable, V any] struct {
	half       int // weight of a half
	weigh      func(V) int
	weight     int // of the young
	young, old map[K]V
}

func newGenerations[K comparable, V any](weight int, weigh func(V) int) *generations[K, V] {
	return &generations[K, V]{half: weight / 2, weigh: weigh, young: map[K]V{}}
}

func (g *generations[K, V]) get(key K) (V, bool) {
	if v, ok := g.young[key]; ok {
		return v, true
	}
	v, ok := g.old[key]
	if ok {
		g.put(key, v)
	}
	return v, ok
}

func (g *generations[K, V]) put(key K, v V) {
	if before, ok := g.young[key]; ok {
		g.weight -= g.weigh(before)
	}
	g.young[key] = v
	if g.weight += g.weigh(v); g.weight > g.half {
		g.old, g.young, g.weight = g.young, map[K]V{}, 0
	}
}

func (g *generations[K, V]) remove(key K) {
	if before, ok := g.young[key]; ok {
		g.weight -= g.weigh(before)
	}
	delete(g.young, key)
	delete(g.old, key)
}
