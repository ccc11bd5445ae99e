// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// The types of EDU (server-server API, "EDUs"; M-50 to M-60).
const (
	eduTyping      = "m.typing"
	eduPresence    = "m.presence"
	eduReceipt     = "m.receipt"
	eduToDevice    = "m.direct_to_device"
	eduDeviceList  = "m.device_list_update"
	eduSigningKeys = "m.signing_key_update"
)

// eduHandlers are those for which the homeserver has an ear.
func (s *Server) eduHandlers() transaction.EDUHandlers {
	h := transaction.EDUHandlers{Keep: map[string]transaction.EDUKeeper{}, Observe: map[string]transaction.EDUObserver{}}
	if s.core.Typing != nil {
		h.Observe[eduTyping] = observer{s, s.hearTyping}
	}
	if s.core.Presence != nil {
		h.Observe[eduPresence] = observer{s, s.hearPresence}
	}
	if s.core.Receipts != nil {
		h.Observe[eduReceipt] = observer{s, s.hearReceipts}
	}
	if s.core.ToDevice != nil {
		h.Keep[eduToDevice] = keeper{s, s.keepToDevice}
	}
	if s.core.DeviceLists != nil {
		h.Keep[eduDeviceList] = keeper{s, s.keepDeviceUpdate}
		h.Keep[eduSigningKeys] = keeper{s, s.keepSigningKeys}
	}
	return h
}

// badEDU is what is wrong with an EDU: it is dropped, and no failure of ours.
type badEDU struct{ why string }

func (e *badEDU) Error() string { return e.why }

func malformed(format string, args ...any) error { return &badEDU{fmt.Sprintf(format, args...)} }

// observer is a listener that tells of what it could not use.
type observer struct {
	server *Server
	hear   func(transaction.EDU) error
}

// ObserveEDU implements transaction.EDUObserver.
func (o observer) ObserveEDU(edu transaction.EDU) {
	if err := o.hear(edu); err != nil {
		o.server.refuseEDU(edu, err)
	}
}

// keeper is a keeper for whom an EDU that makes no sense is not a failure.
type keeper struct {
	server *Server
	keep   func(*persistence.Tx, transaction.EDU) error
}

// KeepEDU implements transaction.EDUKeeper.
func (k keeper) KeepEDU(tx *persistence.Tx, edu transaction.EDU) error {
	err := k.keep(tx, edu)
	if bad, ok := errors.AsType[*badEDU](err); ok {
		k.server.refuseEDU(edu, bad)
		return nil
	}
	return err
}

func (s *Server) refuseEDU(edu transaction.EDU, why error) {
	s.trace.Emit(trace.MessagingEDURefused{Origin: string(edu.Origin), Type: edu.Type, Error: why.Error()})
}

// speaker is a user whom an EDU is about, who must be one of its origin (M-61).
func speaker(origin ident.ServerName, v canonicaljson.Value) (ident.UserID, error) {
	text, _ := v.Text()
	user, err := ident.ParseUserID(text)
	if err != nil {
		return "", malformed("%v", err)
	}
	if user.Server() != origin {
		return "", malformed("%s is not a user of %s", user, origin)
	}
	return user, nil
}

// objectOf is an object as other servers gave it, nil for what is none.
func objectOf(v canonicaljson.Value) json.RawMessage {
	if v.Kind() != canonicaljson.Object {
		return nil
	}
	return json.RawMessage(v.Canonical())
}

// encodeEDU is the EDU in canonical form, except that numbers which have none stay as they are: the content of messages to devices is
// the affair of clients.
func encodeEDU(eduType string, content any) ([]byte, error) {
	encoded, err := lenientJSON(content)
	if err != nil {
		return nil, fmt.Errorf("content of %s: %w", eduType, err)
	}
	edu := append(append([]byte(`{"content":`), encoded...), `,"edu_type":`...)
	return append(canonicaljson.AppendString(edu, eduType), '}'), nil
}

func lenientJSON(v any) ([]byte, error) {
	encoded, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return canonicaljson.Canonicalize(encoded, canonicaljson.Lenient)
}
