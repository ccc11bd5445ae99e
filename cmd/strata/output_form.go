// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/itchyny/gojq"
)

// The forms of what a command prints. Text of a table is harmless to terminals; so are the others, as control characters are escaped.
const (
	formTable  = "table"
	formJSON   = "json"
	formNDJSON = "ndjson"
	formYAML   = "yaml"
)

// write prints a value for programs, in the form that was asked for.
func (o *output) write(value any) error {
	if o.form == formJSON && o.jq == nil {
		return o.writeJSON(o.stdout, value)
	}
	plain, err := plainOf(value)
	if err != nil {
		return err
	}
	if o.jq != nil {
		return o.jq.run(plain, o.writeResult)
	}
	list, isList := plain.([]any)
	switch {
	case o.form == formYAML:
		var b strings.Builder
		writeYAML(&b, plain, 0)
		_, err := io.WriteString(o.stdout, strings.TrimLeft(b.String(), " \n")+"\n")
		return err
	case !isList:
		list = []any{plain}
	}
	for _, element := range list {
		if err := o.writeLine(element); err != nil {
			return err
		}
	}
	return nil
}

// plainOf is a value as JSON has it: maps, lists, texts, and numbers as they are written.
func plainOf(value any) (plain any, err error) {
	encoded, err := json.Marshal(value)
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(encoded))
		decoder.UseNumber() // positions and times are longer than a float64 is exact
		err = decoder.Decode(&plain)
	}
	if err != nil {
		return nil, fmt.Errorf("print JSON: %w", err)
	}
	return plain, nil
}

// writeLine prints a value as one line of JSON.
func (o *output) writeLine(value any) error {
	text, err := lineOf(value)
	if err == nil {
		_, err = fmt.Fprintln(o.stdout, text)
	}
	return err
}

func lineOf(value any) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", fmt.Errorf("print JSON: %w", err)
	}
	return escapeC1(strings.TrimSuffix(b.String(), "\n")), nil
}

// writeResult prints one result of a query: a text as it is, so that scripts can use it.
func (o *output) writeResult(value any) error {
	if text, isText := value.(string); isText {
		_, err := fmt.Fprintln(o.stdout, harmlessLines(text))
		return err
	}
	return o.writeLine(value)
}

// query is an expression of jq.
type query struct{ code *gojq.Code }

func parseQuery(text string) (*query, error) {
	parsed, err := gojq.Parse(text)
	if err != nil {
		return nil, usage("--jq %s: %v", shortened(text, 60), err)
	}
	code, err := gojq.Compile(parsed) // without environment and files: it sees the value, nothing else
	if err != nil {
		return nil, usage("--jq %s: %v", shortened(text, 60), err)
	}
	return &query{code}, nil
}

// run hands over every result for a value.
func (q *query) run(value any, take func(any) error) error {
	results := q.code.Run(value)
	for {
		result, more := results.Next()
		if !more {
			return nil
		}
		if err, failed := result.(error); failed {
			return usage("--jq: %v", err)
		}
		if err := take(result); err != nil {
			return err
		}
	}
}

// writeYAML writes a value in blocks, a line feed before each line. Texts are as in JSON, which YAML takes for the same (YAML 1.2.2,
// section 1.2), so that nothing in them can be anything else.
func writeYAML(b *strings.Builder, value any, depth int) {
	indent := "\n" + strings.Repeat("  ", depth)
	switch v := value.(type) {
	case map[string]any:
		if len(v) == 0 {
			b.WriteString(" {}")
		}
		for _, name := range sortedKeys(v) {
			b.WriteString(indent + scalar(name) + ":")
			writeYAML(b, v[name], depth+1)
		}
	case []any:
		if len(v) == 0 {
			b.WriteString(" []")
		}
		for _, element := range v {
			b.WriteString(indent + "-")
			writeYAML(b, element, depth+1)
		}
	default:
		b.WriteString(" " + scalar(v))
	}
}

// scalar is a text, a number, true, false or null in JSON.
func scalar(v any) string {
	text, err := lineOf(v)
	if err != nil {
		return "null" // it came out of JSON, and goes back into it
	}
	return text
}
