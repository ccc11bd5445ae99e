// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestRelation(t *testing.T) {
	const parent = "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"
	to := func(kind, id string) string {
		return fmt.Sprintf(`{"body":"b","m.relates_to":{"event_id":%q,"rel_type":%q}}`, id, kind)
	}
	for content, kind := range map[string]string{
		to("m.thread", parent):                                              "m.thread",
		to(strings.Repeat("k", 255), parent):                                strings.Repeat("k", 255),
		to(strings.Repeat("k", 256), parent):                                "",
		to("", parent):                                                      "",
		to("m.thread", "no id"):                                             "",
		`{"body":"m.relates_to"}`:                                           "",
		`{"m.relates_to":null}`:                                             "",
		`{"m.relates_to":{"rel_type":"m.x"}}`:                               "",
		`{"a":` + to("m.thread", parent) + `}`:                              "",
		`{"m.relates_to":{"m.in_reply_to":{"event_id":"` + parent + `"}}}`:  "",
		`{"m.relates_to":{"rel_type":["m.x"],"event_id":"` + parent + `"}}`: "",
	} {
		id, got, ok := parsed(t, version(t, "11"), "m.x", "", content).Relation()
		if ok != (kind != "") || ok && (got != kind || id != parent) {
			t.Errorf("%.100s relates to %s, %.20q, %t", content, id, got, ok)
		}
	}
}
