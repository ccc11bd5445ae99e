// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

func TestJudge(t *testing.T) {
	all := []sent{{1, 1, "$a"}, {2, 2, "$b"}}
	whole := [][]entry{{{1, "$x"}, {4, "$a"}, {6, "$b"}}}
	for _, test := range []struct {
		name   string
		second [][]entry // journal of server 2
		want   verdict
	}{
		{"all once", [][]entry{{{2, "$a"}, {3, "$b"}}}, verdict{delivered: 4}},
		{"over a restart", [][]entry{{{2, "$a"}}, {{3, "$b"}}}, verdict{delivered: 4}},
		{"again at the same position", [][]entry{{{2, "$a"}}, {{2, "$a"}, {3, "$b"}}}, verdict{delivered: 4, redelivered: 1}},
		{"lost", [][]entry{{{2, "$a"}}, {}}, verdict{
			delivered: 3, lost: 1, faults: []string{"server 2 never got event 2, $b, which server 2 had acknowledged"},
		}},
		{"no journal", nil, verdict{delivered: 2, lost: 2, faults: []string{
			"server 2 never got event 1, $a, which server 1 had acknowledged", "server 2 never got event 2, $b, which server 2 had acknowledged",
		}}},
		{"twice", [][]entry{{{2, "$a"}}, {{3, "$a"}, {4, "$b"}}}, verdict{
			delivered: 4, duplicated: 1, faults: []string{"server 2: event $a was delivered twice, at positions 2 and 3"},
		}},
		{"out of order", [][]entry{{{3, "$a"}, {2, "$b"}}}, verdict{
			delivered: 4, faults: []string{"server 2: position 2 was delivered after position 3"},
		}},
		{"a position that moved", [][]entry{{{2, "$a"}}, {{2, "$b"}}}, verdict{
			delivered: 4, faults: []string{"server 2: position 2 stands for two events, $a and $b"},
		}},
	} {
		got := judge(all, [][][]entry{whole, test.second})
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(verdict{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestCompareStates(t *testing.T) {
	got := compareStates([]map[string]ident.EventID{
		{"m.room.topic|": "$1", "m.room.name|": "$2"},
		{"m.room.topic|": "$1", "m.room.name|": "$2"},
		{"m.room.topic|": "$3", "m.room.avatar|": "$4"},
	})
	want := []string{
		"room state m.room.avatar| is nothing on server 1 and $4 on server 3",
		"room state m.room.name| is $2 on server 1 and nothing on server 3",
		"room state m.room.topic| is $1 on server 1 and $3 on server 3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A line that a crash cut off does not count, neither for who reads nor for the process that goes on.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deliveries.jsonl")
	if runs, err := readJournal(path); runs != nil || err != nil {
		t.Errorf("without a file: %v, %v", runs, err)
	}
	write(t, path, entry{2, "$a"}, entry{5, "$b"})
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"position":7,"ev`); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	compare(t, path, [][]entry{{{2, "$a"}, {5, "$b"}}})
	write(t, path, entry{5, "$b"}, entry{7, "$c"})
	compare(t, path, [][]entry{{{2, "$a"}, {5, "$b"}}, {{5, "$b"}, {7, "$c"}}})

	for _, foreign := range []string{"no JSON\n", `{"position":1,"event":"$a"}` + "\n", `{"begun":1}` + "\n{}\n"} {
		if err := os.WriteFile(path, []byte(foreign), 0o600); err != nil {
			t.Fatal(err)
		}
		if runs, err := readJournal(path); err == nil {
			t.Errorf("%q: read as %v", foreign, runs)
		}
	}
}

func write(t *testing.T, path string, entries ...entry) {
	t.Helper()
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := j.record(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

func compare(t *testing.T, path string, want [][]entry) {
	t.Helper()
	got, err := readJournal(path)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestDivide(t *testing.T) {
	for events, want := range map[int]shares{
		4: {1, 1, 1, 1}, 10: {3, 1, 3, 3}, 30: {9, 3, 9, 9}, 1000: {300, 100, 300, 300},
	} {
		if got := divide(events); got != want {
			t.Errorf("%d events: %+v, want %+v", events, got, want)
		}
	}
	if diff := cmp.Diff([]int{3, 2, 2}, deal(7, 3)); diff != "" {
		t.Errorf("7 events for 3 servers (-want +got):\n%s", diff)
	}
}
