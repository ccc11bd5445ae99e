// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"encoding/json"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// memberContent is the content of a member event: what the caller wants it to say, anything that encoding/json makes an object of or nil,
// and the membership. What rests on another's word is not the caller's to say.
func memberContent(wanted any, membership string) (map[string]any, error) {
	content, err := membersOf(wanted)
	if err != nil {
		return nil, err
	}
	delete(content, authoriserKey)
	delete(content, thirdPartyKey)
	content["membership"] = membership
	return content, nil
}

// membersOf is the members of anything that encoding/json makes an object of, or of nil, which has none.
func membersOf(object any) (map[string]any, error) {
	members := map[string]any{}
	if object == nil {
		return members, nil
	}
	encoded, err := encodeContent(object)
	if err != nil {
		return nil, err
	}
	root, err := canonicaljson.Parse(encoded, canonicaljson.Lenient)
	if err != nil {
		return nil, err
	}
	for name, value := range root.Members() {
		members[name] = json.RawMessage(value.Canonical())
	}
	return members, nil
}

// memberDraft is the draft of what one user makes of the membership of another, or of their own.
func memberDraft(sender, user ident.UserID, membership string, wanted any) (pdu.Draft, error) {
	content, err := memberContent(wanted, membership)
	if err != nil {
		return pdu.Draft{}, err
	}
	return draftOf(sender, user, content)
}

func draftOf(sender, user ident.UserID, content map[string]any) (pdu.Draft, error) {
	encoded, err := encodeContent(content)
	key := string(user)
	return pdu.Draft{Type: "m.room.member", StateKey: &key, Content: encoded, Sender: sender}, err
}
