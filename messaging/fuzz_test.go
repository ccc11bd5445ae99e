// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"testing"

	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Whatever an EDU says, what is made of it is about users of its origin, and within the limits (M-61).
func FuzzEDU(f *testing.F) {
	for _, content := range []string{
		`{"room_id":"!r:x.example","user_id":"@u:x.example","typing":true}`,
		`{"push":[{"user_id":"@u:x.example","presence":"online","last_active_ago":5000,"status_msg":"hi","currently_active":true}]}`,
		`{"!r:x.example":{"m.read":{"@u:x.example":{"event_ids":["$e"],"data":{"ts":1,"thread_id":"main"}}}}}`,
		`{"sender":"@u:x.example","type":"m.t","message_id":"1","messages":{"@alice:a.example":{"D":{"k":1.5}}}}`,
		`{"user_id":"@u:x.example","device_id":"D","stream_id":6,"prev_id":[5],"keys":{"user_id":"@u:x.example","device_id":"D","keys":{}}}`,
		`{"user_id":"@u:x.example","master_key":{"user_id":"@u:x.example","usage":["master"],"keys":{"k":"v"}}}`,
	} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		v, err := canonicaljson.Parse(content, canonicaljson.Foreign)
		if err != nil || v.Kind() != canonicaljson.Object {
			return
		}
		edu := transaction.EDU{Origin: "x.example", Content: v}
		of := func(what string, user ident.UserID) {
			if user.Server() != edu.Origin {
				t.Errorf("%s of %s: %s", what, user, content)
			}
		}
		if n, err := parseTyping(edu); err == nil {
			of("typing", n.User)
		}
		presence, _ := parsePresence(edu)
		for _, u := range presence {
			if of("presence", u.User); u.LastActive < 0 || u.LastActive > maxInactive || len(u.Status) > maxStatus {
				t.Errorf("presence %+v", u)
			}
		}
		receipts, _ := parseReceipts(edu)
		for _, r := range receipts {
			if of("receipt", r.User); r.Event == "" || r.Room == "" || len(r.Thread) > maxThreadID {
				t.Errorf("receipt %+v", r)
			}
		}
		if m, err := parseToDevice(edu, "a.example"); err == nil {
			of("message", m.Sender)
			for user, devices := range m.Messages {
				if user.Server() != "a.example" || len(devices) == 0 {
					t.Errorf("message for %d devices of %s", len(devices), user)
				}
			}
		}
		if u, err := parseDeviceUpdate(edu); err == nil {
			if of("device", u.user); u.device.ID == "" || len(u.device.ID) > maxDeviceID || len(u.prev) > maxDeviceStreams {
				t.Errorf("update %+v", u)
			}
		}
	})
}

// Whatever a server answers, what is made of it is about what was asked, and within the limits.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		`{"displayname":"X","avatar_url":null,"k":[1]}`, `{"room_id":"!s:x","servers":["x.example","y.example"]}`, `{"sub":"@u:x.example"}`,
		`{"user_id":"@u:x.example","stream_id":5,"devices":[{"device_id":"D","keys":{"user_id":"@u:x.example","device_id":"D","keys":{}}}]}`,
		`{"device_keys":{"@u:x.example":{"D":{"user_id":"@u:x.example","device_id":"D","keys":{}}}},"master_keys":{}}`,
		`{"one_time_keys":{"@u:x.example":{"D":{"a:1":{"key":"k"}}}}}`,
		`{"chunk":[{"room_id":"!s:x","num_joined_members":1}],"next_batch":"n","total_room_count_estimate":1}`,
		`{"room":{"room_id":"!s:x","room_type":"m.space","num_joined_members":1,"children_state":[{"type":"m.space.child","state_key":"!a:x","sender":"@s:x","origin_server_ts":1,"content":{"via":["x"]}}]},"children":[{"room_id":"!a:x","num_joined_members":1}],"inaccessible_children":["!b:x"]}`,
	} {
		f.Add([]byte(body))
	}
	const user = ident.UserID("@u:x.example")
	f.Fuzz(func(t *testing.T, body []byte) {
		if fields, err := parseProfile(body, "displayname"); err == nil && len(fields) > 1 {
			t.Errorf("profile %v", fields)
		}
		if target, err := parseAliasTarget(body, "x.example"); err == nil && (target.Room == "" || len(target.Servers) == 0 || len(target.Servers) > maxAliasServers+1) {
			t.Errorf("alias %+v", target)
		}
		if user, err := parseUserInfo(body, "x.example"); err == nil && user.Server() != "x.example" {
			t.Errorf("token of %s", user)
		}
		if list, err := parseDeviceList(user, body); err == nil && (list.User != user || len(list.Devices) > maxDevices) {
			t.Errorf("devices %+v", list)
		}
		if keys, err := parseKeys(body, map[ident.UserID][]string{user: nil}); err == nil && len(keys.Devices) != 1 {
			t.Errorf("keys %+v", keys)
		}
		if keys, err := parseClaimed(body, KeyClaims{user: {"D": "a"}}); err == nil && (len(keys) > 1 || len(keys[user]) > 1 || len(keys[user]["D"]) > 1) {
			t.Errorf("claimed %v", keys)
		}
		page, _ := parsePublicRooms(body)
		for _, room := range page.Rooms {
			if room.Room == "" || room.Members < 0 {
				t.Errorf("room %+v", room)
			}
		}
		if h, err := parseHierarchy(body, "!s:x"); err == nil && (h.Room.Room != "!s:x" || len(h.Children)+len(h.Inaccessible) > len(h.Room.ChildrenState)) {
			t.Errorf("hierarchy %+v", h)
		}
	})
}
