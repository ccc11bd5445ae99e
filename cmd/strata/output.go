// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// outputFlags are known to every command.
type outputFlags struct {
	JSON     jsonFlag `name:"json" placeholder:"FIELD,…" help:"Print one JSON value: all of it, or with --json=FIELD,… these fields of it."`
	Output   string   `name:"output" short:"o" enum:"table,json,ndjson,yaml," default:"" placeholder:"FORMAT" help:"table, json, ndjson (one line for each element of a list) or yaml."`
	JQ       string   `name:"jq" placeholder:"EXPR" help:"Print what an expression of jq makes of the JSON value; texts without quotes."`
	Quiet    bool     `name:"quiet" short:"q" help:"No remarks and no progress on stderr, errors only."`
	ReadOnly bool     `name:"readonly" help:"Refuse to run a command that changes something (rw). STRATA_READONLY in the environment does the same."`
	NoColor  bool     `name:"no-color" help:"No colours. NO_COLOR in the environment does the same."`
	UTC      bool     `name:"utc" help:"Print times in UTC instead of local time."`
	Yes      bool     `name:"yes" short:"y" help:"Do what cannot be undone without asking. Without a terminal nobody can be asked."`
}

// jsonFlag is --json or --json=field,field.
type jsonFlag struct {
	set    bool
	fields []string
}

// IsBool implements kong.BoolMapperValue: the flag needs no value.
func (*jsonFlag) IsBool() bool { return true }

// Decode implements kong.MapperValue.
func (f *jsonFlag) Decode(ctx *kong.DecodeContext) error {
	f.set = true
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	value := fmt.Sprint(ctx.Scan.Pop().Value)
	for field := range strings.SplitSeq(value, ",") {
		if field = strings.TrimSpace(field); field != "" {
			f.fields = append(f.fields, field)
		}
	}
	return nil
}

// output is where a command prints to, and how. It belongs to the goroutine that runs the command.
type output struct {
	stdout, stderr io.Writer
	json           bool     // or another form for programs
	form           string   // of what is for programs: json, ndjson or yaml
	fields         []string // of JSON; none for all
	jq             *query   // that the value goes through, nil for none
	quiet          bool
	terminal       bool // stdout is one: tables are aligned and have a head
	colour         bool
	utc            bool
}

func newOutput(stdout, stderr io.Writer, json bool) *output {
	return &output{stdout: stdout, stderr: stderr, json: json, terminal: isTerminal(stdout)}
}

func (o *output) configure(flags outputFlags, env map[string]string) (err error) {
	o.form, o.fields, o.quiet = flags.Output, flags.JSON.fields, flags.Quiet
	if o.form == "" && (flags.JSON.set || flags.JQ != "") {
		o.form = formJSON
	}
	o.json = o.form != "" && o.form != formTable
	switch {
	case flags.JQ != "" && (!o.json || o.form == formYAML):
		return usage("--jq gives JSON, not --output %s", o.form)
	case flags.JSON.set && !o.json:
		return usage("--json and --output %s contradict each other", o.form)
	}
	if flags.JQ != "" {
		if o.jq, err = parseQuery(flags.JQ); err != nil {
			return err
		}
	}
	o.colour = o.terminal && !flags.NoColor && env["NO_COLOR"] == "" && env["TERM"] != "dumb"
	o.utc = flags.UTC
	return nil
}

// isTerminal takes every character device for one: what a table does to /dev/null harms nobody.
func isTerminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	if !isFile {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// print writes a command's result: as JSON, or else as human prints it.
func (o *output) print(value any, human func()) error {
	if !o.json {
		human()
		return nil
	}
	if len(o.fields) > 0 {
		selected, err := selectFields(value, o.fields)
		if err != nil {
			return err
		}
		value = selected
	}
	return o.write(value)
}

// tellsProgress says whether somebody wants to read on stderr how far a command has come.
func (o *output) tellsProgress() bool { return !o.json && !o.quiet }

// note writes a remark on stderr, for people only.
func (o *output) note(format string, args ...any) {
	if o.tellsProgress() {
		fmt.Fprintln(o.stderr, harmless(fmt.Sprintf(format, args...)))
	}
}

// writeJSON writes one value and a line feed; indented on a terminal.
func (o *output) writeJSON(w io.Writer, value any) error {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if isTerminal(w) {
		encoder.SetIndent("", "  ")
	}
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	_, err := io.WriteString(w, escapeC1(buffer.String()))
	return err
}

// escapeC1 spells out the control characters that JSON allows in strings and terminals obey.
func escapeC1(s string) string {
	if !strings.ContainsFunc(s, isC1) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isC1(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isC1(r rune) bool { return r >= 0x7f && r <= 0x9f }

// selectFields reduces an object, or each object of a list, to some of its members. Members that are left out because they are
// empty are null.
func selectFields(value any, fields []string) (any, error) {
	t := reflect.TypeOf(value)
	isList := t.Kind() == reflect.Slice
	if isList {
		t = t.Elem()
	}
	known := jsonNames(t)
	for _, field := range fields {
		if !slices.Contains(known, field) {
			return nil, usage("no field %q; there are %s", field, strings.Join(known, ", "))
		}
	}
	if !isList {
		return selectMembers(value, fields)
	}
	list := []map[string]json.RawMessage{}
	for i := range reflect.ValueOf(value).Len() {
		members, err := selectMembers(reflect.ValueOf(value).Index(i).Interface(), fields)
		if err != nil {
			return nil, err
		}
		list = append(list, members)
	}
	return list, nil
}

func selectMembers(value any, fields []string) (map[string]json.RawMessage, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("print JSON: %w", err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(encoded, &all); err != nil {
		return nil, fmt.Errorf("print JSON: %w", err)
	}
	members := make(map[string]json.RawMessage, len(fields))
	for _, field := range fields {
		members[field] = all[field]
		if members[field] == nil {
			members[field] = json.RawMessage("null")
		}
	}
	return members, nil
}

// jsonNames are the members that a struct has in JSON.
func jsonNames(t reflect.Type) (names []string) {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous && name == "":
			names = append(names, jsonNames(field.Type)...)
		case name != "" && name != "-":
			names = append(names, name)
		}
	}
	return names
}
