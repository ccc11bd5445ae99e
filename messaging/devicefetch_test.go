// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
)

// lists is x.example's answers to /user/devices, one after the other; the last one stays.
type lists struct {
	answers []string // a body, or "STATUS CODE"
	asked   int
}

func (l *lists) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	answer := l.answers[min(l.asked, len(l.answers)-1)]
	l.asked++
	var status int
	var code string
	if n, _ := fmt.Sscanf(answer, "%d %s", &status, &code); n == 2 {
		w.WriteHeader(status)
		answer = `{"errcode":"` + code + `","error":"by the test"}`
	}
	_, _ = io.WriteString(w, answer)
}

func listed(stream int, devices string) string {
	return fmt.Sprintf(`{"user_id":"@xavier:x.example","stream_id":%d,"devices":[%s]}`, stream, devices)
}

func updated(stream int, prev, device string) string {
	return fmt.Sprintf(`{"edu_type":"m.device_list_update","content":{"user_id":"@xavier:x.example","device_id":%q,"stream_id":%d,"prev_id":[%s]}}`,
		device, stream, prev)
}

// Whatever /user/devices answers first: in the end the homeserver has the list of the latest update, and then each device that changes,
// once and in order (M-56 to M-58).
func TestMissingDeviceUpdates(t *testing.T) {
	const stale, lost = "devices of @xavier:x.example are stale", "devices of @xavier:x.example: [], master false, self-signing false"
	whole := func(devices string) string {
		return "devices of @xavier:x.example: [" + devices + "], master false, self-signing false"
	}
	changed := func(device string) string { return device + ` of @xavier:x.example: "", keys false, deleted false` }
	for _, tt := range []struct {
		name    string
		answers []string
		edus    []string
		want    []string
		asked   int
	}{
		{"at once", []string{listed(5, `{"device_id":"A"}`)}, []string{updated(5, "4", "A"), updated(6, "5", "B"), updated(7, "6", "C")},
			[]string{stale, whole("A"), changed("B"), changed("C")}, 1},
		{"an update that comes twice", []string{listed(5, `{"device_id":"A"}`)}, []string{updated(5, "4", "A"), updated(5, "4", "A"), updated(6, "5", "B"), updated(6, "5", "B")},
			[]string{stale, whole("A"), changed("B")}, 1},
		{"the list has a number of its own, as Synapse's", []string{listed(9, `{"device_id":"A"}`)}, []string{updated(5, "", "A"), updated(12, "5", "B")},
			[]string{stale, whole("A"), changed("B")}, 1},
		{"a gap", []string{listed(5, ``), listed(8, `{"device_id":"B"},{"device_id":"C"}`)}, []string{updated(5, "", "A"), updated(8, "7", "C"), updated(9, "8", "D")},
			[]string{stale, whole(""), stale, whole("B C"), changed("D")}, 2},
		{"several before, of which one is not known", []string{listed(5, ``), listed(8, ``)}, []string{updated(5, "", "A"), updated(8, "5,7", "C")},
			[]string{stale, whole(""), stale, whole("")}, 2},
		{"an update that the list holds already", []string{listed(7, `{"device_id":"A"},{"device_id":"C"}`)},
			[]string{updated(5, "4", "A"), updated(6, "5", "B"), updated(7, "6", "B"), updated(8, "7", "D")}, []string{stale, whole("A C"), stale, whole("A C"), changed("D")}, 2},
		{"an old list", []string{listed(4, ``), listed(5, `{"device_id":"A"}`)}, []string{updated(5, "4", "A"), updated(6, "5", "B")},
			[]string{stale, whole("A"), changed("B")}, 2},
		{"failures", []string{"500 M_UNKNOWN", "429 M_LIMIT_EXCEEDED", "nonsense", `{}`, listed(5, `{"device_id":"A"}`)}, []string{updated(5, "4", "A"), updated(6, "5", "B")},
			[]string{stale, whole("A"), changed("B")}, 5},
		{"a user who is no more", []string{"404 M_NOT_FOUND"}, []string{updated(5, "4", "A")}, []string{stale, lost}, 1},
		{"a server that does not know the question", []string{"404 M_UNRECOGNIZED"}, []string{updated(5, "4", "A")}, []string{stale}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				ctx := t.Context()
				heard, served := &core{}, &lists{answers: tt.answers}
				a, x := n.open("a.example", "", heard.with), n.peer("x.example")
				x.mux.Handle("GET /_matrix/federation/v1/user/devices/", served)
				room := versionTen(t, a, true)
				if _, err := x.hand(ctx, t, "join", x.prepare(ctx, t, "join", room, xavier)); err != nil {
					t.Fatal(err)
				}
				settle()
				for i, edu := range tt.edus {
					if err := x.send(ctx, t, fmt.Sprint(i), edu); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Hour) // more than all the waits together
					synctest.Wait()
				}
				wantLines(t, "heard", heard.heard(), tt.want...)
				if served.asked != tt.asked {
					t.Errorf("asked %d times, want %d", served.asked, tt.asked)
				}
			})
		})
	}
}

