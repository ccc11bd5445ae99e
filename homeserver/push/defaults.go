// SPDX-License-Identifier: Apache-2.0

package push

import (
	"encoding/json"

	"github.com/strata-matrix/strata/transport/ident"
)

// What the default rules do.
var (
	nothing      = []json.RawMessage{}
	notify       = []json.RawMessage{json.RawMessage(`"notify"`)}
	withSound    = append(notify[:1:1], json.RawMessage(`{"set_tweak":"sound","value":"default"}`))
	withRing     = append(notify[:1:1], json.RawMessage(`{"set_tweak":"sound","value":"ring"}`))
	highlighted  = append(notify[:1:1], json.RawMessage(`{"set_tweak":"highlight"}`))
	loudAndClear = append(withSound[:2:2], json.RawMessage(`{"set_tweak":"highlight"}`))
)

func match(key, pattern string) Condition {
	return Condition{Kind: "event_match", Key: key, Pattern: &pattern}
}

func property(kind, key, value string) Condition {
	return Condition{Kind: kind, Key: key, Value: json.RawMessage(value)}
}

func members(is string) Condition { return Condition{Kind: "room_member_count", Is: is} }

func rule(id string, actions []json.RawMessage, conditions ...Condition) Rule {
	return Rule{ID: id, Default: true, Enabled: true, Actions: actions, Conditions: conditions}
}

// defaultRules are the predefined rules of a kind (Client-Server API, "Predefined Rules"), in the order of the specification.
func defaultRules(kind string, user ident.UserID) []Rule {
	switch kind {
	case KindOverride:
		return overrides(user)
	case KindContent:
		return []Rule{{ID: ".m.rule.contains_user_name", Default: true, Enabled: true, Actions: loudAndClear, Pattern: user.Localpart()}}
	case KindUnderride:
		const message, encrypted = "m.room.message", "m.room.encrypted"
		return []Rule{
			rule(".m.rule.call", withRing, match("type", "m.call.invite")),
			rule(".m.rule.encrypted_room_one_to_one", withSound, members("2"), match("type", encrypted)),
			rule(".m.rule.room_one_to_one", withSound, members("2"), match("type", message)),
			rule(".m.rule.message", notify, match("type", message)),
			rule(".m.rule.encrypted", notify, match("type", encrypted)),
		}
	}
	return nil
}

func overrides(user ident.UserID) []Rule {
	master := rule(".m.rule.master", nothing)
	master.Enabled = false
	me, _ := json.Marshal(user) // a string always encodes
	room := Condition{Kind: "sender_notification_permission", Key: "room"}
	return []Rule{
		master,
		rule(".m.rule.suppress_notices", nothing, match("content.msgtype", "m.notice")),
		rule(".m.rule.invite_for_me", withSound, match("type", "m.room.member"), match("content.membership", "invite"),
			match("state_key", string(user))),
		rule(".m.rule.member_event", nothing, match("type", "m.room.member")),
		rule(".m.rule.is_user_mention", loudAndClear, property("event_property_contains", `content.m\.mentions.user_ids`, string(me))),
		rule(".m.rule.contains_display_name", loudAndClear, Condition{Kind: "contains_display_name"}),
		rule(".m.rule.is_room_mention", highlighted, property("event_property_is", `content.m\.mentions.room`, "true"), room),
		rule(".m.rule.roomnotif", highlighted, match("content.body", "@room"), room),
		rule(".m.rule.tombstone", highlighted, match("type", "m.room.tombstone"), match("state_key", "")),
		rule(".m.rule.reaction", nothing, match("type", "m.reaction")),
		rule(".m.rule.room.server_acl", nothing, match("type", "m.room.server_acl"), match("state_key", "")),
		rule(".m.rule.suppress_edits", nothing, property("event_property_is", `content.m\.relates_to.rel_type`, `"m.replace"`)),
	}
}
