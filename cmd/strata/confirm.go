// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/strata-matrix/strata/internal/control"
)

// confirm lets what cannot be undone happen if somebody has agreed to it: with --yes, or at the terminal.
func (w *world) confirm(what string) error {
	switch {
	case w.yes:
		return nil
	case w.stdin == nil:
		return usage("%s cannot be undone: say --yes, or see first with --dry-run what it would be", what)
	}
	fmt.Fprintf(w.out.stderr, "%s cannot be undone. Go on? [y/N] ", harmless(what))
	answer, err := bufio.NewReader(w.stdin).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &control.Error{Kind: control.Refused, Message: "nothing was done"}
}