// That a list has to be fetched survives a restart. A homeserver can
// ask for one, and have it forgotten.
func TestDeviceListsAcrossRestarts(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx, dir := t.Context(), t.TempDir()
		heard, served := &core{}, &lists{answers: []string{"500 M_UNKNOWN"}}
		a, x := n.open("a.example", dir, heard.with), n.peer("x.example")
		x.mux.Handle("GET /_matrix/federation/v1/user/devices/", served)
		room := versionTen(t, a, true)
		if _, err := x.hand(ctx, t, "join", x.prepare(ctx, t, "join", room, xavier)); err != nil {
			t.Fatal(err)
		}
		settle()
		for i, edu := range []string{updated(5, "4", "A"), updated(6, "5", "B")} {
			if err := x.send(ctx, t, fmt.Sprint(i), edu); err != nil {
				t.Fatal(err)
			}
		}
		settle()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		served.answers, served.asked = []string{listed(6, `{"device_id":"A"},{"device_id":"B"}`)}, 0
		a = n.open("a.example", dir, heard.with)
		time.Sleep(time.Hour)
		synctest.Wait()
		wantLines(t, "after the restart", heard.heard(), "devices of @xavier:x.example are stale", "devices of @xavier:x.example: [A B], master false, self-signing false")

		inJob(t, a, func(tx *persistence.Tx) error { return a.FollowDevices(tx, xavier) })
		settle()
		wantLines(t, "followed", heard.heard(), "devices of @xavier:x.example: [A B], master false, self-signing false")
		inJob(t, a, func(tx *persistence.Tx) error { return a.ForgetDevices(tx, xavier) })
		if err := x.send(ctx, t, "7", updated(7, "6", "C")); err != nil {
			t.Fatal(err)
		}
		settle()
		wantLines(t, "forgotten", heard.heard(), "devices of @xavier:x.example are stale")
		err := a.Store().Update(ctx, func(tx *persistence.Tx) error { return a.FollowDevices(tx, alice) })
		if !errors.Is(err, messaging.ErrOurs) {
			t.Errorf("a user of our own: %v", err)
		}
	})
}

// What leaves has the shapes of the specification's schemas, and nothing that is of other servers' business.
func TestEDUsOnTheWire(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, x := n.open("a.example", "", (&core{}).with), n.peer("x.example")
		var edus []string
		x.take = func(edu string) { edus = append(edus, edu) }
		room := versionTen(t, a, true)
		if _, err := x.hand(ctx, t, "join", x.prepare(ctx, t, "join", room, xavier)); err != nil {
			t.Fatal(err)
		}
		settle()
		step := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			settle()
		}
		step(a.SendTyping(ctx, room, alice, true))
		step(a.SendReceipt(ctx, messaging.Receipt{Room: room, User: alice, Type: "m.read", Event: "$e", Thread: "main", TS: 1533358089009}))
		step(a.SendPresence(ctx, messaging.PresenceUpdate{User: alice, Presence: "online", LastActive: 5 * time.Second, Status: "Making cupcakes"}))
		inJob(t, a, func(tx *persistence.Tx) error {
			return a.SendSigningKeyUpdate(tx, alice, messaging.SigningKeys{SelfSigning: signingKey(alice, "self_signing")})
		})
		settle()
		wantLines(t, "volatile ones and keys", edus,
			fmt.Sprintf(`{"content":{"room_id":%q,"typing":true,"user_id":"@alice:a.example"},"edu_type":"m.typing"}`, room),
			fmt.Sprintf(`{"content":{%q:{"m.read":{"@alice:a.example":{"data":{"thread_id":"main","ts":1533358089009},"event_ids":["$e"]}}}},"edu_type":"m.receipt"}`, room),
			`{"content":{"push":[{"currently_active":false,"last_active_ago":5000,"presence":"online","status_msg":"Making cupcakes","user_id":"@alice:a.example"}]},"edu_type":"m.presence"}`,
			fmt.Sprintf(`{"content":{"self_signing_key":%s,"user_id":"@alice:a.example"},"edu_type":"m.signing_key_update"}`, signingKey(alice, "self_signing")))

		// The updates of a user form a chain (M-57).
		edus = nil
		first := time.Now().UnixMilli()
		inJob(t, a, func(tx *persistence.Tx) error {
			return errors.Join(a.SendDeviceListUpdate(tx, alice, messaging.Device{ID: "A", Name: "Mobile", Keys: deviceKeys(alice, "A")}),
				a.SendDeviceListUpdate(tx, alice, messaging.Device{ID: "A", Deleted: true, Name: "Mobile"}))
		})
		settle()
		wantLines(t, "device list", edus,
			fmt.Sprintf(`{"content":{"device_display_name":"Mobile","device_id":"A","keys":%s,"stream_id":%d,"user_id":"@alice:a.example"},"edu_type":"m.device_list_update"}`,
				deviceKeys(alice, "A"), first),
			fmt.Sprintf(`{"content":{"deleted":true,"device_id":"A","prev_id":[%d],"stream_id":%d,"user_id":"@alice:a.example"},"edu_type":"m.device_list_update"}`, first, first+1))
	})
}
