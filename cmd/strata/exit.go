// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/internal/control"
)

// exitCodes says how the process ends for each kind of error.
var exitCodes = map[control.Kind]int{
	control.Failed: 1, control.Refused: 1,
	control.Usage:       2,
	control.NotFound:    3,
	control.Unreachable: 4,
	control.Denied:      5,
}

// usage makes an error about what was said to the command.
func usage(format string, args ...any) error {
	return &control.Error{Kind: control.Usage, Message: fmt.Sprintf(format, args...)}
}

// failure is an error as it is printed.
type failure struct {
	*control.Error
	Exit   int     `json:"exit"`
	Faults []fault `json:"faults,omitempty"` // of a configuration
}

// fail prints an error and gives the exit code.
func (o *output) fail(err error) int {
	f := failure{Error: control.Explain(err)}
	var found faults
	if errors.As(err, &found) {
		f.Error = &control.Error{Kind: control.Usage, Message: found.summary()}
		f.Faults = found
	}
	f.Exit = exitCodes[f.Kind]
	if o.json {
		o.writeJSON(o.stderr, struct {
			Error failure `json:"error"`
		}{f})
		return f.Exit
	}
	fmt.Fprintf(o.stderr, "strata: %s\n", harmlessLines(f.Message))
	for _, fault := range f.Faults {
		fmt.Fprintf(o.stderr, "  %s\n", harmless(fault.String()))
	}
	return f.Exit
}
