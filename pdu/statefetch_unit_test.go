// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

func ids(text string) (list []ident.EventID) {
	for _, c := range text {
		list = append(list, ident.EventID("$"+string(c)))
	}
	return list
}

// Of several answers the one comes first that differs least from the others; of equals the one that was asked for first.
func TestRankAnswers(t *testing.T) {
	for _, tt := range []struct{ name, answers, want string }{
		{"one", "ab", "ab"},
		{"two that differ", "ab abc", "ab abc"},
		{"a liar is asked first", "axyz abc abd", "abc abd axyz"},
		{"two agree", "xyz abc+", "abc+ xyz"},
		{"a liar who says nothing", " abc abd", "abc abd "},
	} {
		var answers []*stateAnswer
		for text := range strings.SplitSeq(tt.answers, " ") {
			a := &stateAnswer{from: []ident.ServerName{"one"}, state: ids(strings.Trim(text, "+"))}
			if strings.HasSuffix(text, "+") {
				a.from = append(a.from, "two")
			}
			answers = append(answers, a)
		}
		rankAnswers(answers)
		var got []string
		for _, a := range answers {
			text := ""
			for _, id := range a.state {
				text += string(id[1:])
			}
			got = append(got, text+strings.Repeat("+", len(a.from)-1))
		}
		if diff := cmp.Diff(strings.Split(tt.want, " "), got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// A list of ids is refused whole when it is longer than any real one, or when one of its members is no id (P-93).
func TestGivenIDs(t *testing.T) {
	if _, err := givenIDs([]byte(`{"x":[`+strings.Repeat(`"$a",`, maxGivenState)+`"$a"]}`), "x"); err == nil {
		t.Error("an endless list was taken")
	}
	if _, err := givenIDs([]byte(`{"x":["$a","b"]}`), "x"); err == nil {
		t.Error("a list with something else in it was taken")
	}
	got, err := givenIDs([]byte(`{"x":["$b","$a","$b"]}`), "x")
	if diff := cmp.Diff(ids("ba"), got); diff != "" || err != nil {
		t.Errorf("ids: %s, %v", diff, err)
	}
}
