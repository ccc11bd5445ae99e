// SPDX-License-Identifier: Apache-2.0

package casefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/pdu/event"
)

// MaxSize is the longest file in bytes. The state of a room of 50,000 members has about 50 MB.
const MaxSize = 64 << 20

// object is the members of a file that are still to be read.
type object map[string]json.RawMessage

// parseObject reads a file as an object that has all the required members, and no others than those and the optional ones, each
// once: a mistyped name would change the result without a word, and so would a second member, of which the first would not count.
func parseObject(file []byte, required, optional []string) (object, error) {
	if len(file) > MaxSize {
		return nil, fmt.Errorf("the file has more than %d bytes", MaxSize)
	}
	var o object
	if err := json.Unmarshal(file, &o); err != nil || o == nil {
		return nil, noObject(file, err)
	}
	if name, twice := memberTwice(file); twice {
		return nil, fmt.Errorf("the member %q is there twice", name)
	}
	known := slices.Concat(required, optional)
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("the member %q is not known; there are %s", name, strings.Join(known, ", "))
		}
	}
	for _, name := range required {
		if _, ok := o[name]; !ok {
			return nil, fmt.Errorf("the member %q is missing", name)
		}
	}
	return o, nil
}

// memberTwice names a member that an object has twice. encoding/json takes the last without a word.
func memberTwice(object []byte) (name string, twice bool) {
	d, seen := json.NewDecoder(bytes.NewReader(object)), map[json.Token]bool{}
	for _, err := d.Token(); err == nil && d.More(); { // the opening brace first
		var member json.Token
		if member, err = d.Token(); seen[member] {
			return fmt.Sprint(member), true
		}
		seen[member] = true
		if err == nil {
			err = d.Decode(new(json.RawMessage))
		}
	}
	return "", false
}

func noObject(file []byte, err error) error {
	if fault, ok := errors.AsType[*json.SyntaxError](err); ok {
		before := file[:min(max(fault.Offset, 0), int64(len(file)))]
		return fmt.Errorf("the file is not JSON: line %d: %w", 1+bytes.Count(before, []byte("\n")), err)
	}
	return errors.New("the file is not a JSON object")
}

// read decodes a member; what names what it has to be. A member that may be absent is left alone if it is.
func (o object) read(name string, to any, what string) error {
	raw, ok := o[name]
	if !ok {
		return nil
	}
	if string(raw) == "null" || json.Unmarshal(raw, to) != nil {
		return fmt.Errorf("%s is not %s", name, what)
	}
	return nil
}

// version reads room_version.
func (o object) version() (*event.Version, error) {
	var name string
	if err := o.read("room_version", &name, "a string"); err != nil {
		return nil, err
	}
	v, ok := event.VersionOf(name)
	if !ok {
		return nil, fmt.Errorf("room_version %q is not known; there are %s", name, strings.Join(event.Versions(), ", "))
	}
	return v, nil
}

// pdus reads an array of events as they came.
func (o object) pdus(name string) (list []json.RawMessage, err error) {
	return list, o.read(name, &list, "an array of events")
}
