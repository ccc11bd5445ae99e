// SPDX-License-Identifier: Apache-2.0

package todevice_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api/apitest"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/homeserver/todevice"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	alice = "@alice:a.example"
	bob   = "@bob:a.example"
	carol = "@carol:b.example"
)

type post struct{ sent []messaging.ToDeviceMessage }

func (p *post) SendToDevice(_ *persistence.Tx, m messaging.ToDeviceMessage) error {
	p.sent = append(p.sent, m)
	return nil
}

// TestSend is M-55 and S-23: each device of ours gets a message once, however often it is sent, and "*" is all devices.
func TestSend(t *testing.T) {
	ctx := context.Background()
	store, err := persistence.Open(ctx, persistence.Options{
		Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "a.example",
		Annex: persistence.Annex{Name: "hs", Steps: []string{stream.Schema, accounts.Schema, todevice.Schema}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	others := &post{}
	messages := todevice.New("a.example", store, others)
	client := apitest.New(t, messages.Routes())
	update := func(job func(*persistence.Tx) error) {
		t.Helper()
		if err := store.Update(ctx, job); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *persistence.Tx) error {
		for _, d := range [][2]string{{alice, "A1"}, {bob, "B1"}, {bob, "B2"}} {
			if _, err := tx.Exec(`INSERT INTO hs_devices (user, device, name, created) VALUES (?, ?, '', 0)`, d[0], d[1]); err != nil {
				return err
			}
		}
		return nil
	})
	waiting := func(user ident.UserID, device string) (contents []string) {
		t.Helper()
		update(func(tx *persistence.Tx) error {
			list, err := todevice.Waiting(tx, user, device, 0, tx.LastPosition(), 10)
			for _, m := range list {
				contents = append(contents, string(m.Sender)+" "+m.Type+" "+string(m.Content))
			}
			return err
		})
		return contents
	}

	const send = "/_matrix/client/v3/sendToDevice/org.test/"
	const body = `{"messages":{"` + bob + `":{"*":{"n":1},"B2":{"n":2},"B9":{"n":3}},"` + carol + `":{"C":{"n":4}}}}`
	client.Want(t, alice+" A1", "PUT", send+"t1", body, 200, `{}`)
	client.Want(t, alice+" A1", "PUT", send+"t1", body, 200, `{}`)
	if diff := cmp.Diff([]string{`@alice:a.example org.test {"n":1}`}, waiting(bob, "B1")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{`@alice:a.example org.test {"n":2}`}, waiting(bob, "B2")); diff != "" {
		t.Error(diff)
	}
	if len(others.sent) != 1 || string(others.sent[0].Messages[carol]["C"]) != `{"n":4}` {
		t.Errorf("sent to others: %+v", others.sent)
	}
	client.Want(t, alice+" A1", "PUT", send+"t2", body, 200, `{}`)
	if got := waiting(bob, "B1"); len(got) != 2 {
		t.Errorf("after another message: %v", got)
	}

	update(func(tx *persistence.Tx) error {
		return todevice.Inbox{}.KeepToDevice(tx, messaging.ToDeviceMessage{
			Sender: carol, Type: "org.test", Messages: map[ident.UserID]map[string]json.RawMessage{alice: {"A1": json.RawMessage(`{}`)}, "@no:a.example": {"*": json.RawMessage(`{}`)}},
		})
	})
	if diff := cmp.Diff([]string{`@carol:b.example org.test {}`}, waiting(alice, "A1")); diff != "" {
		t.Error(diff)
	}
	update(func(tx *persistence.Tx) error { return todevice.Acknowledge(tx, alice, "A1", tx.LastPosition()) })
	update(func(tx *persistence.Tx) error { return messages.DevicesRemoved(tx, bob, []string{"B1"}) })
	if got := append(waiting(alice, "A1"), waiting(bob, "B1")...); len(got) != 0 {
		t.Errorf("after acknowledgement and removal: %v", got)
	}

	for _, bad := range []string{`{}`, `{"messages":7}`, `{"messages":{"nobody":{}}}`, `{"messages":{"` + bob + `":{"B1":7}}}`, `{"messages":{"` + bob + `":{"":{}}}}`} {
		client.Want(t, alice+" A1", "PUT", send+"t3", bad, 400, "")
	}
}
