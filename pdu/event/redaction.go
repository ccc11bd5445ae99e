// SPDX-License-Identifier: Apache-2.0

package event

import (
	"maps"
	"slices"

	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// redaction is what survives redaction in a room version. Lists of keys are in the order of canonical JSON, so
// that one walk over an object's members and a list selects.
type redaction struct {
	top     []field
	content map[string]kept // by event type; of other types nothing survives
}

// kept is what survives of the content of one event type.
type kept struct {
	all  bool
	keys []string
	part map[string][]string // of these members, themselves objects, only this
}

// maxKept is the most keys that survive of any content: those of the power levels.
const maxKept = 9

// baseRedaction is the tables of room version 1.
func baseRedaction() redaction {
	return redaction{
		top: []field{
			fieldAuthEvents, fieldContent, fieldDepth, fieldEventID, fieldHashes, fieldMembership, fieldOrigin,
			fieldOriginServerTS, fieldPrevEvents, fieldPrevState, fieldRoomID, fieldSender, fieldSignatures, fieldStateKey,
			fieldType,
		},
		content: map[string]kept{
			"m.room.aliases":            {keys: []string{"aliases"}},
			"m.room.create":             {keys: []string{"creator"}},
			"m.room.history_visibility": {keys: []string{"history_visibility"}},
			"m.room.join_rules":         {keys: []string{"join_rule"}},
			"m.room.member":             {keys: []string{"membership"}},
			"m.room.power_levels": {keys: []string{
				"ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default",
			}},
		},
	}
}

func (r *redaction) clone() redaction {
	return redaction{top: r.top, content: maps.Clone(r.content)}
}

// withoutAliases is the change of room version 6.
func (r *redaction) withoutAliases() { delete(r.content, "m.room.aliases") }

// withAllow is the change of room version 8.
func (r *redaction) withAllow() {
	r.content["m.room.join_rules"] = kept{keys: []string{"allow", "join_rule"}}
}

// withAuthoriser is the change of room version 9.
func (r *redaction) withAuthoriser() {
	r.content["m.room.member"] = kept{keys: []string{"join_authorised_via_users_server", "membership"}}
}

// asOfEleven is the changes of room version 11.
func (r *redaction) asOfEleven() {
	r.top = slices.DeleteFunc(slices.Clone(r.top), func(f field) bool {
		return f == fieldMembership || f == fieldOrigin || f == fieldPrevState
	})
	r.content["m.room.create"] = kept{all: true}
	r.content["m.room.member"] = kept{
		keys: []string{"join_authorised_via_users_server", "membership", "third_party_invite"},
		part: map[string][]string{"third_party_invite": {"signed"}},
	}
	r.content["m.room.power_levels"] = kept{keys: []string{
		"ban", "events", "events_default", "invite", "kick", "redact", "state_default", "users", "users_default",
	}}
	r.content["m.room.redaction"] = kept{keys: []string{"redacts"}}
}

// appendRedacted appends the canonical redacted form of an event. Without signatures it is what servers sign and what the
// reference hash is taken of (P-11, P-12). The event has no unsigned.
func (r *redaction) appendRedacted(dst []byte, root canonicaljson.Value, f *fields, withSignatures bool) []byte {
	members := canonicaljson.MembersOf(root, dst)
	for _, field := range r.top {
		switch {
		case field == fieldSignatures && !withSignatures:
		case field == fieldContent:
			r.keepContent(&members, f)
		default:
			members.Keep(f[field])
		}
	}
	return members.End()
}

// keepContent adds what survives of content.
func (r *redaction) keepContent(members *canonicaljson.Members, f *fields) {
	typ, _ := f[fieldType].Text()
	rule, content := r.content[typ], f[fieldContent]
	if rule.all || content.Kind() == canonicaljson.Invalid {
		members.Keep(content)
		return
	}
	members.Rewrite(content, func(dst []byte) []byte { return rule.appendContent(dst, content) })
}

func (k *kept) appendContent(dst []byte, content canonicaljson.Value) []byte {
	var space [maxKept]canonicaljson.Value
	values := space[:len(k.keys)]
	content.Select(values, k.keys)
	members := canonicaljson.MembersOf(content, dst)
	for i, key := range k.keys {
		part, isPart := k.part[key]
		switch value := values[i]; {
		case !isPart:
			members.Keep(value)
		case value.Kind() == canonicaljson.Object:
			members.Rewrite(value, func(dst []byte) []byte { return appendSelected(dst, value, part) })
		}
	}
	return members.End()
}

func appendSelected(dst []byte, object canonicaljson.Value, keys []string) []byte {
	members := canonicaljson.MembersOf(object, dst)
	for _, key := range keys {
		members.Keep(object.Get(key))
	}
	return members.End()
}
