// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// However long an outage and however old a server: what is kept of attempts is bounded, and the latest is what stays.
func TestKeptAttemptsAreBounded(t *testing.T) {
	s := newStore(t, Options{})
	enqueue(t, s, "a.example", "b.example")
	const attempts = KeptFailures + 10
	update(t, s, func(tx *Tx) error {
		a, err := tx.Freeze(SentTransaction{Destination: "a.example", TxnID: "t", Body: []byte(`{}`)})
		if err != nil {
			return err
		}
		b, err := tx.Freeze(SentTransaction{Destination: "b.example", TxnID: "u", Body: []byte(`{}`)})
		if err != nil {
			return err
		}
		for n := range attempts { // one a day
			err := tx.RecordFailure(a, Attempt{Number: n + 1, StartedAt: int64(n) * msPerDay, Bytes: 2, Class: "dial", Phase: "connect"})
			if err != nil {
				return err
			}
		}
		return tx.RecordFailure(b, Attempt{Number: 1, StartedAt: 1, Class: "tls"})
	})
	update(t, s, func(tx *Tx) error {
		failed, err := tx.FailedAttempts("a.example")
		if err != nil {
			return err
		}
		if len(failed) != KeptFailures || failed[0].Number != attempts-KeptFailures+1 || failed[0].Phase != "connect" {
			t.Errorf("%d failures kept, the oldest %+v", len(failed), failed[0])
		}
		days, err := tx.AttemptDays("a.example")
		if err != nil {
			return err
		}
		if len(days) != KeptDays || days[0] != (AttemptDay{Day: attempts - KeptDays, Class: "dial", Attempts: 1, Bytes: 2}) {
			t.Errorf("%d days kept, the oldest %+v", len(days), days[0])
		}
		if other, err := tx.FailedAttempts("b.example"); err != nil || len(other) != 1 {
			t.Errorf("b.example: %v, %v, want one failure", other, err)
		}
		return nil
	})
}

// Successes are counted by day, whatever the order of the days: clocks are set back too.
func TestSuccessesAreCountedByDay(t *testing.T) {
	s := newStore(t, Options{})
	enqueue(t, s, "a.example", "b.example")
	want := map[int64]AttemptDay{}
	update(t, s, func(tx *Tx) error {
		for i, day := range []int64{100, 100, 101, 100, 101, 102, 102, 102, 50, 103} {
			a := Attempt{Number: 1, StartedAt: day*msPerDay + int64(i), Bytes: 10 + i, DurationUS: int64(100 + i), Class: ClassOK}
			if err := tx.SetDelivered(Destination{Server: "a.example", Cursor: Position(i), LastSuccess: a.StartedAt}, a); err != nil {
				return err
			}
			if day > 103-KeptDays {
				w := want[day]
				want[day] = AttemptDay{day, ClassOK, w.Attempts + 1, w.Bytes + int64(a.Bytes), w.DurationUS + a.DurationUS}
			}
		}
		days, err := tx.AttemptDays("a.example")
		if err != nil {
			return err
		}
		got := map[int64]AttemptDay{}
		for _, d := range days {
			got[d.Day] = d
		}
		if diff := cmp.Diff(want, got); diff != "" || len(days) != len(got) {
			t.Errorf("%d days (-want +got):\n%s", len(days), diff)
		}
		d, _, err := tx.Destination("a.example")
		if err != nil || d.Cursor != 9 || d.LastSuccess != 103*msPerDay+9 {
			t.Errorf("destination %+v, %v", d, err)
		}
		if other, err := tx.AttemptDays("b.example"); err != nil || len(other) != 0 {
			t.Errorf("b.example: %v, %v", other, err)
		}
		return nil
	})
}
