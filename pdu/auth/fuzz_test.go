// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"encoding/json"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// FuzzCheck judges events with arbitrary content at states with arbitrary content, as they may come from any server: there is
// always a verdict with a rule and a sentence, it is the same the second time, and no content may panic. What the selection
// asks for is all that decides: at a state cut down to it the verdict is the same.
func FuzzCheck(f *testing.F) {
	types := []string{typeMember, typePowerLevels, typeCreate, typeAliases, typeRedaction, typeThirdPartyInvite, "m.room.message"}
	f.Add(uint8(9), uint8(0), true, "@bob:b", []byte(`{"membership":"join","join_authorised_via_users_server":"@alice:a"}`),
		[]byte(`{}`), []byte(`{"users":{"@bob:b":50}}`), []byte(`{"join_rule":"restricted"}`), []byte(`{"membership":"leave"}`))
	f.Add(uint8(0), uint8(1), true, "", []byte(`{"ban":1e400,"users":{"@bob:b":"+7"}}`), []byte(`{"creator":[]}`),
		[]byte(`{"users":[]}`), []byte(`{"join_rule":1}`), []byte(`{"membership":1}`))
	f.Add(uint8(11), uint8(0), true, "@carol:c", []byte(`{"membership":"invite","third_party_invite":{"signed":{"mxid":"@carol:c","token":"tok","signatures":{"a":{"ed25519:0":"AAAA"}}}}}`),
		[]byte(`{"additional_creators":7}`), []byte(`{}`), []byte(`{"public_key":"AAAA","public_keys":[1]}`), []byte(`{"membership":"join"}`))
	f.Add(uint8(3), uint8(3), false, "", []byte(`{}`), []byte(`{"m.federate":0}`), []byte(`{}`), []byte(`{}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, version, kind uint8, isState bool, key string, content, create, power, rules, member []byte) {
		names := event.Versions()
		r := newTestRoom(t, names[int(version)%len(names)])
		var state []*event.Event
		for _, s := range []sketch{
			stateSketch("@alice:a", typeCreate, "", ""), stateSketch("@alice:a", typePowerLevels, "", ""),
			stateSketch("@alice:a", typeJoinRules, "", ""), stateSketch("@bob:b", typeMember, "@bob:b", ""),
			stateSketch("@alice:a", typeMember, "@alice:a", ""), stateSketch("@bob:b", typeThirdPartyInvite, "tok", ""),
		} {
			s.Content = map[string][]byte{typeCreate: create, typePowerLevels: power, typeMember: member}[s.Type]
			if s.Content == nil {
				s.Content = rules
			}
			if !json.Valid(s.Content) {
				continue
			}
			if e, err := r.tryEvent(s, nil); err == nil {
				state = append(state, e)
			}
		}
		s := sketch{Sender: "@bob:b", Type: types[int(kind)%len(types)], Content: content}
		if isState {
			s.StateKey = &key
		}
		if !json.Valid(content) {
			return
		}
		e, err := r.tryEvent(s, state)
		if err != nil {
			return
		}
		judge(t, e, state)
	})
}

func judge(t *testing.T, e *event.Event, state []*event.Event) {
	full := StateOf(state)
	got := Check(e, full)
	if got.Rule == "" || got.Detail == "" {
		t.Errorf("verdict without reason: %+v", got)
	}
	if again := Check(e, full); again != got {
		t.Errorf("another verdict the second time: %+v, then %+v", got, again)
	}
	needed := stateMap{createSlot: full.Event(createSlot)}
	for _, slot := range neededFor(e) {
		needed[slot] = full.Event(slot)
	}
	if alone := Check(e, needed); alone.OK != got.OK {
		t.Errorf("at the needed state: %+v, at the full one: %+v", alone, got)
	}
	CheckAuthEvents(e, state, func(ident.EventID) bool { return false })
	CheckIssued(e.Type(), e.Content())
	for _, target := range state {
		MayRedact(e, target, full)
		Power(e.Sender(), target, target)
	}
}
