// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// publicKey is the public key of a cross-signing key, in base64. It has one.
func publicKey(key json.RawMessage) (string, error) {
	var body struct {
		Keys map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(key, &body); err != nil || len(body.Keys) != 1 {
		return "", api.InvalidParam("a cross-signing key has keys with one member")
	}
	for id, public := range body.Keys {
		raw, err := signing.DecodeBase64(public)
		if err != nil || len(raw) != ed25519.PublicKeySize || id != signing.Algorithm+":"+public {
			return "", api.InvalidParam("%s is not an ed25519 key under its own name", id)
		}
		return public, nil
	}
	return "", nil
}

// verify checks the signature of a user's key over an object.
func verify(object json.RawMessage, signer ident.UserID, by string, public string) error {
	raw, err := signing.DecodeBase64(public)
	if err == nil && len(raw) == ed25519.PublicKeySize {
		// A user's signature stands where a server's does, under the user's id (appendices, "Signing JSON").
		err = signing.VerifyJSON(object, ident.ServerName(signer), ident.KeyID(by), raw)
	}
	if err != nil {
		return &api.Error{Status: http.StatusBadRequest, Code: "M_INVALID_SIGNATURE", Message: fmt.Sprintf("signature %s of %s: %v", by, signer, err)}
	}
	return nil
}

// signingKeys is what a client uploads for cross-signing: nil for what it leaves as it is.
type signingKeys map[string]json.RawMessage

func readSigningKeys(r *api.Request) (signingKeys, error) {
	var body struct {
		Master      json.RawMessage `json:"master_key"`
		SelfSigning json.RawMessage `json:"self_signing_key"`
		UserSigning json.RawMessage `json:"user_signing_key"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	given := signingKeys{}
	for usage, key := range map[string]json.RawMessage{master: body.Master, selfSigning: body.SelfSigning, userSigning: body.UserSigning} {
		if len(key) == 0 || bytes.Equal(key, []byte("null")) {
			continue
		}
		var err error
		if given[usage], err = readSigningKey(r.User, usage, key); err != nil {
			return nil, err
		}
	}
	return given, nil
}

func readSigningKey(user ident.UserID, usage string, given json.RawMessage) (json.RawMessage, error) {
	var body struct {
		User  ident.UserID `json:"user_id"`
		Usage []string     `json:"usage"`
	}
	if err := json.Unmarshal(given, &body); err != nil {
		return nil, api.BadJSON("%s_key: %v", usage, err)
	}
	if body.User != user || len(body.Usage) != 1 || body.Usage[0] != usage {
		return nil, api.InvalidParam("%s_key: it is not a %s key of yours", usage, usage)
	}
	if _, err := publicKey(given); err != nil {
		return nil, err
	}
	return canonical(usage+"_key", given)
}

// uploadSigningKeys is POST /keys/device_signing/upload. Who has keys already must prove who they are before they get others; the same
// ones change nothing.
func (k *Keys) uploadSigningKeys(ctx context.Context, r *api.Request) (api.Reply, error) {
	given, err := readSigningKeys(r)
	if err != nil {
		return api.Reply{}, err
	}
	replaces, differs, err := k.compare(ctx, r.User, given)
	if err != nil || !differs {
		return api.Reply{}, err
	}
	if replaces {
		if err := k.confirm(ctx, r, "upload cross-signing keys"); err != nil {
			return api.Reply{}, err
		}
	}
	return api.Reply{}, k.store.Update(ctx, func(tx *persistence.Tx) error { return k.keepSigningKeys(tx, r.User, given) })
}

// compare tells whether keys differ from those that are there, and whether there is a master key already.
func (k *Keys) compare(ctx context.Context, user ident.UserID, given signingKeys) (replaces, differs bool, err error) {
	err = k.store.View(ctx, func(tx *persistence.Tx) error {
		for usage, key := range given {
			var kept json.RawMessage
			_, err := tx.QueryRow(`SELECT key FROM hs_signing_keys WHERE user = ? AND usage = ?`, []any{string(user), usage}, &kept)
			if err != nil {
				return err
			}
			differs = differs || !bytes.Equal(kept, key)
		}
		old, err := signingKey(tx, user, user, master)
		replaces = old != nil
		return err
	})
	return replaces, differs, err
}

// keepSigningKeys stores keys that the master key, given or stored, has signed.
func (k *Keys) keepSigningKeys(tx *persistence.Tx, user ident.UserID, given signingKeys) error {
	over := given[master]
	if over == nil {
		var err error
		if over, err = signingKey(tx, user, user, master); err != nil {
			return err
		}
	}
	if over == nil {
		return api.MissingParam("master_key")
	}
	public, err := publicKey(over)
	if err != nil {
		return err
	}
	for _, usage := range []string{selfSigning, userSigning} {
		if given[usage] == nil {
			continue
		}
		if err := verify(given[usage], user, signing.Algorithm+":"+public, public); err != nil {
			return err
		}
	}
	for usage, key := range given {
		if err := putSigningKey(tx, user, usage, key); err != nil {
			return err
		}
	}
	if err := changed(tx, user); err != nil {
		return err
	}
	if given[master] == nil && given[selfSigning] == nil {
		return nil // a user-signing key is nobody else's business (M-60)
	}
	return k.teller.SendSigningKeyUpdate(tx, user, messaging.SigningKeys{Master: given[master], SelfSigning: given[selfSigning]})
}

func putSigningKey(tx *persistence.Tx, user ident.UserID, usage string, key json.RawMessage) error {
	_, err := tx.Exec(`INSERT INTO hs_signing_keys (user, usage, key) VALUES (?, ?, ?)
		ON CONFLICT (user, usage) DO UPDATE SET key = excluded.key`, string(user), usage, string(key))
	return err
}

// uploadSignatures is POST /keys/signatures/upload: keys as they are, with signatures more. What is not taken is told key by key.
func (k *Keys) uploadSignatures(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body map[ident.UserID]map[string]json.RawMessage
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	failures := map[ident.UserID]map[string]any{}
	err := k.store.Update(ctx, func(tx *persistence.Tx) error {
		for user, list := range body {
			for id, object := range list {
				refused, err := k.takeSignatures(tx, r.User, user, id, object)
				if err != nil {
					return err
				}
				if refused == nil {
					continue
				}
				if failures[user] == nil {
					failures[user] = map[string]any{}
				}
				failures[user][id] = map[string]string{"errcode": refused.Code, "error": refused.Message}
			}
		}
		return nil
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]any{"failures": failures})
}

// takeSignatures keeps what the caller has signed of a key: of devices and the master key of their own, and of the master keys of
// others.
func (k *Keys) takeSignatures(tx *persistence.Tx, caller, user ident.UserID, id string, object json.RawMessage) (refused *api.Error, err error) {
	var body struct {
		User       ident.UserID                 `json:"user_id"`
		Device     string                       `json:"device_id"`
		Signatures map[string]map[string]string `json:"signatures"`
	}
	if err := json.Unmarshal(object, &body); err != nil {
		return api.BadJSON("%v", err), nil
	}
	if body.User != user || body.Device != "" && body.Device != id {
		return api.InvalidParam("the key is not %s of %s", id, user), nil
	}
	known, err := isKnown(tx, user, id)
	if err != nil {
		return nil, err
	}
	if !known {
		return api.NotFound("no key %s of %s", id, user), nil
	}
	for by, signature := range body.Signatures[string(caller)] {
		public, err := signerKey(tx, caller, user, by)
		if err != nil {
			return nil, err
		}
		if public == "" {
			return &api.Error{Code: "M_INVALID_SIGNATURE", Message: by + " is no key with which you can sign this"}, nil
		}
		if wrong := verify(object, caller, by, public); wrong != nil {
			return &api.Error{Code: "M_INVALID_SIGNATURE", Message: wrong.Error()}, nil
		}
		if err := k.keepSignature(tx, caller, user, id, by, signature); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// isKnown tells whether there is such a device with keys, or such a master key.
func isKnown(tx *persistence.Tx, user ident.UserID, id string) (known bool, err error) {
	const query = `SELECT 1 FROM hs_device_keys WHERE user = ? AND device = ? UNION ALL SELECT 1 FROM hs_remote_devices WHERE user = ? AND device = ?`
	known, err = tx.QueryRow(query, []any{string(user), id, string(user), id}, new(int64))
	if err != nil || known {
		return known, err
	}
	key, err := signingKey(tx, user, "", master)
	if err != nil || key == nil {
		return false, err
	}
	public, err := publicKey(key)
	return public == id, err
}

// signerKey is the public key with which a user signs under an id: a device's or the self-signing key for what is their own, the
// user-signing key for others'. "" is none.
func signerKey(tx *persistence.Tx, signer, user ident.UserID, by string) (string, error) {
	id, _ := strings.CutPrefix(by, signing.Algorithm+":")
	usages := []string{userSigning}
	if signer == user {
		usages = []string{selfSigning, master}
		devices, err := deviceKeys(tx, signer, signer, id)
		if err != nil {
			return "", err
		}
		if keys := devices[id]; keys != nil {
			var body struct {
				Keys map[string]string `json:"keys"`
			}
			err := json.Unmarshal(keys, &body)
			return body.Keys[by], err
		}
	}
	for _, usage := range usages {
		key, err := signingKey(tx, signer, signer, usage)
		if err != nil {
			return "", err
		}
		if key == nil {
			continue
		}
		if public, err := publicKey(key); err != nil || public == id {
			return public, err
		}
	}
	return "", nil
}

// keepSignature stores a signature. One over a key of the caller's own is told to everybody.
func (k *Keys) keepSignature(tx *persistence.Tx, caller, user ident.UserID, id, by, signature string) error {
	n, err := tx.Exec(`INSERT INTO hs_signatures (user, key, signer, signed_by, signature) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (user, key, signer, signed_by) DO UPDATE SET signature = excluded.signature WHERE signature <> excluded.signature`,
		string(user), id, string(caller), by, signature)
	if err != nil || n == 0 {
		return err
	}
	if caller != user {
		return changed(tx, user) // of those who share a room with the user, the caller sees something new
	}
	devices, err := deviceKeys(tx, user, "", id)
	if err != nil {
		return err
	}
	if devices[id] != nil {
		return k.tellDevice(tx, user, id)
	}
	if err := changed(tx, user); err != nil {
		return err
	}
	key, err := signingKey(tx, user, "", master)
	if err != nil {
		return err
	}
	return k.teller.SendSigningKeyUpdate(tx, user, messaging.SigningKeys{Master: key})
}
