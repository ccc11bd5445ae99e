// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// hashRoom is the room id that the specification shows for room version 12 (V-12).
const hashRoom = "!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"

// object is JSON that a test takes apart; its numbers keep their digits.
type object = map[string]any

// seedKey is the key of V-01, and others made from it by another name.
func seedKey(t testing.TB, id ident.KeyID) signing.Key {
	t.Helper()
	seed, err := base64.RawStdEncoding.DecodeString("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
	if err != nil {
		t.Fatal(err)
	}
	if id != "ed25519:1" {
		sum := sha256.Sum256([]byte(id))
		seed = sum[:]
	}
	key, err := signing.NewKey(id, seed)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// version finds a room version that must exist.
func version(t testing.TB, id string) *event.Version {
	t.Helper()
	v, ok := event.VersionOf(id)
	if !ok {
		t.Fatalf("room version %s is unknown", id)
	}
	return v
}

// sample is a well-formed event of the room version, its hash being right and its signatures empty.
func sample(v *event.Version, typ string, stateKey any, content string) object {
	e := object{
		"type": typ, "sender": "@u:domain", "content": json.RawMessage(content), "depth": 3, "origin_server_ts": 1000000,
		"prev_events": sampleRefs(v), "auth_events": sampleRefs(v), "signatures": object{}, "room_id": "!r:domain",
	}
	if stateKey != nil {
		e["state_key"] = stateKey
	}
	if v.EventIDFormat == event.IDField {
		e["event_id"] = "$0:domain"
	}
	if v.HashRoomID {
		e["room_id"] = hashRoom
		if typ == "m.room.create" {
			delete(e, "room_id")
		}
	}
	return rehash(e)
}

func sampleRefs(v *event.Version) any {
	if v.References == event.RefPairs {
		return [][]any{{"$1:domain", map[string]string{"sha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg"}}}
	}
	return []string{"$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"}
}

// rehash sets the content hash by naive means.
func rehash(e object) object {
	bare := clone(e)
	delete(bare, "hashes")
	delete(bare, "signatures")
	delete(bare, "unsigned")
	sum := sha256.Sum256(naive(bare))
	e["hashes"] = object{"sha256": base64.RawStdEncoding.EncodeToString(sum[:])}
	return e
}

// with is the event with some fields changed, nil meaning removed, and hashed again.
func with(e object, changes object) object {
	e = clone(e)
	for key, value := range changes {
		if value == nil {
			delete(e, key)
		} else {
			e[key] = value
		}
	}
	return rehash(e)
}

func clone(e object) object {
	var out object
	decode(naive(e), &out)
	return out
}

// naive is canonical JSON by encoding/json, which sorts the keys of maps and leaves numbers as they are. It serves for text
// without U+2028 and such.
func naive(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var tree any
	decode(raw, &tree)
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(tree); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

func decode(raw []byte, into any) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		panic(err)
	}
}

// keyRing answers for the keys in it and notes what it was asked.
type keyRing struct {
	keys  map[string]ed25519.PublicKey // by "server ed25519:id"
	asked []keys.Query
	calls int
}

func (r *keyRing) Keys(_ context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	r.calls++
	r.asked = append(r.asked, queries...)
	found := make(map[keys.Query]ed25519.PublicKey)
	for _, q := range queries {
		if public, ok := r.keys[fmt.Sprintf("%s %s", q.Server, q.KeyID)]; ok {
			found[q] = public
		}
	}
	return found
}
