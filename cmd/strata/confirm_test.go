// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/internal/control"
)

func TestConfirm(t *testing.T) {
	for _, tt := range []struct {
		name  string
		yes   bool
		stdin io.Reader
		want  control.Kind // "" for agreed
	}{
		{"--yes", true, nil, ""},
		{"nobody there", false, nil, control.Usage},
		{"y", false, strings.NewReader("y\n"), ""},
		{"yes", false, strings.NewReader("Yes\n"), ""},
		{"no", false, strings.NewReader("n\n"), control.Refused},
		{"return", false, strings.NewReader("\n"), control.Refused},
		{"end of input", false, strings.NewReader(""), control.Refused},
	} {
		w := &world{out: newOutput(new(bytes.Buffer), new(bytes.Buffer), false), yes: tt.yes, stdin: tt.stdin}
		var got control.Kind
		if err, explained := w.confirm("dropping it"), new(control.Error); errors.As(err, &explained) {
			got = explained.Kind
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
