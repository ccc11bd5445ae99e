// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// ear is a homeserver with one user, who has a device and a key for it, on a server that only messaging makes. It notes what it is told.
type ear struct {
	mu      sync.Mutex
	heard   []string
	news    chan struct{} // holds one
	user    ident.UserID
	room    ident.RoomID // that its aliases lead to
	devices []messaging.Device
	master  json.RawMessage
	oneTime []string
}

func (e *ear) note(format string, args ...any) {
	e.mu.Lock()
	e.heard = append(e.heard, fmt.Sprintf(format, args...))
	e.mu.Unlock()
	select {
	case e.news <- struct{}{}:
	default:
	}
}

// await waits until it was told a line.
func (e *ear) await(ctx context.Context, t *testing.T, line string) {
	t.Helper()
	for {
		e.mu.Lock()
		heard := slices.Clone(e.heard)
		e.mu.Unlock()
		if slices.Contains(heard, line) {
			return
		}
		select {
		case <-e.news:
		case <-ctx.Done():
			t.Fatalf("not told %q, but %q", line, heard)
		}
	}
}

func (e *ear) Typing(_ context.Context, _ ident.RoomID, user ident.UserID, typing bool) {
	e.note("%s types: %t", user, typing)
}

func (e *ear) Receipts(_ context.Context, list []messaging.Receipt) {
	for _, r := range list {
		e.note("%s has read %s", r.User, r.Event)
	}
}

func (e *ear) KeepToDevice(tx *persistence.Tx, m messaging.ToDeviceMessage) error {
	text, err := json.Marshal(m.Messages)
	tx.AfterCommit(func() { e.note("%s of %s: %s", m.Type, m.Sender, text) })
	return err
}

func (e *ear) DeviceChanged(tx *persistence.Tx, user ident.UserID, d messaging.Device) error {
	tx.AfterCommit(func() { e.note("device %s of %s: %s", d.ID, user, d.Name) })
	return nil
}

func (e *ear) DevicesStale(*persistence.Tx, ident.UserID) error { return nil }

func (e *ear) DevicesReplaced(tx *persistence.Tx, list messaging.UserDevices) error {
	var ids []string
	for _, d := range list.Devices {
		ids = append(ids, d.ID)
	}
	tx.AfterCommit(func() { e.note("devices of %s: %v", list.User, ids) })
	return nil
}

func (e *ear) SigningKeysChanged(*persistence.Tx, ident.UserID, messaging.SigningKeys) error {
	return nil
}

func (e *ear) UserDevices(_ *persistence.Tx, user ident.UserID) (messaging.UserDevices, bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := messaging.UserDevices{User: user, Devices: e.devices, SigningKeys: messaging.SigningKeys{Master: e.master}}
	return list, user == e.user, nil
}

func (e *ear) QueryKeys(_ context.Context, _ ident.ServerName, users map[ident.UserID][]string) (messaging.Keys, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	keys := messaging.Keys{Devices: map[ident.UserID]map[string]json.RawMessage{e.user: {}}}
	for _, d := range e.devices {
		keys.Devices[e.user][d.ID] = d.Keys
	}
	return keys, nil
}

func (e *ear) ClaimKeys(_ context.Context, wanted messaging.KeyClaims) (messaging.ClaimedKeys, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	device, claimed := "STRATA", messaging.ClaimedKeys{}
	if algorithm := wanted[e.user][device]; algorithm != "" && len(e.oneTime) > 0 {
		key := json.RawMessage(`{"key":"` + e.oneTime[0] + `","signatures":{}}`)
		claimed[e.user] = map[string]map[string]json.RawMessage{device: {algorithm + ":" + e.oneTime[0]: key}}
		e.oneTime = e.oneTime[1:]
	}
	return claimed, nil
}

func (e *ear) Profile(context.Context, ident.UserID) (map[string]json.RawMessage, bool, error) {
	return map[string]json.RawMessage{"displayname": json.RawMessage(`"Bob of Strata"`)}, true, nil
}

func (e *ear) ResolveAlias(context.Context, ident.RoomAlias) (messaging.AliasTarget, bool, error) {
	return messaging.AliasTarget{Room: e.room}, true, nil
}

func (e *ear) PublicRooms(context.Context, messaging.PublicRoomsQuery) (messaging.PublicRoomsPage, error) {
	return messaging.PublicRoomsPage{Rooms: []messaging.RoomSummary{{Room: e.room, Name: "published", JoinRule: "public", Members: 2}}}, nil
}

