// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// Proto is an event that has not been hashed and signed.
type Proto struct {
	RoomID         ident.RoomID // ignored for the create event of room version 12
	Sender         ident.UserID
	Type           string
	StateKey       *string // nil: no state event
	Content        []byte  // a JSON object
	PrevEvents     []Ref   // the hashes are needed in room versions 1 and 2 only
	AuthEvents     []Ref
	Depth          int64
	OriginServerTS int64         // milliseconds
	Redacts        ident.EventID // m.room.redaction: set in the place that the room version has for it
}

// Build hashes and signs an event, under a fresh id in room versions 1 and 2. It refuses what Parse would refuse, and power
// levels that are not integers, which no server should issue even where they are understood (P-36).
func Build(v *Version, p Proto, origin ident.ServerName, key signing.Key) (*Event, error) {
	e, err := build(v, p, origin, key)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", p.Type, err)
	}
	return e, nil
}

func build(v *Version, p Proto, origin ident.ServerName, key signing.Key) (*Event, error) {
	if prev, auth := len(p.PrevEvents), len(p.AuthEvents); prev > MaxPrevEvents || auth > MaxAuthEvents {
		return nil, malformed("P-04", "%d prev_events and %d auth_events, at most %d and %d are allowed",
			prev, auth, MaxPrevEvents, MaxAuthEvents)
	}
	members, err := p.members(v)
	if err != nil {
		return nil, err
	}
	if v.OriginField {
		members = append(members, textMember("origin", string(origin)))
	}
	if v.EventIDFormat == IDField {
		members = append(members, textMember("event_id", "$"+rand.Text()+":"+string(origin)))
	}
	root, err := canonicaljson.Parse(object(members), v.Rules)
	if err != nil {
		return nil, err
	}
	if err := checkIssued(v, p.Type, root.Get("content")); err != nil {
		return nil, err
	}
	hash := sha256.Sum256(root.Canonical()) // it has no hashes, signatures or unsigned yet
	hashes := object([]member{textMember("sha256", signing.EncodeBase64(hash[:]))})
	members = append(members, member{"hashes", hashes}, member{"signatures", []byte("{}")})
	if root, err = canonicaljson.Parse(object(members), v.Rules); err != nil {
		return nil, err
	}
	return (&Event{version: v, text: root.Canonical()}).Sign(origin, key)
}

// checkIssued refuses content that we accept from others and must not send.
func checkIssued(v *Version, typ string, content canonicaljson.Value) error {
	if typ != typePowerLevels {
		return nil
	}
	integers := *v
	integers.IntegerPowerLevels, integers.FloatPowerLevels = true, false
	_, err := decodePowerLevels(&integers, content)
	return err
}

// Template is the event without hashes, signatures and what the signing server decides, as make_join, make_leave and make_knock
// return it: canonical JSON.
func Template(v *Version, p Proto) ([]byte, error) {
	members, err := p.members(v)
	if err != nil {
		return nil, fmt.Errorf("template for %s: %w", p.Type, err)
	}
	text, err := canonicaljson.Canonicalize(object(members), v.Rules)
	if err != nil {
		return nil, fmt.Errorf("template for %s: %w", p.Type, err)
	}
	return text, nil
}

// FromTemplate reads another server's template. It takes over everything that a Proto holds: what of it is to be trusted, and
// what replaced, is for the caller to say (M-03, M-04).
func FromTemplate(v *Version, template []byte) (Proto, error) {
	root, err := canonicaljson.Parse(template, v.Rules)
	if err != nil {
		return Proto{}, fmt.Errorf("event template: %w", err)
	}
	var f fields
	f.read(root)
	sender, hasSender := f[fieldSender].Text()
	room, hasRoom := f[fieldRoomID].Text()
	typ, hasType := f[fieldType].Text()
	depth, hasDepth := f[fieldDepth].Int()
	if !hasSender || !hasRoom || !hasType || !hasDepth || f[fieldContent].Kind() != canonicaljson.Object {
		return Proto{}, malformed("M-03", "a template needs room_id, sender, type, depth and content")
	}
	p := Proto{
		RoomID: ident.RoomID(room), Sender: ident.UserID(sender), Type: typ, Depth: depth,
		Content: slices.Clone(f[fieldContent].Canonical()),
	}
	p.OriginServerTS, _ = f[fieldOriginServerTS].Int()
	if key, ok := f[fieldStateKey].Text(); ok {
		p.StateKey = &key
	}
	if p.PrevEvents, err = templateRefs(v, "prev_events", f[fieldPrevEvents], MaxPrevEvents); err != nil {
		return Proto{}, err
	}
	if p.AuthEvents, err = templateRefs(v, "auth_events", f[fieldAuthEvents], MaxAuthEvents); err != nil {
		return Proto{}, err
	}
	return p, nil
}

