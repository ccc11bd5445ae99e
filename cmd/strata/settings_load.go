// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// defaultConfig is the file that is read when none is named and it exists.
const defaultConfig = "strata.toml"

// maxConfig bounds a configuration file in bytes; the longest list of authorities fits many times.
const maxConfig = 1 << 20

// envPrefix begins the environment's settings; "__" goes down into a table: STRATA_FEDERATION__CLIENT_TIMEOUT.
const envPrefix = "STRATA_"

// notSettings are variables of this prefix that mean something else.
var notSettings = []string{"STRATA_CONFIG", "STRATA_SOCKET", "STRATA_READONLY"}

// loaded is what file and environment say.
type loaded struct {
	settings settings
	file     string   // that was read, "" for none
	strays   []string // variables that look like settings and are none: other programs may have set them
	faults   faults
}

// loadSettings reads the file at path, if one is named, and then the environment.
func loadSettings(path string, env map[string]string) (l loaded, err error) {
	l = loaded{settings: defaultSettings(), file: path}
	if path != "" {
		l.faults, err = readFile(path, &l.settings)
		if errors.Is(err, fs.ErrNotExist) {
			return l, usage("configuration file %s does not exist: strata init writes one", path)
		}
		if err != nil {
			return l, err
		}
	}
	fromEnv, strays := readEnv(env, &l.settings)
	l.faults, l.strays = append(l.faults, fromEnv...), strays
	return l, nil
}

// configFile is the file to read: the one that the flag names, else the environment, else strata.toml if that exists, else "".
func configFile(flag string, env map[string]string) string {
	switch {
	case flag != "":
		return flag
	case env["STRATA_CONFIG"] != "":
		return env["STRATA_CONFIG"]
	case exists(defaultConfig):
		return defaultConfig
	}
	return ""
}

// readFile reads a configuration file; found are the faults in it.
func readFile(path string, s *settings) (found faults, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, usage("configuration file %s is a directory", path)
	}
	if info.Size() > maxConfig {
		return nil, usage("configuration file %s has %d bytes: it is something else", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found, err = parseSettings(string(text), s)
	if err != nil {
		return nil, usage("configuration file %s: %v", path, err)
	}
	s.anchor(path)
	return found, nil
}

// parseSettings reads a configuration's text into s. The error is one of TOML's form; faults are about the settings.
func parseSettings(text string, s *settings) (faults, error) {
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil {
		var position toml.ParseError
		if errors.As(err, &position) {
			return nil, fmt.Errorf("line %d: %s", position.Position.Line, position.Message)
		}
		return nil, err
	}
	d := &decoder{}
	d.assign("", reflect.ValueOf(s).Elem(), tree)
	return d.faults, nil
}

// readEnv reads the environment into s.
func readEnv(env map[string]string, s *settings) (found faults, strays []string) {
	tree := map[string]any{}
	d := &decoder{textual: true}
	top := topSettings()
	for _, name := range sortedKeys(env) {
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours || slices.Contains(notSettings, name) {
			continue
		}
		path := strings.Split(strings.ToLower(rest), "__")
		if !slices.Contains(top, path[0]) {
			strays = append(strays, name)
			continue
		}
		if !plant(tree, path, env[name]) {
			d.faults.add(name, "contradicts another variable", "set a value or the parts of one, not both")
		}
	}
	d.assign("", reflect.ValueOf(s).Elem(), tree)
	for i := range d.faults {
		d.faults[i].Problem += " (in the environment)"
	}
	return d.faults, strays
}

// topSettings are the names that a variable may begin with.
func topSettings() (names []string) {
	t := reflect.TypeFor[settings]()
	for field := range t.Fields() {
		names = append(names, field.Tag.Get("toml"))
	}
	return names
}

// plant puts a value into a tree of tables; false when a value stands where a table is needed or the other way round.
func plant(tree map[string]any, path []string, value string) bool {
	for _, name := range path[:len(path)-1] {
		below, exists := tree[name]
		if !exists {
			below = map[string]any{}
			tree[name] = below
		}
		table, isTable := below.(map[string]any)
		if !isTable {
			return false
		}
		tree = table
	}
	last := path[len(path)-1]
	if _, exists := tree[last]; exists {
		return false
	}
	tree[last] = value
	return true
}