// startMessaging runs a server in this process for the user bob.
func startMessaging(t *testing.T, dir string, ca *CA) (*messaging.Server, *ear) {
	t.Helper()
	e := &ear{news: make(chan struct{}, 1)}
	server := link(t, dir, ca, func(server *messaging.Server) (messaging.Core, error) {
		e.user = ident.UserID("@bob:" + string(server.Name()))
		return messaging.Core{
			Typing: e, Receipts: e, ToDevice: e, DeviceLists: e, Devices: e, Profiles: e, Aliases: e, PublicRooms: e,
		}, nil
	})
	return server, e
}

// watcher is what a client has been shown besides rooms' events, as the text of its syncs.
type watcher struct {
	client *Client
	since  string
	shown  strings.Builder
}

// await syncs until what is shown holds all the pieces.
func (w *watcher) await(ctx context.Context, t *testing.T, pieces ...string) {
	t.Helper()
	for {
		text := w.shown.String()
		if !slices.ContainsFunc(pieces, func(piece string) bool { return !strings.Contains(text, piece) }) {
			return
		}
		query := url.Values{"timeout": {syncWait}}
		if w.since != "" {
			query.Set("since", w.since)
		}
		var reply json.RawMessage
		if err := w.client.call(ctx, http.MethodGet, "sync", query, nil, &reply); err != nil {
			t.Fatalf("not shown %q: %v\n%s", pieces, err, text)
		}
		var next struct {
			NextBatch string `json:"next_batch"`
		}
		if err := json.Unmarshal(reply, &next); err != nil {
			t.Fatal(err)
		}
		w.since = next.NextBatch
		w.shown.Write(reply)
		w.shown.WriteByte('\n')
	}
}

func interopDevice(user ident.UserID, id, name string) messaging.Device {
	keys := fmt.Sprintf(`{"algorithms":["m.olm.v1.curve25519-aes-sha2"],"device_id":%q,"keys":{"curve25519:%s":"3C5BFWi2Y8MaVvjM8M22DBmh24PmgR0nPvJOIArzgyI"},"signatures":{},"user_id":%q}`,
		id, id, user)
	return messaging.Device{ID: id, Name: name, Keys: json.RawMessage(keys)}
}

