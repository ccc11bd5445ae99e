// SPDX-License-Identifier: Apache-2.0

package keys_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/api/apitest"
	"github.com/strata-matrix/strata/homeserver/keys"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

const (
	alice = "@alice:a.example"
	bob   = "@bob:a.example"
	carol = "@carol:b.example"
	path  = "/_matrix/client/v3/keys/"
)

// world is the other servers, of which b.example is there, and what they are told.
type world struct {
	mu     sync.Mutex
	told   []string
	asked  int
	follow []ident.UserID
}

func (w *world) QueryKeys(_ context.Context, server ident.ServerName, users map[ident.UserID][]string) (messaging.Keys, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if server != "b.example" {
		return messaging.Keys{}, errors.New("not there")
	}
	w.asked++
	return messaging.Keys{Devices: map[ident.UserID]map[string]json.RawMessage{carol: {"C1": json.RawMessage(`{"from":"b.example"}`)}}}, nil
}

func (w *world) ClaimKeys(_ context.Context, server ident.ServerName, _ messaging.KeyClaims) (messaging.ClaimedKeys, error) {
	if server != "b.example" {
		return nil, errors.New("not there")
	}
	return messaging.ClaimedKeys{carol: {"C1": {"signed_curve25519:X": json.RawMessage(`{"key":"x"}`)}}}, nil
}

func (w *world) SendDeviceListUpdate(_ *persistence.Tx, user ident.UserID, device messaging.Device) error {
	w.told = append(w.told, fmt.Sprintf("%s %s %q deleted=%v keys=%v", user, device.ID, device.Name, device.Deleted, device.Keys != nil))
	return nil
}

func (w *world) SendSigningKeyUpdate(_ *persistence.Tx, user ident.UserID, k messaging.SigningKeys) error {
	w.told = append(w.told, fmt.Sprintf("%s master=%v self_signing=%v", user, k.Master != nil, k.SelfSigning != nil))
	return nil
}

func (w *world) FollowDevices(_ *persistence.Tx, user ident.UserID) error {
	w.follow = append(w.follow, user)
	return nil
}

func (w *world) Meets(*persistence.Tx, ident.UserID) (bool, error) { return true, nil }

type fixture struct {
	*apitest.Client
	t       *testing.T
	store   *persistence.Store
	keys    *keys.Keys
	world   *world
	confirm error
}

