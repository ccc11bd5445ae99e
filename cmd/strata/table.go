// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// table prints rows: aligned under a head on a terminal, else tab-separated and without head.
func (o *output) table(head []string, rows [][]string) {
	if !o.terminal {
		for _, row := range rows {
			o.line(row, "\t", nil)
		}
		return
	}
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(harmless(cell)))
		}
	}
	if o.colour {
		fmt.Fprint(o.stdout, "\x1b[1m")
	}
	o.line(head, "  ", widths)
	if o.colour {
		fmt.Fprint(o.stdout, "\x1b[0m")
	}
	for _, row := range rows {
		o.line(row, "  ", widths)
	}
}

// pairs prints names with values, one a line.
func (o *output) pairs(rows [][]string) {
	if !o.terminal {
		o.table(nil, rows)
		return
	}
	widths := make([]int, 2)
	for _, row := range rows {
		widths[0] = max(widths[0], utf8.RuneCountInString(row[0]))
	}
	for _, row := range rows {
		o.line(row, "  ", widths)
	}
}

// gap sets two tables apart on a terminal.
func (o *output) gap() {
	if o.terminal {
		fmt.Fprintln(o.stdout)
	}
}

// line prints one row; the last cell is not padded.
func (o *output) line(row []string, separator string, widths []int) {
	var b strings.Builder
	for i, cell := range row {
		if i > 0 {
			b.WriteString(separator)
		}
		cell = harmless(cell)
		b.WriteString(cell)
		if widths != nil && i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell))))
		}
	}
	fmt.Fprintln(o.stdout, b.String())
}

// harmless spells out what a terminal would obey and what would break a line or a column: control characters, and those that
// turn the direction of writing.
func harmless(s string) string {
	if !strings.ContainsFunc(s, isHarmful) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isHarmful(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isHarmful(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// harmlessLines is harmless for a text of several lines.
func harmlessLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = harmless(line)
	}
	return strings.Join(lines, "\n")
}

// when prints a time in ms, "-" for none.
func (o *output) when(ms int64) string {
	if ms == 0 {
		return "-"
	}
	t := time.UnixMilli(ms)
	if o.utc {
		t = t.UTC()
	}
	return t.Format("2006-01-02T15:04:05.000Z07:00")
}

// took prints a duration in µs.
func took(us int64) string {
	d := time.Duration(us) * time.Microsecond
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.String()
}

// orDash prints "-" for nothing, so that columns stay columns.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// shortened cuts a text to a number of characters.
func shortened(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
