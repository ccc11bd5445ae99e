// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

func TestScan(t *testing.T) {
	type number int16
	var (
		i64  int64
		i    int
		yes  bool
		text string
		room ident.RoomID
		id   ident.EventID
		at   Position
		data []byte
		none = []byte("something")
		raw  []byte
		any1 any
		n16  number
		u8   uint8
	)
	columns := row{int64(-5), int64(6), int64(1), "words", "!r", "$e", int64(7), []byte{1}, nil, "as bytes", nil, int64(-300), int64(255)}
	if err := columns.Scan(&i64, &i, &yes, &text, &room, &id, &at, &data, &none, &raw, &any1, &n16, &u8); err != nil {
		t.Fatal(err)
	}
	got := []any{i64, i, yes, text, room, id, at, data, none, raw, any1, n16, u8}
	want := []any{
		int64(-5), 6, true, "words", ident.RoomID("!r"), ident.EventID("$e"), Position(7), []byte{1}, []byte(nil), []byte("as bytes"), any(nil),
		number(-300), uint8(255),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What does not fit is an error, and never a value that was made up.
func TestScanRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		value any
		dest  any
	}{
		{"null into a number", nil, new(int)},
		{"null into text", nil, new(string)},
		{"text into a number", "5", new(int64)},
		{"a number into text", int64(5), new(string)},
		{"a number into bytes", int64(5), new([]byte)},
		{"bytes into text", []byte("x"), new(string)},
		{"2 into a boolean", int64(2), new(bool)},
		{"too much for the type", int64(300), new(uint8)},
		{"less than nothing", int64(-1), new(uint)},
		{"a fraction into a number", 1.5, new(int)},
	} {
		if err := (row{test.value}).Scan(test.dest); err == nil {
			t.Errorf("%s: no error", test.name)
		}
	}
	if err := (row{int64(1), int64(2)}).Scan(new(int)); err == nil {
		t.Error("two columns into one place: no error")
	}
}