func open(t *testing.T) *fixture {
	t.Helper()
	store, err := persistence.Open(context.Background(), persistence.Options{
		Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "a.example", NoSync: true,
		Annex: persistence.Annex{Name: "hs", Steps: []string{stream.Schema, accounts.Schema, keys.Schema}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	f := &fixture{t: t, store: store, world: &world{}}
	f.keys = keys.New(keys.Config{
		Self: "a.example", Store: store, Asker: f.world, Teller: f.world, Company: f.world,
		Confirm: func(context.Context, *api.Request, string) error { return f.confirm },
	})
	f.Client = apitest.New(t, f.keys.Routes())
	f.update(func(tx *persistence.Tx) error {
		for _, d := range [][3]string{{alice, "A1", "Alice's phone"}, {alice, "A2", ""}, {bob, "B1", "Bob's"}} {
			if _, err := tx.Exec(`INSERT INTO hs_devices (user, device, name, created) VALUES (?, ?, ?, 0)`, d[0], d[1], d[2]); err != nil {
				return err
			}
		}
		return nil
	})
	return f
}

func (f *fixture) update(job func(*persistence.Tx) error) {
	f.t.Helper()
	if err := f.store.Update(context.Background(), job); err != nil {
		f.t.Fatal(err)
	}
}

func deviceKeys(user, device string) string {
	return fmt.Sprintf(`{"user_id":%q,"device_id":%q,"algorithms":["m.megolm.v1.aes-sha2"],"keys":{"ed25519:%s":"k"},"signatures":{%q:{"ed25519:%s":"s"}}}`,
		user, device, device, user, device)
}

func TestUploadAndQuery(t *testing.T) {
	f := open(t)
	f.Want(t, alice+" A1", "POST", path+"upload", `{"device_keys":`+deviceKeys(alice, "A1")+`}`, 200, `{"one_time_key_counts":{}}`)
	f.Want(t, alice+" A1", "POST", path+"upload", `{"device_keys":`+deviceKeys(alice, "A1")+`}`, 200, "")
	if diff := cmp.Diff([]string{`@alice:a.example A1 "Alice's phone" deleted=false keys=true`}, f.world.told); diff != "" {
		t.Errorf("the same keys twice: %s", diff)
	}
	want := strings.TrimSuffix(deviceKeys(alice, "A1"), "}") + `,"unsigned":{"device_display_name":"Alice's phone"}}`
	f.Want(t, bob+" B1", "POST", path+"query", `{"device_keys":{"`+alice+`":[]}}`, 200,
		`{"device_keys":{"`+alice+`":{"A1":`+want+`}},"failures":{},"master_keys":{},"self_signing_keys":{},"user_signing_keys":{}}`)
	f.Want(t, bob+" B1", "POST", path+"query", `{"device_keys":{"`+alice+`":["A2"],"@nobody:a.example":[]}}`, 200,
		`{"device_keys":{},"failures":{},"master_keys":{},"self_signing_keys":{},"user_signing_keys":{}}`)

	for _, bad := range []string{
		`{"device_keys":` + deviceKeys(bob, "A1") + `}`,
		`{"device_keys":` + deviceKeys(alice, "A2") + `}`,
		`{"device_keys":{}}`,
		`{"device_keys":7}`,
		`{"one_time_keys":{"nocolon":{}}}`,
		`{"one_time_keys":{"a:b":7}}`,
		`{"one_time_keys":[]}`,
	} {
		f.Want(t, alice+" A1", "POST", path+"upload", bad, 400, "")
	}
}

// TestOthersAreAsked is S-36: who cannot be reached is a failure; who is followed is not asked for again.
func TestOthersAreAsked(t *testing.T) {
	f := open(t)
	const ask = `{"device_keys":{"` + carol + `":[],"@dave:gone.example":[]}}`
	f.Want(t, alice+" A1", "POST", path+"query", ask, 200,
		`{"device_keys":{"`+carol+`":{"C1":{"from":"b.example"}}},"failures":{"gone.example":{}},"master_keys":{},"self_signing_keys":{},"user_signing_keys":{}}`)
	if diff := cmp.Diff([]ident.UserID{carol}, f.world.follow); diff != "" {
		t.Error(diff)
	}
	f.update(func(tx *persistence.Tx) error {
		return keys.Followed{}.DevicesReplaced(tx, messaging.UserDevices{User: carol, Devices: []messaging.Device{
			{ID: "C1", Name: "Carol's", Keys: json.RawMessage(`{"n":1}`)}, {ID: "C2"},
		}})
	})
	const query = `{"device_keys":{"` + carol + `":[]}}`
	const followed = `{"device_keys":{"` + carol + `":{"C1":{"n":1,"unsigned":{"device_display_name":"Carol's"}}}},"failures":{},"master_keys":{},"self_signing_keys":{},"user_signing_keys":{}}`
	f.Want(t, alice+" A1", "POST", path+"query", query, 200, followed)
	if f.world.asked != 1 {
		t.Errorf("b.example was asked %d times, want once", f.world.asked)
	}
	f.update(func(tx *persistence.Tx) error { return keys.Followed{}.DevicesStale(tx, carol) })
	f.Want(t, alice+" A1", "POST", path+"query", query, 200, "")
	if f.world.asked != 2 {
		t.Errorf("after missing updates b.example was asked %d times, want twice", f.world.asked)
	}
}

// TestOneTimeKeysAreGivenOnce is M-66, with callers at once.
func TestOneTimeKeysAreGivenOnce(t *testing.T) {
	f := open(t)
	var list []string
	for i := range 20 {
		list = append(list, fmt.Sprintf(`"signed_curve25519:K%02d":{"key":"%d"}`, i, i))
	}
	f.Want(t, alice+" A1", "POST", path+"upload", `{"one_time_keys":{`+strings.Join(list, ",")+`},"fallback_keys":{"signed_curve25519:F":{"key":"f","fallback":true}}}`,
		200, `{"one_time_key_counts":{"signed_curve25519":20}}`)
	f.Want(t, alice+" A1", "POST", path+"upload", `{"one_time_keys":{"signed_curve25519:K00":{"key":"0"}}}`, 200, "")
	f.Want(t, alice+" A1", "POST", path+"upload", `{"one_time_keys":{"signed_curve25519:K00":{"key":"other"}}}`, 400, "")

	given := make(chan string, 25)
	var claiming sync.WaitGroup
	for i := range 25 {
		claiming.Go(func() {
			if i%2 == 0 {
				claimed, err := f.keys.ClaimKeys(context.Background(), messaging.KeyClaims{alice: {"A1": "signed_curve25519"}})
				if err != nil {
					t.Error(err)
				}
				for id := range claimed[alice]["A1"] {
					given <- id
				}
				return
			}
			_, answer := f.Do(t, bob+" B1", "POST", path+"claim", `{"one_time_keys":{"`+alice+`":{"A1":"signed_curve25519"}}}`)
			var body struct {
				Keys messaging.ClaimedKeys `json:"one_time_keys"`
			}
			if err := json.Unmarshal(answer, &body); err != nil {
				t.Error(err)
			}
			for id := range body.Keys[alice]["A1"] {
				given <- id
			}
		})
	}
	claiming.Wait()
	close(given)
	times := map[string]int{}
	for id := range given {
		times[id]++
	}
	if len(times) != 21 || times["signed_curve25519:F"] != 5 {
		t.Errorf("20 keys and a fallback for 25 claims were given so: %v", times)
	}
	f.update(func(tx *persistence.Tx) error {
		unused, err := keys.UnusedFallbackTypes(tx, alice, "A1")
		if len(unused) != 0 {
			t.Errorf("unused fallback keys: %v", unused)
		}
		return err
	})
	f.Want(t, alice+" A1", "POST", path+"claim", `{"one_time_keys":{"`+carol+`":{"C1":"signed_curve25519"},"@dave:gone.example":{"D":"signed_curve25519"}}}`, 200,
		`{"one_time_keys":{"`+carol+`":{"C1":{"signed_curve25519:X":{"key":"x"}}}},"failures":{"gone.example":{}}}`)
}

// crossKey is a cross-signing key of a test, with its private half.
type crossKey struct {
	private ed25519.PrivateKey
	public  string
}

func newCrossKey(seed byte) crossKey {
	private := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+seed)), ed25519.SeedSize)))
	return crossKey{private, signing.EncodeBase64(private.Public().(ed25519.PublicKey))}
}

