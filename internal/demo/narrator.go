// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// narrator tells the story as it happens: numbered steps with the time since the beginning.
type narrator struct {
	w     io.Writer
	begun time.Time
	steps int
}

const indent = "            "

// step begins a new step; further lines of the text are indented.
func (n *narrator) step(format string, args ...any) {
	n.steps++
	n.print(fmt.Sprintf("%2d %6.2f s  ", n.steps, time.Since(n.begun).Seconds()), format, args...)
}

// add goes on with the step.
func (n *narrator) add(format string, args ...any) { n.print(indent, format, args...) }

func (n *narrator) print(first, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	// Progress that cannot be shown is no reason to stop.
	_, _ = fmt.Fprintf(n.w, "%s%s\n", first, strings.ReplaceAll(text, "\n", "\n"+indent))
}

// plural is "1 message" or "2 messages".
func plural(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// numbers is "server 1", "servers 1 and 2" or "servers 1 to 4".
func numbers(first, last int) string {
	switch last - first {
	case 0:
		return fmt.Sprintf("server %d", first)
	case 1:
		return fmt.Sprintf("servers %d and %d", first, last)
	}
	return fmt.Sprintf("servers %d to %d", first, last)
}

// inMS is a duration in whole milliseconds.
func inMS(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
