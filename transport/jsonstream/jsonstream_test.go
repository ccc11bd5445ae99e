// SPDX-License-Identifier: Apache-2.0

package jsonstream

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read gives the elements of member "a", and whether there were more.
func read(body string, limit int) (list []string, more bool, err error) {
	err = Object([]byte(body), map[string]Member{"a": func(in *json.Decoder) (err error) {
		more, err = List(in, limit, func(element json.RawMessage) error {
			list = append(list, string(element))
			return nil
		})
		if more {
			return ErrEnough
		}
		return err
	}})
	return list, more, err
}

func TestList(t *testing.T) {
	for body, test := range map[string]struct {
		want []string
		more bool
		fine bool
	}{
		`{"a":[1,{"b":[2]},"x"]}`:           {[]string{"1", `{"b":[2]}`, `"x"`}, false, true},
		`{"z":[{}],"a":[1,2,3,4],"y":null}`: {[]string{"1", "2", "3"}, true, true},
		`{"a":null}`:                        {nil, false, true},
		`{"a":[]}`:                          {nil, false, true},
		`{}`:                                {nil, false, true},
		`{"a":[1],"a":[2]}`:                 {[]string{"1"}, false, false},
		`{"a":{}}`:                          {nil, false, false},
		`{"a":5}`:                           {nil, false, false},
		`{"a":[1,`:                          {[]string{"1"}, false, false},
		`{"a":[1]`:                          {[]string{"1"}, false, false},
		`{"a":[1]}}`:                        {[]string{"1"}, false, false},
		`{"a":[1]} {}`:                      {[]string{"1"}, false, false},
		`[]`:                                {nil, false, false},
		``:                                  {nil, false, false},
	} {
		list, more, err := read(body, 3)
		if diff := cmp.Diff(test.want, list); diff != "" || more != test.more || (err == nil) != test.fine {
			t.Errorf("%s: more %t, %v (-want +got):\n%s", body, more, err, diff)
		}
	}
}

// Values that nobody asked for must not cost more than their text.
func TestCrammedList(t *testing.T) {
	body := `{"a":[` + strings.Repeat("0,", 1<<20) + `0],"b":[` + strings.Repeat("0,", 1<<20) + `0]}`
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	list, more, err := read(body, 10)
	runtime.ReadMemStats(&after)
	if len(list) != 10 || !more || err != nil {
		t.Fatalf("%d elements, more %t, %v", len(list), more, err)
	}
	if grown := after.HeapInuse - min(before.HeapInuse, after.HeapInuse); grown > uint64(8*len(body)) {
		t.Errorf("%d bytes in use for a text of %d", grown, len(body))
	}
}

func FuzzObject(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":[2]},"x"],"c":{}}`, `{"a":null}`, `{"a":[`, `{"a":[1],"a":[2]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list, more, err := read(string(body), 5)
		if err == nil && !more && !json.Valid(body) {
			t.Errorf("%q was read", body)
		}
		for _, element := range list {
			if !json.Valid([]byte(element)) {
				t.Errorf("%q is no value", element)
			}
		}
	})
}
