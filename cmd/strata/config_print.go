// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

type configPrintCmd struct {
	settingFlags
}

// Help implements kong.HelpProvider.
func (configPrintCmd) Help() string {
	return `Prints every setting in force, those with their default included, as a configuration file has them.

  strata config print --config /etc/strata/strata.toml`
}

// Run implements the command.
func (c *configPrintCmd) Run(_ context.Context, w *world) error {
	tree, text, err := settingsInForce(c.settingFlags, w)
	if err != nil {
		return err
	}
	return w.out.print(tree, func() { fmt.Fprint(w.out.stdout, harmlessLines(text)) })
}

type configEnvCmd struct {
	settingFlags
}

// Help implements kong.HelpProvider.
func (configEnvCmd) Help() string {
	return `Prints every setting in force as a variable of the environment. In a file of this form they can be given to a container, or to
systemd as EnvironmentFile. Lists of tables have their index in the name. What is named by the id of a key, such as old_signing_keys,
can only stand in a file.

  strata config env --config strata.toml > strata.env`
}

// Run implements the command.
func (c *configEnvCmd) Run(_ context.Context, w *world) error {
	tree, _, err := settingsInForce(c.settingFlags, w)
	if err != nil {
		return err
	}
	variables := map[string]string{}
	flatten(variables, strings.TrimSuffix(envPrefix, "_"), "_", tree)
	return w.out.print(variables, func() {
		for _, name := range sortedKeys(variables) {
			fmt.Fprintf(w.out.stdout, "%s=%s\n", name, envWord(variables[name]))
		}
	})
}

// settingsInForce reads file, environment and flags, and writes them down, as a tree and as a configuration file.
func settingsInForce(flags settingFlags, w *world) (tree map[string]any, text string, err error) {
	l, err := (&serveCmd{settingFlags: flags}).load(w)
	if err == nil {
		err = l.faults.orNil()
	}
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(l.settings); err != nil {
		return nil, "", fmt.Errorf("print settings: %w", err)
	}
	_, err = toml.Decode(b.String(), &tree)
	return tree, b.String(), err
}

// flatten names every value below v by the path to it.
func flatten(to map[string]string, name, separator string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			if variable.MatchString(key) {
				flatten(to, name+separator+strings.ToUpper(key), "__", below)
			}
		}
	case []map[string]any:
		for i, below := range v {
			flatten(to, fmt.Sprintf("%s__%d", name, i), "__", below)
		}
	case []any:
		words := make([]string, len(v))
		for i, word := range v {
			words[i] = fmt.Sprint(word)
		}
		joined := strings.Join(words, ",")
		if len(words) == 0 || strings.Count(joined, ",") == len(words)-1 {
			to[name] = joined
			return
		}
		for i, word := range words { // one has a comma of its own
			to[fmt.Sprintf("%s__%d", name, i)] = word
		}
	case string:
		if v != "" { // which is none
			to[name] = v
		}
	default:
		to[name] = fmt.Sprint(v)
	}
}

// variable is what a name in the environment can hold: no ids of keys, whose case matters.
var variable = regexp.MustCompile(`^[a-z0-9_]+$`)

// envWord quotes a value that a shell or systemd would take apart.
func envWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@,+=[]") == "" {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s) + `"`
}
