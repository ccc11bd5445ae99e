// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/alecthomas/kong"
)

// effect is what a command does to the world, as its line of help says at the end: (ro) or (rw), perhaps with more words.
type effect string

const (
	readOnly  effect = "(ro"
	readWrite effect = "(rw"
)

// effectOf reads it. A command that does not say counts as one that changes something.
func effectOf(command *kong.Node) effect {
	if command != nil && strings.Contains(command.Help, string(readOnly)) {
		return readOnly
	}
	return readWrite
}
