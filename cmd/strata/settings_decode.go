// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decoder fills settings in from a tree of values: tables as map[string]any, from a file or from the environment. What does not
// fit is noted as a fault and the rest goes on, so that every fault is found at once.
type decoder struct {
	textual bool // every value is a string, as in the environment
	faults  faults
}

// maxElements bounds lists that the environment makes by index: STRATA_LISTENERS__0__PORT.
const maxElements = 100

// assign stores src, the value of a key, in dst.
func (d *decoder) assign(key string, dst reflect.Value, src any) {
	if text, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.assignText(key, text, src)
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		d.assignStruct(key, dst, src)
	case reflect.Map:
		d.assignMap(key, dst, src)
	case reflect.Slice:
		d.assignSlice(key, dst, src)
	default:
		d.assignScalar(key, dst, src)
	}
}

// assignText accepts a number for a text: Synapse writes durations and sizes in both ways.
func (d *decoder) assignText(key string, dst encoding.TextUnmarshaler, src any) {
	what, such := "a duration", "10m"
	if _, isSize := dst.(*size); isSize {
		what, such = "a size", "50M"
	}
	switch src.(type) {
	case string, int64:
		if err := dst.UnmarshalText([]byte(fmt.Sprint(src))); err != nil {
			d.faults.add(key, err.Error(), fmt.Sprintf("write a number with a unit, such as %q", such))
		}
	default:
		d.wrongType(key, what, src)
	}
}

func (d *decoder) assignStruct(key string, dst reflect.Value, src any) {
	table, ok := src.(map[string]any)
	if !ok {
		d.wrongType(key, "a table", src)
		return
	}
	names := map[string]int{}
	for i := range dst.NumField() {
		names[dst.Type().Field(i).Tag.Get("toml")] = i
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		i, known := names[name]
		if !known {
			d.unknown(join(key, name), name, slices.Sorted(maps.Keys(names)))
			continue
		}
		d.assign(join(key, name), dst.Field(i), table[name])
	}
}

func (d *decoder) assignMap(key string, dst reflect.Value, src any) {
	table, ok := src.(map[string]any)
	if !ok {
		d.wrongType(key, "a table", src)
		return
	}
	if dst.IsNil() {
		dst.Set(reflect.MakeMap(dst.Type()))
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		element := reflect.New(dst.Type().Elem()).Elem()
		d.assign(join(key, strconv.Quote(name)), element, table[name])
		dst.SetMapIndex(reflect.ValueOf(name), element)
	}
}

// assignSlice takes the place of what was there; only the environment's indexes change single elements.
func (d *decoder) assignSlice(key string, dst reflect.Value, src any) {
	var elements []any
	switch src := src.(type) {
	case []any:
		elements = src
	case []map[string]any:
		for _, table := range src {
			elements = append(elements, table)
		}
	case string:
		if !d.textual || dst.Type().Elem().Kind() != reflect.String {
			d.wrongType(key, "a list", src)
			return
		}
		for part := range strings.SplitSeq(src, ",") {
			if part = strings.TrimSpace(part); part != "" {
				elements = append(elements, part)
			}
		}
	case map[string]any:
		d.assignElements(key, dst, src)
		return
	default:
		d.wrongType(key, "a list", src)
		return
	}
	list := reflect.MakeSlice(dst.Type(), len(elements), len(elements))
	for i, element := range elements {
		d.assign(fmt.Sprintf("%s[%d]", key, i), list.Index(i), element)
	}
	dst.Set(list)
}

// assignElements changes or appends elements by their index.
func (d *decoder) assignElements(key string, dst reflect.Value, src map[string]any) {
	if !d.textual {
		d.wrongType(key, "a list", src)
		return
	}
	indexes := slices.SortedFunc(maps.Keys(src), func(a, b string) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) })
	for _, index := range indexes {
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i > dst.Len() || i >= maxElements {
			d.faults.add(join(key, index), "is no index of the list, or leaves a gap in it", fmt.Sprintf("number the elements from 0; the next is %d", dst.Len()))
			continue
		}
		if i == dst.Len() {
			dst.Set(reflect.Append(dst, reflect.Zero(dst.Type().Elem())))
		}
		d.assign(fmt.Sprintf("%s[%d]", key, i), dst.Index(i), src[index])
	}
}

func (d *decoder) assignScalar(key string, dst reflect.Value, src any) {
	text, isText := src.(string)
	parse := isText && d.textual
	switch dst.Kind() {
	case reflect.String:
		if isText {
			dst.SetString(text)
			return
		}
		d.wrongType(key, "a string", src)
	case reflect.Bool:
		v, ok := src.(bool)
		if parse {
			parsed, err := strconv.ParseBool(text)
			v, ok = parsed, err == nil
		}
		if ok {
			dst.SetBool(v)
			return
		}
		d.wrongType(key, "true or false", src)
	case reflect.Int64:
		v, ok := src.(int64)
		if parse {
			parsed, err := strconv.ParseInt(text, 10, 64)
			v, ok = parsed, err == nil
		}
		if ok {
			dst.SetInt(v)
			return
		}
		d.wrongType(key, "an integer", src)
	default:
		d.assignFloat(key, dst, src, parse)
	}
}

func (d *decoder) assignFloat(key string, dst reflect.Value, src any, parse bool) {
	var v float64
	ok := true
	switch src := src.(type) {
	case float64:
		v = src
	case int64:
		v = float64(src)
	case string:
		parsed, err := strconv.ParseFloat(src, 64)
		v, ok = parsed, parse && err == nil
	default:
		ok = false
	}
	if !ok {
		d.wrongType(key, "a number", src)
		return
	}
	dst.SetFloat(v)
}

func (d *decoder) wrongType(key, want string, got any) {
	d.faults.add(key, fmt.Sprintf("is %s, not %s", nameOfType(got), want), "write "+want)
}

func nameOfType(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(shortened(v, 40))
	case bool, int64, float64:
		return fmt.Sprint(v)
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	}
	return "a date or time"
}

// unknown notes a key that does not exist, with the one that may be meant.
func (d *decoder) unknown(key, name string, known []string) {
	if instead, of := notHere[key]; of {
		d.faults.add(key, "is of Synapse and not here: "+instead, "remove it")
		return
	}
	fix := "remove it; there are " + strings.Join(known, ", ")
	if near := nearest(name, known); near != "" {
		fix = "did you mean " + near + "?"
	}
	d.faults.add(key, "is not a setting", fix)
}

func join(key, name string) string {
	if name == "" {
		name = `""` // as TOML has it
	}
	if key == "" {
		return name
	}
	return key + "." + name
}
