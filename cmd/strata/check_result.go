// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/internal/control"
)

// state is how a check ended, as monitoring systems count ("Nagios Plugin Development Guidelines", Plugin Return Codes).
type state int

const (
	stateOK state = iota
	stateWarning
	stateCritical
	stateUnknown
)

var stateNames = []string{"ok", "warning", "critical", "unknown"}

// String is the name.
func (s state) String() string { return stateNames[s] }

// MarshalText implements encoding.TextMarshaler.
func (s state) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// checked is the result of a check.
type checked struct {
	Check  string   `json:"check"`
	State  state    `json:"state"`
	Text   string   `json:"text"`
	Values []figure `json:"values"`
}

// figure is a number that a check looked at, and from where on it is too large, if that counts.
type figure struct {
	Name     string   `json:"name"`
	Value    float64  `json:"value"`
	Unit     string   `json:"unit,omitempty"` // s, or none
	Warning  *float64 `json:"warning,omitempty"`
	Critical *float64 `json:"critical,omitempty"`
}

// worsen makes the result at least as bad as s, of ok, warning and critical.
func (c *checked) worsen(s state) { c.State = max(c.State, s) }

// say adds a sentence.
func (c *checked) say(text string) {
	if c.Text != "" {
		c.Text += "; "
	}
	c.Text += text
}

// state is what a figure comes to by the limits that it has.
func (f figure) state() state {
	switch {
	case f.Critical != nil && f.Value >= *f.Critical:
		return stateCritical
	case f.Warning != nil && f.Value >= *f.Warning:
		return stateWarning
	}
	return stateOK
}

// judge makes a result of a figure.
func (f figure) judge(name string) checked {
	return checked{Check: name, State: f.state(), Values: []figure{f}}
}

// unanswered is the result when nothing could be found out: critical when that is because the server does not answer.
func unanswered(name string, err error) checked {
	known := control.Explain(err)
	result := checked{Check: name, State: stateUnknown, Text: known.Message, Values: []figure{}}
	if known.Kind == control.Unreachable {
		result.State = stateCritical
	}
	return result
}

// checkEnd is the exit code of a check that has told its result.
type checkEnd state

// Error says what the result said.
func (e checkEnd) Error() string { return "the check ended as " + state(e).String() }

// tell prints the result and ends the command with the state as exit code.
func (f formatFlag) tell(w *world, result checked) error {
	err := error(nil)
	switch {
	case f.Format == "nagios":
		_, err = io.WriteString(w.out.stdout, result.nagios())
	case f.Format == "prometheus":
		_, err = io.WriteString(w.out.stdout, result.prometheus())
	case f.Format == "json" && !w.out.json:
		err = w.out.writeJSON(w.out.stdout, result)
	default:
		err = w.out.print(result, func() { fmt.Fprintf(w.out.stdout, "%s: %s\n", result.State, harmless(result.Text)) })
	}
	if err == nil && result.State != stateOK {
		err = checkEnd(result.State)
	}
	return err
}

// nagios is the result as monitoring plugins print it: a line for people, and after | the figures.
func (c checked) nagios() string {
	var b strings.Builder
	text := strings.ReplaceAll(harmless(c.Text), "|", "/")
	fmt.Fprintf(&b, "STRATA %s %s - %s", strings.ToUpper(c.Check), strings.ToUpper(c.State.String()), text)
	for i, f := range c.Values {
		if i == 0 {
			b.WriteString(" |")
		}
		fmt.Fprintf(&b, " %s=%s%s;%s;%s;0", f.Name, number(f.Value), f.Unit, limit(f.Warning), limit(f.Critical))
	}
	return b.String() + "\n"
}

// prometheus is the result in the text format of metrics.
func (c checked) prometheus() string {
	var b strings.Builder
	fmt.Fprintf(&b, "strata_check_state{check=%q} %d\n", c.Check, c.State)
	for _, f := range c.Values {
		name := f.Name
		if f.Unit == "s" {
			name += "_seconds"
		}
		fmt.Fprintf(&b, "strata_check_%s_%s %s\n", c.Check, name, number(f.Value))
	}
	return b.String()
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func limit(v *float64) string {
	if v == nil {
		return ""
	}
	return number(*v)
}
