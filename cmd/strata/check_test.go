// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/internal/doctor"
)

func TestJudge(t *testing.T) {
	warning, critical := 1.0, 2.0
	for value, want := range map[float64]state{0: stateOK, 0.9: stateOK, 1: stateWarning, 1.9: stateWarning, 2: stateCritical, 50: stateCritical} {
		if got := (figure{Value: value, Warning: &warning, Critical: &critical}).judge("x").State; got != want {
			t.Errorf("%v is %s, want %s", value, got, want)
		}
	}
}

func TestJudgeReport(t *testing.T) {
	step := func(id string, status doctor.Status) doctor.Step { return doctor.Step{ID: id, Status: status} }
	finding := func(code string) doctor.Finding { return doctor.Finding{Code: code, Text: "so it is"} }
	codes := []string{"E901", "W902"}
	for name, test := range map[string]struct {
		report doctor.Report
		step   string
		codes  []string
		want   state
	}{
		"all is well":          {doctor.Report{}, "", nil, stateOK},
		"a warning":            {doctor.Report{Findings: []doctor.Finding{finding("W504")}}, "", nil, stateWarning},
		"the worst counts":     {doctor.Report{Findings: []doctor.Finding{finding("E501"), finding("W504")}}, "", nil, stateCritical},
		"of another kind":      {doctor.Report{Findings: []doctor.Finding{finding("E501")}, Steps: []doctor.Step{step("clock", doctor.OK)}}, "clock", codes, stateOK},
		"of this kind":         {doctor.Report{Findings: []doctor.Finding{finding("W902")}, Steps: []doctor.Step{step("clock", doctor.Warned)}}, "clock", codes, stateWarning},
		"not got so far":       {doctor.Report{Findings: []doctor.Finding{finding("E501")}}, "clock", codes, stateUnknown},
		"nobody to compare to": {doctor.Report{Steps: []doctor.Step{step("clock", doctor.Skipped)}}, "clock", codes, stateUnknown},
	} {
		if got := judgeReport(test.report, "x", test.step, test.codes); got.State != test.want || got.Text == "" {
			t.Errorf("%s: %+v, want %s", name, got, test.want)
		}
	}
}

// Nagios Plugin Development Guidelines: 'label'=value[UOM];[warn];[crit];[min];[max] after a |, of which the text has none.
func TestCheckFormats(t *testing.T) {
	warning, critical := 60.0, 600.0
	result := checked{Check: "lag", State: stateWarning, Text: "a | b\nc", Values: []figure{
		{Name: "oldest", Value: 61.5, Unit: "s", Warning: &warning, Critical: &critical}, {Name: "ready", Value: 3},
	}}
	if diff := cmp.Diff("STRATA LAG WARNING - a / b\\u000ac | oldest=61.5s;60;600;0 ready=3;;;0\n", result.nagios()); diff != "" {
		t.Errorf("nagios: (-want +got)\n%s", diff)
	}
	want := "strata_check_state{check=\"lag\"} 1\nstrata_check_lag_oldest_seconds 61.5\nstrata_check_lag_ready 3\n"
	if diff := cmp.Diff(want, result.prometheus()); diff != "" {
		t.Errorf("prometheus: (-want +got)\n%s", diff)
	}
	encoded, err := json.Marshal(result)
	if err != nil || !strings.Contains(string(encoded), `"state":"warning"`) {
		t.Errorf("JSON: %s, %v", encoded, err)
	}
}

// The codes that checks look for are codes of strata doctor.
func TestCheckedCodesExist(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "doctor.md"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("check.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for word := range strings.SplitSeq(string(source), `"`) {
		if len(word) == 4 && (word[0] == 'E' || word[0] == 'W') && strings.Trim(word[1:], "0123456789") == "" {
			found++
			if !strings.Contains(string(page), "| "+word+" |") {
				t.Errorf("docs/doctor.md has no %s", word)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d codes", found)
	}
}

// A server that does not answer is critical for whoever monitors it, in every form.
func TestCheckOfNoServer(t *testing.T) {
	for _, format := range []string{"text", "nagios", "json", "prometheus"} {
		for _, check := range []string{"queue", "lag", "db"} {
			var stdout, stderr bytes.Buffer
			args := []string{"check", check, "--format", format, "--socket", t.TempDir() + "/none"}
			if code := run(t.Context(), args, nil, &stdout, &stderr); code != 2 || stdout.Len() == 0 || stderr.Len() > 0 {
				t.Errorf("%v: exit code %d, %q, %q", args, code, &stdout, &stderr)
			}
		}
	}
}
