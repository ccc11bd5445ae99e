// SPDX-License-Identifier: Apache-2.0

package jsonstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Member reads one value from in.
type Member func(in *json.Decoder) error

// ErrEnough is what a Member returns when nothing more of the object is wanted: it is not even looked at.
var ErrEnough = errors.New("enough")

// Object goes once over a JSON object and has each member that is named read by its function; others are passed over. Errors: not
// a JSON object; a named member that comes twice; those of the functions, with the member's name. ErrEnough is none.
func Object(body []byte, members map[string]Member) error {
	in := json.NewDecoder(bytes.NewReader(body))
	if err := enter(in, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for in.More() {
		token, err := in.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		read, named := members[name]
		if !named {
			read = pass
		}
		if named && seen[name] {
			return fmt.Errorf("%s comes twice", name)
		}
		seen[name] = true
		switch err := read(in); {
		case err == ErrEnough:
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, err := in.Token(); err != nil {
		return err
	}
	if _, err := in.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

// List hands the elements of a list to take, up to limit. more says that there are others: they were not read, so that the Member has
// to end with ErrEnough or another error. null is a list without any.
func List(in *json.Decoder, limit int, take func(json.RawMessage) error) (more bool, err error) {
	switch start, err := in.Token(); {
	case err != nil:
		return false, err
	case start == nil:
		return false, nil
	case start != json.Delim('['):
		return false, errors.New("not a list")
	}
	for n := 0; in.More(); n++ {
		if n == limit {
			return true, nil
		}
		var element json.RawMessage
		if err := in.Decode(&element); err != nil {
			return false, err
		}
		if err := take(element); err != nil {
			return false, err
		}
	}
	_, err = in.Token()
	return false, err
}

func enter(in *json.Decoder, delim json.Delim) error {
	start, err := in.Token()
	if err == nil && start != delim {
		err = fmt.Errorf("not a %s", delim)
	}
	return err
}

// pass reads a value without looking at it.
func pass(in *json.Decoder) error {
	var value skipped
	return in.Decode(&value)
}

type skipped struct{}

// UnmarshalJSON implements json.Unmarshaler.
func (*skipped) UnmarshalJSON([]byte) error { return nil }
