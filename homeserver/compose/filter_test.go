// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"encoding/json"
	"testing"
)

// event_fields: "dot-separated paths", with \. for a dot of a name and \\ for a backslash (CS "Filtering", S-28).
func TestPick(t *testing.T) {
	const whole = `{"content":{"body":"b","m.relates_to":{"a.b":1,"c\\d":2},"x":[1]},"type":"t","sender":"s"}`
	for _, tt := range []struct {
		fields []string
		want   string
	}{
		{[]string{"type"}, `{"type":"t"}`},
		{[]string{"content.body", "type"}, `{"content":{"body":"b"},"type":"t"}`},
		{[]string{`content.m\.relates_to.a\.b`, `content.m\.relates_to.c\\d`}, `{"content":{"m.relates_to":{"a.b":1,"c\\d":2}}}`},
		{[]string{"content.body.more", "content.x.0", "nothing", ""}, `{}`},
	} {
		got, err := pick(json.RawMessage(whole), tt.fields)
		if err != nil || string(got) != tt.want {
			t.Errorf("%q: %s, %v, want %s", tt.fields, got, err, tt.want)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	f.Add(`{"room":{"timeline":{"limit":5,"types":["m.*"]}},"event_fields":["content.body"]}`)
	f.Add(`{"event_format":"federation","room":{"state":{"lazy_load_members":true}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := ParseFilter(json.RawMessage(text))
		if err != nil {
			return
		}
		if n := filter.timelineLimit(); n < 0 || n > maxTimeline {
			t.Errorf("%q: limit %d", text, n)
		}
		if _, err := pick(json.RawMessage(`{"content":{"body":"b"},"type":"t"}`), filter.EventFields); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