func (k crossKey) object(user, usage string) string {
	return fmt.Sprintf(`{"user_id":%q,"usage":[%q],"keys":{"ed25519:%s":%q}}`, user, usage, k.public, k.public)
}

// sign signs an object as a user does, with crypto/ed25519 over canonical JSON: the objects of this test are given without signatures
// and with their members in order.
func (k crossKey) sign(t *testing.T, user, object string) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(object), &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "signatures")
	delete(members, "unsigned")
	plain, err := json.Marshal(members) // sorted, and nothing here needs other escapes
	if err != nil {
		t.Fatal(err)
	}
	members["signatures"] = map[string]any{user: map[string]any{"ed25519:" + k.public: signing.EncodeBase64(ed25519.Sign(k.private, plain))}}
	signed, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

func TestCrossSigning(t *testing.T) {
	f := open(t)
	master, self, user, other := newCrossKey(0), newCrossKey(1), newCrossKey(2), newCrossKey(3)
	masterKey := master.object(alice, "master")
	selfKey := master.sign(t, alice, self.object(alice, "self_signing"))
	userKey := master.sign(t, alice, user.object(alice, "user_signing"))
	const upload = path + "device_signing/upload"

	f.Want(t, alice+" A1", "POST", upload, `{"self_signing_key":`+selfKey+`}`, 400, "")
	f.Want(t, alice+" A1", "POST", upload, `{"master_key":`+masterKey+`,"self_signing_key":`+other.sign(t, alice, self.object(alice, "self_signing"))+`}`, 400, "")
	f.Want(t, alice+" A1", "POST", upload, `{"master_key":`+master.object(bob, "master")+`}`, 400, "")
	all := `{"master_key":` + masterKey + `,"self_signing_key":` + selfKey + `,"user_signing_key":` + userKey + `}`
	f.Want(t, alice+" A1", "POST", upload, all, 200, `{}`)

	f.confirm = &api.Error{Status: 401}
	f.Want(t, alice+" A1", "POST", upload, all, 200, `{}`) // the same keys need no proof
	f.Want(t, alice+" A1", "POST", upload, `{"master_key":`+other.object(alice, "master")+`}`, 401, "")

	// Others see no user-signing key (M-67), its owner does.
	want := func(as, userSigning string) {
		t.Helper()
		f.Want(t, as, "POST", path+"query", `{"device_keys":{"`+alice+`":[]}}`, 200, `{"device_keys":{},"failures":{},"master_keys":{"`+alice+`":`+masterKey+
			`},"self_signing_keys":{"`+alice+`":`+selfKey+`},"user_signing_keys":`+userSigning+`}`)
	}
	want(bob+" B1", `{}`)
	want(alice+" A1", `{"`+alice+`":`+userKey+`}`)

	// Alice signs her device with her self-signing key: all see it.
	f.Want(t, alice+" A1", "POST", path+"upload", `{"device_keys":`+deviceKeys(alice, "A1")+`}`, 200, "")
	signed := self.sign(t, alice, deviceKeys(alice, "A1"))
	f.Want(t, alice+" A1", "POST", path+"signatures/upload", `{"`+alice+`":{"A1":`+signed+`}}`, 200, `{"failures":{}}`)
	_, answer := f.Do(t, bob+" B1", "POST", path+"query", `{"device_keys":{"`+alice+`":[]}}`)
	if !strings.Contains(string(answer), "ed25519:"+self.public+`":`) || !strings.Contains(string(answer), `"ed25519:A1":"s"`) {
		t.Errorf("the device has not both signatures: %s", answer)
	}

	// Bob signs Alice's master key with a user-signing key of his: he alone sees it.
	bobMaster, bobUser := newCrossKey(4), newCrossKey(5)
	f.confirm = nil
	f.Want(t, bob+" B1", "POST", upload, `{"master_key":`+bobMaster.object(bob, "master")+`,"user_signing_key":`+
		bobMaster.sign(t, bob, bobUser.object(bob, "user_signing"))+`}`, 200, `{}`)
	f.Want(t, bob+" B1", "POST", path+"signatures/upload", `{"`+alice+`":{"`+master.public+`":`+bobUser.sign(t, bob, masterKey)+`}}`, 200, `{"failures":{}}`)
	f.Want(t, bob+" B1", "POST", path+"signatures/upload", `{"`+alice+`":{"`+master.public+`":`+other.sign(t, bob, masterKey)+`}}`, 200,
		`{"failures":{"`+alice+`":{"`+master.public+`":{"errcode":"M_INVALID_SIGNATURE","error":"ed25519:`+other.public+` is no key with which you can sign this"}}}}`)
	_, seenByBob := f.Do(t, bob+" B1", "POST", path+"query", `{"device_keys":{"`+alice+`":[]}}`)
	_, seenByAlice := f.Do(t, alice+" A1", "POST", path+"query", `{"device_keys":{"`+alice+`":[]}}`)
	if !strings.Contains(string(seenByBob), bobUser.public) || strings.Contains(string(seenByAlice), bobUser.public) {
		t.Errorf("Bob's signature: he sees %s, Alice sees %s", seenByBob, seenByAlice)
	}
}

func TestKeysGoWithTheirDevice(t *testing.T) {
	f := open(t)
	f.Want(t, alice+" A1", "POST", path+"upload", `{"device_keys":`+deviceKeys(alice, "A1")+`,"one_time_keys":{"a:b":"c"}}`, 200, "")
	f.world.told = nil
	f.update(func(tx *persistence.Tx) error { return f.keys.DevicesRemoved(tx, alice, []string{"A1", "A2"}) })
	if diff := cmp.Diff([]string{`@alice:a.example A1 "" deleted=true keys=false`}, f.world.told); diff != "" {
		t.Error(diff)
	}
	f.Want(t, bob+" B1", "POST", path+"claim", `{"one_time_keys":{"`+alice+`":{"A1":"a"}}}`, 200, `{"one_time_keys":{},"failures":{}}`)
}
