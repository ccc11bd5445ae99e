// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// batch is what goes into one transaction: as much as the limits of T-01 and MaxSentBytes allow, and always one item at least.
type batch struct {
	limit    int                  // items at most, 0 for what T-01 allows
	suspects map[ident.RoomID]int // rooms whose events go out by themselves

	items             []persistence.Outbound
	pdus, edus, bytes int
}

// take adds an item, unless it does not fit. Then nothing behind it may be added either: order is kept.
func (b *batch) take(item persistence.Outbound) bool {
	pdus, edus, bytes := b.pdus, b.edus, b.bytes+len(item.Content)
	if item.Kind == persistence.KindPDU {
		pdus++
	} else {
		edus++
	}
	full := pdus > MaxPDUs || edus > MaxEDUs || bytes > MaxSentBytes || b.limit > 0 && len(b.items) >= b.limit
	if len(b.items) > 0 && (full || b.apart(item) != b.apart(b.items[0])) {
		return false
	}
	b.items = append(b.items, item)
	b.pdus, b.edus, b.bytes = pdus, edus, bytes
	return true
}

// apart is the suspect room that an item is of, "" for none.
func (b *batch) apart(item persistence.Outbound) ident.RoomID {
	if b.suspects[item.RoomID] > 0 {
		return item.RoomID
	}
	return ""
}

// compose builds the transaction that carries all of items. Its body is canonical JSON and its id a hash of the body, so
// that one id can never carry two contents.
func compose(origin, destination ident.ServerName, items []persistence.Outbound, through persistence.Position, nowMS int64) persistence.SentTransaction {
	t := persistence.SentTransaction{Destination: destination, Through: through, FrozenAt: nowMS}
	var pdus, edus []byte
	for _, item := range items {
		if item.Position != 0 { // it is not of use only now
			t.Items = append(t.Items, item.Position)
		}
		if item.Kind == persistence.KindPDU {
			t.PDUs++
			pdus = appendElement(pdus, item.Content)
		} else {
			t.EDUs++
			edus = appendElement(edus, item.Content)
		}
	}
	// The keys stand in canonical order: edus, origin, origin_server_ts, pdus.
	t.Body = append(t.Body, '{')
	if t.EDUs > 0 {
		t.Body = append(append(append(t.Body, `"edus":[`...), edus...), `],`...)
	}
	t.Body = append(t.Body, `"origin":`...)
	t.Body = canonicaljson.AppendString(t.Body, string(origin))
	t.Body = append(t.Body, `,"origin_server_ts":`...)
	t.Body = strconv.AppendInt(t.Body, nowMS, 10)
	t.Body = append(append(append(t.Body, `,"pdus":[`...), pdus...), `]}`...)
	t.TxnID = TransactionID(destination, through, nowMS, t.Body)
	return t
}

// TransactionID begins with the time at which a transaction was frozen, so that ids that are made together stand together in the
// store's index over them. The rest hashes what makes it itself, so that its id proves its contents: destination and log position
// too, so that the same events sent to two servers can be told apart in a listing.
func TransactionID(destination ident.ServerName, through persistence.Position, frozenMS int64, body []byte) string {
	h := sha256.New()
	h.Write([]byte(destination))
	h.Write([]byte{0})
	h.Write(strconv.AppendInt(nil, int64(through), 10))
	h.Write([]byte{0})
	h.Write(body)
	const (
		timeBytes = 6  // of ms: some nine thousand years
		hashBytes = 15 // 120 bits are more than enough to be unique; 28 characters in all
	)
	id := binary.BigEndian.AppendUint64(nil, uint64(frozenMS))[8-timeBytes:]
	return base64.RawURLEncoding.EncodeToString(append(id, h.Sum(nil)[:hashBytes]...))
}

func appendElement(array, element []byte) []byte {
	if len(array) > 0 {
		array = append(array, ',')
	}
	return append(array, element...)
}
