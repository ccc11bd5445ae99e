// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// ToDevice takes messages to devices of our users.
type ToDevice interface {
	// KeepToDevice makes a message durable, in the job that acknowledges it to its server: it comes once, and in the order in which its
	// sender sent it (M-55). Only users of ours are in it; whether they and their devices exist is not known. It must not wait for
	// anything. An error fails the acknowledgement, and the message comes again.
	KeepToDevice(tx *persistence.Tx, message ToDeviceMessage) error
}

// ToDeviceMessage is a message of one user to devices of others, for each with a content of its own. The device "*" is all that the
// user has (M-55).
type ToDeviceMessage struct {
	Sender   ident.UserID
	Type     string
	Messages map[ident.UserID]map[string]json.RawMessage
}

// incomingToDevice is a message with the id by which one that comes twice is known.
type incomingToDevice struct {
	ToDeviceMessage
	id string
}

func parseToDevice(edu transaction.EDU, self ident.ServerName) (m incomingToDevice, err error) {
	if m.Sender, err = speaker(edu.Origin, edu.Content.Get("sender")); err != nil {
		return m, err
	}
	m.Type, _ = edu.Content.Get("type").Text()
	if m.id, _ = edu.Content.Get("message_id").Text(); m.Type == "" || m.id == "" {
		return m, malformed("type or message_id is not given")
	}
	if len(m.Type) > maxToDeviceType || len(m.id) > maxMessageID {
		return m, malformed("type of %d bytes, message_id of %d", len(m.Type), len(m.id))
	}
	m.Messages = map[ident.UserID]map[string]json.RawMessage{}
	for userID, devices := range edu.Content.Get("messages").Members() {
		user, err := ident.ParseUserID(userID)
		if err != nil || user.Server() != self {
			continue
		}
		for device, content := range devices.Members() {
			body := objectOf(content)
			if body == nil || device == "" || len(device) > maxDeviceID {
				continue
			}
			if m.Messages[user] == nil {
				m.Messages[user] = map[string]json.RawMessage{}
			}
			m.Messages[user][device] = body
		}
	}
	return m, nil
}

func (s *Server) keepToDevice(tx *persistence.Tx, edu transaction.EDU) error {
	m, err := parseToDevice(edu, s.self)
	if err != nil {
		return err
	}
	if len(m.Messages) == 0 {
		return malformed("it is for no device of ours")
	}
	first, err := tx.SeeToDevice(m.Sender, m.id, maxSeenToDevice)
	if err != nil || !first {
		return err
	}
	return s.core.ToDevice.KeepToDevice(tx, m.ToDeviceMessage)
}

// SendToDevice queues a message of a user of ours for devices of users of other servers, in a job of the caller: it is sent if and only
// if that is committed, and taken once by servers that do as they should. Users of ours among the receivers are left out. It is split
// where it is large, by receivers.
func (s *Server) SendToDevice(tx *persistence.Tx, m ToDeviceMessage) error {
	if err := s.ours(m.Sender); err != nil {
		return fmt.Errorf("send to devices: %w", err)
	}
	byServer := map[ident.ServerName][]ident.UserID{}
	for _, user := range slices.Sorted(maps.Keys(m.Messages)) {
		if server := user.Server(); server != s.self {
			byServer[server] = append(byServer[server], user)
		}
	}
	for _, server := range slices.Sorted(maps.Keys(byServer)) {
		parcel := toDeviceParcel{message: m}
		for _, user := range byServer[server] {
			for _, device := range slices.Sorted(maps.Keys(m.Messages[user])) {
				if err := parcel.add(user, device, m.Messages[user][device]); err != nil {
					return err
				}
			}
		}
		if err := parcel.close(); err != nil {
			return err
		}
		for _, edu := range parcel.edus {
			if err := s.outbox.EnqueueEDU(tx, edu, []ident.ServerName{server}); err != nil {
				return fmt.Errorf("send to devices at %s: %w", server, err)
			}
		}
	}
	return nil
}

// toDeviceParcel is the message for one server, as EDUs.
type toDeviceParcel struct {
	message ToDeviceMessage
	edus    [][]byte

	messages map[ident.UserID]map[string]json.RawMessage // of the next
	bytes    int
}

func (p *toDeviceParcel) add(user ident.UserID, device string, content json.RawMessage) error {
	if p.bytes > 0 && p.bytes+len(content) > maxToDeviceBytes {
		if err := p.close(); err != nil {
			return err
		}
	}
	if p.messages == nil {
		p.messages = map[ident.UserID]map[string]json.RawMessage{}
	}
	if p.messages[user] == nil {
		p.messages[user] = map[string]json.RawMessage{}
	}
	p.messages[user][device] = content
	p.bytes += len(user) + len(device) + len(content)
	return nil
}

// close ends an EDU. Its id is drawn: a counter would begin anew with a file that was restored, and the receivers drop what they know.
func (p *toDeviceParcel) close() error {
	if p.bytes == 0 {
		return nil
	}
	edu, err := encodeEDU(eduToDevice, map[string]any{
		"sender": p.message.Sender, "type": p.message.Type, "message_id": rand.Text(), "messages": p.messages,
	})
	p.edus, p.messages, p.bytes = append(p.edus, edu), nil, 0
	return err
}
