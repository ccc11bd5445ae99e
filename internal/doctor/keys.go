// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// KeyReport is what there is to say about a key document.
type KeyReport struct {
	Server     string     `json:"server"`
	Good       bool       `json:"good"`
	ValidUntil int64      `json:"valid_until_ts"`  // as it says
	CountsTill int64      `json:"counts_until_ts"` // seven days at most
	Keys       []KeyState `json:"keys"`
	Findings   []Finding  `json:"findings"`
}

// KeyState is one key of a document.
type KeyState struct {
	KeyID     string `json:"key_id"`
	Public    string `json:"public_key"`           // base64
	ExpiredTS int64  `json:"expired_ts,omitempty"` // 0: current
	Signature string `json:"signature"`            // of the document by this key: ok, bad or none
}

// What KeyState.Signature may be.
const (
	signatureOK   = "ok"
	signatureBad  = "bad"
	signatureNone = "none"
)

// ExamineKeys looks at a key document, as the server gave it at now.
func ExamineKeys(server ident.ServerName, raw []byte, now time.Time) KeyReport {
	r := KeyReport{Server: string(server), Keys: []KeyState{}, Findings: []Finding{}}
	doc, err := keys.ReadDocument(server, raw, now.UnixMilli())
	if err != nil {
		r.Findings = append(r.Findings, found(codeBadKeys, "%v", err))
		return r
	}
	r.ValidUntil, r.CountsTill = doc.ValidUntil, doc.Validity()
	signed, bad := r.addCurrent(doc, raw)
	for _, id := range slices.Sorted(maps.Keys(doc.Old)) {
		old := doc.Old[id]
		r.Keys = append(r.Keys, KeyState{string(id), signing.EncodeBase64(old.Public), old.ExpiredAt, signatureNone})
	}
	left := time.UnixMilli(doc.ValidUntil).Sub(now)
	switch {
	case len(doc.Current) == 0:
		r.Findings = append(r.Findings, found(codeBadKeys, "no current Ed25519 key"))
	case bad != "":
		r.Findings = append(r.Findings, found(codeBadKeys, "the signature by %s is wrong", bad))
	case !signed:
		r.Findings = append(r.Findings, found(codeBadKeys, "none of the keys has signed it"))
	case left < 0:
		r.Findings = append(r.Findings, found(codeOutdated, "%s ago", -left.Round(time.Second)))
	case left < keys.MinValidity:
		r.Findings = append(r.Findings, found(codeShort, "%s", left.Round(time.Second)))
	}
	r.Good = !slices.ContainsFunc(r.Findings, Finding.IsFailure)
	return r
}

// addCurrent lists the current keys. signed: one of them has; bad is one whose signature is wrong.
func (r *KeyReport) addCurrent(doc *keys.Document, raw []byte) (signed bool, bad ident.KeyID) {
	for _, id := range slices.Sorted(maps.Keys(doc.Current)) {
		state := KeyState{KeyID: string(id), Public: signing.EncodeBase64(doc.Current[id]), Signature: signatureOK}
		switch err := signing.VerifyJSON(raw, doc.Server, id, doc.Current[id]); {
		case err == nil:
			signed = true
		case errors.Is(err, signing.ErrNoSignature):
			state.Signature = signatureNone
		default:
			state.Signature, bad = signatureBad, id
		}
		r.Keys = append(r.Keys, state)
	}
	return signed, bad
}

// summary is the document in a line.
func (r KeyReport) summary(now time.Time) string {
	text := ""
	for _, k := range r.Keys {
		if k.ExpiredTS == 0 {
			text += k.KeyID + " signature " + k.Signature + ", "
		}
	}
	left := time.UnixMilli(r.ValidUntil).Sub(now).Round(time.Minute)
	return fmt.Sprintf("%svalid for %s", text, left)
}
