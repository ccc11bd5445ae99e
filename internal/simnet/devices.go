// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// deviceTables is what was written to devices of others, and what came, each in its order, and what is known of devices. They share the
// server's file, and its fate when it is killed.
var deviceTables = persistence.Annex{Name: "sim", Steps: []string{`
CREATE TABLE sim_written (word INTEGER PRIMARY KEY, receiver TEXT NOT NULL) STRICT;
CREATE TABLE sim_received (number INTEGER PRIMARY KEY, sender TEXT NOT NULL, word INTEGER NOT NULL) STRICT;` + listTables + toldTable}}

// device is the one that the user of a server has.
type device struct{ user ident.UserID }

// word is what is in a message to a device.
type word struct {
	Word int64 `json:"word"`
}

const deviceID, wordType = "DEVICE", "io.github.strata-matrix.word"

// KeepToDevice implements messaging.ToDevice.
func (d device) KeepToDevice(tx *persistence.Tx, m messaging.ToDeviceMessage) error {
	var content word
	if err := json.Unmarshal(m.Messages[d.user][deviceID], &content); err != nil {
		return fmt.Errorf("message of %s to %s: %w", m.Sender, d.user, err)
	}
	_, err := tx.Exec(`INSERT INTO sim_received (sender, word) VALUES (?, ?)`, string(m.Sender), content.Word)
	return err
}

// parseWrites has a user send messages to the device of another.
func (s *Script) parseWrites(words []string) (func(*actor), error) {
	if len(words) == 0 || !slices.Contains(s.Servers, words[0]) {
		return nil, errors.New("a server is needed")
	}
	n, err := times(words[1:])
	return func(a *actor) { a.write(userOf(words[0]), n) }, err
}

// write sends messages to a device, each with the note that it did in one job: what the server is killed over, it has not written.
func (a *actor) write(to ident.UserID, n int) {
	for range n {
		server := a.breathe()
		err := server.Store().Update(context.Background(), func(tx *persistence.Tx) error {
			var content word
			if _, err := tx.QueryRow(`SELECT coalesce(max(word), 0) + 1 FROM sim_written`, nil, &content.Word); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO sim_written (word, receiver) VALUES (?, ?)`, content.Word, string(to)); err != nil {
				return err
			}
			encoded, err := json.Marshal(content)
			if err != nil {
				return err
			}
			return server.SendToDevice(tx, messaging.ToDeviceMessage{
				Sender: a.node.user, Type: wordType, Messages: map[ident.UserID]map[string]json.RawMessage{to: {deviceID: encoded}},
			})
		})
		if err != nil && !dying(err) {
			a.world.fault("%s: write to %s: %v", a.node.name, to, err)
		}
	}
}

// readDevices reads what was written and received.
func (s *Snapshot) readDevices(tx *persistence.Tx) error {
	s.Written, s.Received = map[ident.UserID][]int64{}, map[ident.UserID][]int64{}
	into := func(words map[ident.UserID][]int64) func(persistence.Row) error {
		return func(r persistence.Row) error {
			var user ident.UserID
			var word int64
			err := r.Scan(&user, &word)
			words[user] = append(words[user], word)
			return err
		}
	}
	if err := tx.Query(`SELECT receiver, word FROM sim_written ORDER BY word`, nil, into(s.Written)); err != nil {
		return err
	}
	return tx.Query(`SELECT sender, word FROM sim_received ORDER BY number`, nil, into(s.Received))
}

// devicesHaveAll: what honest users wrote to each other's devices came there once, in the order in which it was written (M-55, T-12).
func devicesHaveAll(e End) (wrong []string) {
	for _, from := range e.Snapshots {
		for _, to := range e.Snapshots {
			if written, received := from.Written[to.User], to.Received[from.User]; !slices.Equal(written, received) {
				wrong = append(wrong, fmt.Sprintf("%s wrote %v to %s, who has %v", from.User, written, to.User, received))
			}
		}
	}
	return wrong
}