// TestEDUsWithSynapse has what is no event go both ways: typing, receipts, messages to devices, device lists, keys, and the questions for
// profiles, aliases and directories.
func TestEDUsWithSynapse(t *testing.T) {
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	strata, bob := startMessaging(t, filepath.Join(dir, "strata"), ca)
	synapse, ok := StartSynapse(t, filepath.Join(dir, "synapse"), ca).(*Peer)
	if !ok {
		t.Fatal("Synapse has no client API")
	}
	ctx, cancel := bounded(t, 2*scenarioTimeout)
	defer cancel()
	alice := synapse.NewClient(t, "alice")
	room, err := alice.CreateRoom(ctx, "10")
	if err != nil {
		t.Fatal(err)
	}
	bob.room = ident.RoomID(room)
	if err := strata.Join(ctx, bob.user, bob.room, []ident.ServerName{ident.ServerName(synapse.Name)}); err != nil {
		t.Fatal(err)
	}
	said, err := strata.Send(ctx, bob.room, bob.user, "m.room.message", map[string]string{"msgtype": "m.text", "body": "here"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Await(ctx, room, string(said)); err != nil {
		t.Fatal(err)
	}
	pair := &eduPair{strata: strata, bob: bob, synapse: ident.ServerName(synapse.Name), alice: alice, room: room, said: said, watch: &watcher{client: alice}}
	pair.watch.await(ctx, t, room) // what is asked for from now on is news
	t.Run("to Strata", func(t *testing.T) { pair.toStrata(ctx, t) })
	t.Run("to Synapse", func(t *testing.T) { pair.toSynapse(ctx, t) })
	t.Run("questions to Synapse", func(t *testing.T) { pair.askSynapse(ctx, t) })
	t.Run("questions to Strata", func(t *testing.T) { pair.askStrata(ctx, t) })
}

// eduPair is a user at each server, who share a room.
type eduPair struct {
	strata  *messaging.Server
	bob     *ear
	synapse ident.ServerName
	alice   *Client
	watch   *watcher
	room    string
	said    ident.EventID
	device  string // alice's
}

func (p *eduPair) do(ctx context.Context, t *testing.T, method, path string, body, reply any) {
	t.Helper()
	if err := p.alice.call(ctx, method, path, nil, body, reply); err != nil {
		t.Fatal(err)
	}
}

func (p *eduPair) toStrata(ctx context.Context, t *testing.T) {
	user := p.alice.UserID
	p.do(ctx, t, "PUT", roomPath(p.room, "typing", user), map[string]any{"typing": true, "timeout": 20000}, nil)
	p.bob.await(ctx, t, user+" types: true")
	p.do(ctx, t, "PUT", roomPath(p.room, "typing", user), map[string]any{"typing": false}, nil)
	p.bob.await(ctx, t, user+" types: false")
	p.do(ctx, t, "POST", roomPath(p.room, "receipt", "m.read", string(p.said)), map[string]any{}, nil)
	p.bob.await(ctx, t, user+" has read "+string(p.said))
	for i := range 3 {
		messages := map[string]any{"messages": map[string]any{string(p.bob.user): map[string]any{"*": map[string]int{"n": i}}}}
		p.do(ctx, t, "PUT", fmt.Sprintf("sendToDevice/m.interop/%d", i), messages, nil)
	}
	for i := range 3 {
		p.bob.await(ctx, t, fmt.Sprintf(`m.interop of %s: {%q:{"*":{"n":%d}}}`, user, p.bob.user, i))
	}
	var me struct {
		Device string `json:"device_id"`
	}
	p.do(ctx, t, "GET", "account/whoami", nil, &me)
	p.device = me.Device
	keys := interopDevice(ident.UserID(user), me.Device, "").Keys
	oneTime := map[string]any{"signed_curve25519:AAAAAA": map[string]any{"key": "zKbLg+NrIjpnagy+pIY6uPL4ZwEG2v+8F9lmgsnlZzs", "signatures": map[string]any{}}}
	p.do(ctx, t, "POST", "keys/upload", map[string]any{"device_keys": keys, "one_time_keys": oneTime}, nil)
	p.bob.await(ctx, t, fmt.Sprintf("devices of %s: [%s]", user, me.Device))
	p.do(ctx, t, "PUT", "devices/"+url.PathEscape(me.Device), map[string]string{"display_name": "Alice's"}, nil)
	p.bob.await(ctx, t, fmt.Sprintf("device %s of %s: ", me.Device, user)) // Synapse keeps names to itself, unless it is told otherwise
}

func (p *eduPair) toSynapse(ctx context.Context, t *testing.T) {
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	job := func(f func(tx *persistence.Tx) error) {
		t.Helper()
		check(p.strata.Store().Update(ctx, f))
	}
	bob := string(p.bob.user)
	check(p.strata.SendTyping(ctx, p.bob.room, p.bob.user, true))
	p.watch.await(ctx, t, `"user_ids":["`+bob+`"]`)
	check(p.strata.SendReceipt(ctx, messaging.Receipt{Room: p.bob.room, User: p.bob.user, Type: messaging.ReadReceipt, Event: p.said, TS: time.Now().UnixMilli()}))
	p.watch.await(ctx, t, `"m.receipt"`, `{"m.read":{"`+bob+`":`)
	job(func(tx *persistence.Tx) error {
		return p.strata.SendToDevice(tx, messaging.ToDeviceMessage{
			Sender: p.bob.user, Type: "m.interop.back",
			Messages: map[ident.UserID]map[string]json.RawMessage{ident.UserID(p.alice.UserID): {"*": json.RawMessage(`{"k":"to the device"}`)}},
		})
	})
	p.watch.await(ctx, t, "m.interop.back", "to the device")

	update := func(d messaging.Device) {
		t.Helper()
		p.bob.mu.Lock()
		p.bob.devices = append(p.bob.devices, d)
		p.bob.mu.Unlock()
		job(func(tx *persistence.Tx) error { return p.strata.SendDeviceListUpdate(tx, p.bob.user, d) })
	}
	update(interopDevice(p.bob.user, "STRATA", "Bob's first"))
	p.watch.await(ctx, t, `"changed":["`+bob+`"]`)
	p.awaitKeys(ctx, t, `"STRATA"`)
	update(interopDevice(p.bob.user, "SECOND", "Bob's second"))
	p.awaitKeys(ctx, t, `"STRATA"`, `"SECOND"`, "Bob's second")
	const public = "nqOvzeuGWT/sRx3h7+MHoInYj3Uk2LD/unI9kDYcHwk"
	master := json.RawMessage(fmt.Sprintf(`{"keys":{"ed25519:%s":%q},"usage":["master"],"user_id":%q}`, public, public, bob))
	job(func(tx *persistence.Tx) error {
		return p.strata.SendSigningKeyUpdate(tx, p.bob.user, messaging.SigningKeys{Master: master})
	})
	p.awaitKeys(ctx, t, "master_keys", public)
}

// awaitKeys asks Synapse for bob's keys until it has all the pieces.
func (p *eduPair) awaitKeys(ctx context.Context, t *testing.T, pieces ...string) {
	t.Helper()
	var reply json.RawMessage
	for ctx.Err() == nil {
		p.do(ctx, t, "POST", "keys/query", map[string]any{"device_keys": map[string][]string{string(p.bob.user): {}}}, &reply)
		if !slices.ContainsFunc(pieces, func(piece string) bool { return !strings.Contains(string(reply), piece) }) {
			return
		}
		pause := time.NewTimer(readyPoll)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	t.Fatalf("Synapse has %s of bob's keys, want %q", reply, pieces)
}

func (p *eduPair) askSynapse(ctx context.Context, t *testing.T) {
	alice := ident.UserID(p.alice.UserID)
	p.do(ctx, t, "PUT", "profile/"+url.PathEscape(string(alice))+"/displayname", map[string]string{"displayname": "Alice of Synapse"}, nil)
	fields, err := p.strata.QueryProfile(ctx, alice, "")
	if err != nil || string(fields["displayname"]) != `"Alice of Synapse"` {
		t.Errorf("profile: %s, %v", fields, err)
	}
	alias := ident.RoomAlias("#interop:" + string(p.synapse))
	p.do(ctx, t, "PUT", "directory/room/"+url.PathEscape(string(alias)), map[string]string{"room_id": p.room}, nil)
	target, err := p.strata.ResolveAlias(ctx, alias)
	if err != nil || string(target.Room) != p.room || !slices.Contains(target.Servers, p.synapse) {
		t.Errorf("alias: %+v, %v", target, err)
	}
	keys, err := p.strata.QueryKeys(ctx, p.synapse, map[ident.UserID][]string{alice: nil})
	if err != nil || keys.Devices[alice][p.device] == nil {
		t.Errorf("keys: %s, %v", keys.Devices[alice], err)
	}
	for _, want := range []string{"signed_curve25519:AAAAAA", ""} {
		claimed, err := p.strata.ClaimKeys(ctx, p.synapse, messaging.KeyClaims{alice: {p.device: "signed_curve25519"}})
		if got := claimed[alice][p.device]; err != nil || len(got) != min(len(want), 1) || want != "" && got[want] == nil {
			t.Errorf("claimed (M-66): %s, %v; want %q", got, err, want)
		}
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	p.do(ctx, t, "POST", "user/"+url.PathEscape(string(alice))+"/openid/request_token", map[string]any{}, &token)
	if user, err := p.strata.OpenIDUserInfo(ctx, p.synapse, token.AccessToken); err != nil || user != alice {
		t.Errorf("openid: %s, %v", user, err)
	}
	if h, err := p.strata.Hierarchy(ctx, p.bob.room, []ident.ServerName{p.synapse}, false); err != nil || h.Room.JoinRule != "public" || h.Room.Members != 2 {
		t.Errorf("hierarchy: %+v, %v", h, err)
	}
}

func (p *eduPair) askStrata(ctx context.Context, t *testing.T) {
	bob := string(p.bob.user)
	p.bob.mu.Lock()
	p.bob.oneTime = []string{"BBBBBB"}
	p.bob.mu.Unlock()
	server := string(p.bob.user.Server())
	for _, tt := range []struct {
		method, path string
		query        url.Values
		body         any
		want         string
	}{
		{"GET", "profile/" + url.PathEscape(bob) + "/displayname", nil, nil, "Bob of Strata"},
		{"GET", "directory/room/" + url.PathEscape("#any:"+server), nil, nil, p.room},
		{"GET", "publicRooms", url.Values{"server": {server}}, nil, "published"},
		{"POST", "publicRooms", url.Values{"server": {server}}, map[string]any{"filter": map[string]string{"generic_search_term": "pub"}}, "published"},
		{"POST", "keys/claim", nil, map[string]any{"one_time_keys": map[string]any{bob: map[string]string{"STRATA": "signed_curve25519"}}}, "signed_curve25519:BBBBBB"},
	} {
		var reply json.RawMessage
		if err := p.alice.call(ctx, tt.method, tt.path, tt.query, tt.body, &reply); err != nil || !strings.Contains(string(reply), tt.want) {
			t.Errorf("%s %s: %s, %v; want %q", tt.method, tt.path, reply, err, tt.want)
		}
	}
}
