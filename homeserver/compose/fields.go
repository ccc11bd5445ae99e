// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"encoding/json"
	"strings"
)

// pick keeps of an event what event_fields name: paths of member names with dots between, in which "\\." is a dot of a name and "\\\\" a
// backslash (CS "Filtering").
func pick(text json.RawMessage, fields []string) (json.RawMessage, error) {
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, err
	}
	kept := map[string]any{}
	for _, field := range fields {
		keep(kept, whole, splitField(field))
	}
	return json.Marshal(kept)
}

// keep copies what a path leads to.
func keep(into map[string]any, from map[string]json.RawMessage, path []string) {
	value, ok := from[path[0]]
	if !ok {
		return
	}
	if len(path) == 1 {
		into[path[0]] = value
		return
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(value, &inner) != nil || inner == nil {
		return
	}
	switch below := into[path[0]].(type) {
	case nil:
		members := map[string]any{}
		if keep(members, inner, path[1:]); len(members) > 0 {
			into[path[0]] = members
		}
	case map[string]any:
		keep(below, inner, path[1:])
	}
}

// splitField splits a path at its dots.
func splitField(field string) (path []string) {
	var name strings.Builder
	for i := 0; i < len(field); i++ {
		switch {
		case field[i] == '\\' && i+1 < len(field) && (field[i+1] == '.' || field[i+1] == '\\'):
			i++
			name.WriteByte(field[i])
		case field[i] == '.':
			path = append(path, name.String())
			name.Reset()
		default:
			name.WriteByte(field[i])
		}
	}
	return append(path, name.String())
}
