// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// TransactionFormat is the format of a TransactionFile; another number will be another format.
const TransactionFormat = "strata.transaction/1"

// TransactionFile is a transaction with everything that is needed to look at it elsewhere: its events in full, what became of them
// here, and the keys that their signatures are checked with.
type TransactionFile struct {
	Format      string            `json:"format"`
	Server      string            `json:"server_name"` // whose record it is
	Made        int64             `json:"made_ts"`
	Transaction TransactionDetail `json:"transaction"`
	Through     int64             `json:"through,omitempty"` // of an outbound one: what its id is made of, besides the body
	Events      []FileEvent       `json:"events"`
	Keys        []FileKeys        `json:"keys"`
}

// FileEvent is one event of a transaction.
type FileEvent struct {
	PDUResult
	RoomVersion string  `json:"room_version,omitempty"`
	Redacted    bool    `json:"redacted,omitempty"` // of an inbound one: it is kept without its content
	Checks      []Check `json:"checks"`             // the record of the verdict; of what was plainly accepted there is none
	Permanent   bool    `json:"permanent,omitempty"`
	// PDU is the event as it was sent, or as it is kept; null for one that is not.
	PDU json.RawMessage `json:"pdu"`
}

// FileKeys is a key document of a server.
type FileKeys struct {
	Server   string          `json:"server"`
	Fetched  int64           `json:"fetched_ts"`
	Document json.RawMessage `json:"document"`
}

// TransactionFile puts together what is kept of a transaction.
func (i *Inspector) TransactionFile(ctx context.Context, ref TransactionRef) (TransactionFile, error) {
	detail, err := i.Transaction(ctx, ref)
	if err != nil {
		return TransactionFile{}, err
	}
	file := TransactionFile{
		Format: TransactionFormat, Server: i.ServerName(), Made: time.Now().UnixMilli(), Transaction: detail,
		Through: int64(detail.sent.Through), Events: []FileEvent{}, Keys: []FileKeys{},
	}
	sent := sentPDUs(detail.Body)
	for n, result := range detail.Results {
		e := FileEvent{PDUResult: result, Checks: []Check{}}
		if n < len(sent) {
			e.PDU = sent[n]
		}
		if err := i.view(ctx, func(tx *persistence.Tx) error { return e.fill(tx) }); err != nil {
			return TransactionFile{}, fmt.Errorf("events of transaction %s: %w", ref.ID, err)
		}
		file.Events = append(file.Events, e)
	}
	if err := i.addKeys(ctx, &file); err != nil {
		return TransactionFile{}, fmt.Errorf("keys for transaction %s: %w", ref.ID, err)
	}
	return file, nil
}

// sentPDUs are the PDUs in the body of an outbound transaction.
func sentPDUs(body []byte) []json.RawMessage {
	var parsed struct {
		PDUs []json.RawMessage `json:"pdus"`
	}
	_ = json.Unmarshal(body, &parsed) // we wrote it; of anything else there is nothing to list
	return parsed.PDUs
}

// fill adds what is stored of an event.
func (e *FileEvent) fill(tx *persistence.Tx) error {
	id := ident.EventID(e.EventID)
	stored, found, err := tx.Event(id)
	if err != nil {
		return err
	}
	if found {
		e.RoomVersion, e.Redacted = stored.RoomVersion, stored.Redacted || stored.RedactedBy != ""
		if e.PDU == nil {
			e.PDU = validJSON(stored.JSON)
		}
	} else if room, known, err := tx.Room(ident.RoomID(e.RoomID)); err != nil {
		return err
	} else if known {
		e.RoomVersion = room.Version
	}
	row, found, err := tx.Verdict(id)
	if err != nil || !found {
		return err
	}
	v, err := pdu.VerdictOf(row)
	e.Checks, e.Permanent, e.Outcome = ChecksOf(v.Checks), v.Permanent(), v.Outcome.String()
	return err
}

// parse reads the event, if it is there and of a room version that is known.
func (e FileEvent) parse() (*event.Event, error) {
	version, known := event.VersionOf(e.RoomVersion)
	switch {
	case len(e.PDU) == 0 || string(e.PDU) == "null":
		return nil, fmt.Errorf("it is not kept")
	case !known:
		return nil, fmt.Errorf("room version %q is not known", e.RoomVersion)
	}
	return event.Parse(version, e.PDU)
}

// addKeys adds the key documents of every server that has to sign one of the events.
func (i *Inspector) addKeys(ctx context.Context, file *TransactionFile) error {
	servers := map[ident.ServerName]bool{}
	for _, e := range file.Events {
		if parsed, err := e.parse(); err == nil {
			for _, server := range event.RequiredServers(parsed) {
				servers[server] = true
			}
		}
	}
	for _, server := range slices.Sorted(maps.Keys(servers)) {
		err := i.view(ctx, func(tx *persistence.Tx) error {
			docs, err := tx.KeyDocuments(server)
			for _, d := range docs {
				file.Keys = append(file.Keys, FileKeys{string(d.Server), d.FetchedAt, validJSON(d.Document)})
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ReadTransactionFile reads what export printed, whatever has become of its white space on the way.
func ReadTransactionFile(text []byte) (TransactionFile, error) {
	var file TransactionFile
	if err := json.Unmarshal(text, &file); err != nil {
		return file, badQuery{fmt.Errorf("this is no exported transaction: %w", err)}
	}
	if file.Format != TransactionFormat {
		return file, badQuery{fmt.Errorf("this is no exported transaction: its format is %q, not %q", file.Format, TransactionFormat)}
	}
	if body := file.Transaction.Body; len(body) > 0 {
		canonical, err := canonicaljson.Canonicalize(body, canonicaljson.Lenient)
		if err != nil {
			return file, badQuery{fmt.Errorf("body of the transaction: %w", err)}
		}
		file.Transaction.Body = canonical
	}
	return file, nil
}