func templateRefs(v *Version, name string, list canonicaljson.Value, most int) ([]Ref, error) {
	ids, err := appendReferences(nil, v, name, list, most)
	if err != nil {
		return nil, err
	}
	refs := make([]Ref, 0, len(ids))
	for element := range list.Elements() {
		ref := Ref{ID: ids[len(refs)]}
		for part := range element.Elements() {
			encoded, _ := part.Get("sha256").Text()
			if hash, err := signing.DecodeBase64(encoded); err == nil {
				copy(ref.Hash[:], hash)
			}
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// Sign is the event with a signature added; those of others, and of other keys, are kept (P-20). A signature by the same key
// is replaced.
func (e *Event) Sign(server ident.ServerName, key signing.Key) (*Event, error) {
	return e.WithSignature(server, key.ID, signing.EncodeBase64(ed25519.Sign(key.Private, e.message())))
}

// WithSignature is Sign for a signature that somebody else made. Whether it is good is not looked at.
func (e *Event) WithSignature(server ident.ServerName, id ident.KeyID, signature string) (*Event, error) {
	all := e.Signatures()
	own := append(membersWithout(all.Get(string(server)), string(id)), textMember(string(id), signature))
	every := append(membersWithout(all, string(server)), member{string(server), object(own)})
	members := append(membersWithout(e.root(), "signatures"), member{"signatures", object(every)})
	signed, err := ParseBackfilled(e.version, object(members))
	if err != nil {
		return nil, fmt.Errorf("sign as %s: %w", server, err)
	}
	if signed.mismatch && !e.mismatch {
		return nil, fmt.Errorf("sign as %s: the content hash does not match", server)
	}
	signed.signers = e.signers
	return signed, nil
}

// Restored is the event, of which there is what redaction leaves, as a copy whose content hash matches has it. Its signatures
// stay: they are over what both have in common, and were verified.
func (e *Event) Restored(copy *Event) (*Event, error) {
	if copy.mismatch {
		return nil, errors.New("restore: the content hash of the copy does not match")
	}
	if copy.id != e.id || !bytes.Equal(copy.message(), e.message()) {
		return nil, errors.New("restore: the copy is of another event")
	}
	members := append(membersWithout(copy.root(), "signatures"), member{"signatures", e.Signatures().Canonical()})
	whole, err := ParseBackfilled(e.version, object(members))
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return whole, nil
}

// Verify says whether a signature is a key's over the event, whoever the key belongs to.
func (e *Event) Verify(key ed25519.PublicKey, signature []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, e.message(), signature)
}

// members is the fields that a template has.
func (p *Proto) members(v *Version) ([]member, error) {
	content := p.Content
	implied := v.HashRoomID && p.Type == typeCreate
	members := []member{
		textMember("sender", string(p.Sender)),
		textMember("type", p.Type),
		{"prev_events", refList(v, p.PrevEvents)},
		{"auth_events", refList(v, p.AuthEvents)},
		{"depth", strconv.AppendInt(nil, min(p.Depth, v.MaxDepth), 10)},
		{"origin_server_ts", strconv.AppendInt(nil, p.OriginServerTS, 10)},
	}
	if !implied {
		members = append(members, textMember("room_id", string(p.RoomID)))
	}
	if p.StateKey != nil {
		members = append(members, textMember("state_key", *p.StateKey))
	}
	if p.Redacts != "" && !v.RedactsInContent {
		members = append(members, textMember("redacts", string(p.Redacts)))
	}
	parsed, err := canonicaljson.Parse(content, v.Rules)
	if err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	if parsed.Kind() != canonicaljson.Object {
		return nil, errors.New("content is not an object")
	}
	if p.Redacts != "" && v.RedactsInContent {
		content = object(append(membersWithout(parsed, "redacts"), textMember("redacts", string(p.Redacts))))
	}
	return append(members, member{"content", content}), nil
}

func refList(v *Version, refs []Ref) []byte {
	list := []byte{'['}
	for i, ref := range refs {
		if i > 0 {
			list = append(list, ',')
		}
		if v.References == RefIDs {
			list = canonicaljson.AppendString(list, string(ref.ID))
			continue
		}
		list = append(list, '[')
		list = canonicaljson.AppendString(list, string(ref.ID))
		list = append(list, ',')
		list = append(list, object([]member{textMember("sha256", signing.EncodeBase64(ref.Hash[:]))})...)
		list = append(list, ']')
	}
	return append(list, ']')
}

// member is one member of an object that is being made.
type member struct {
	key   string
	value []byte // JSON
}

func textMember(key, value string) member {
	return member{key, canonicaljson.AppendString(nil, value)}
}

// membersWithout is the members of a parsed object but one.
func membersWithout(object canonicaljson.Value, key string) []member {
	var members []member
	for name, value := range object.Members() {
		if name != key {
			members = append(members, member{name, value.Canonical()})
		}
	}
	return members
}

// object is the JSON object of the members, sorted.
func object(members []member) []byte {
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	out := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = canonicaljson.AppendString(out, m.key)
		out = append(out, ':')
		out = append(out, m.value...)
	}
	return append(out, '}')
}
