// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

type keysExportCmd struct {
	ownKeysFlags
	Secret bool `help:"Print the key file instead, with its secrets: needs --key-file."`
}

// Help implements kong.HelpProvider.
func (keysExportCmd) Help() string {
	return `Prints every key of ours as an entry of old_signing_keys, for the configuration of a server that takes over the name with a key of
its own. Keys that have no end yet are given one: now. Synapse's configuration has the same entries, in YAML.

  strata keys export >> strata.toml
  strata keys export --json
  strata keys export --secret --key-file signing.key > copy`
}

// Run implements the command.
func (c *keysExportCmd) Run(ctx context.Context, w *world) error {
	if c.Secret {
		return c.printSecret(w)
	}
	found, err := c.own(ctx, w)
	if err != nil {
		return err
	}
	entries := map[string]oldKey{}
	for _, k := range found.Keys {
		if k.ExpiredTS == 0 {
			k.ExpiredTS = time.Now().UnixMilli()
		}
		entries[k.KeyID] = oldKey{Key: k.Public, ExpiredTS: k.ExpiredTS}
	}
	return w.out.print(entries, func() {
		for _, id := range sortedKeys(entries) {
			fmt.Fprintf(w.out.stdout, "[old_signing_keys.%s]\nkey = %s\nexpired_ts = %d\n",
				quoteTOML(id), quoteTOML(entries[id].Key), entries[id].ExpiredTS)
		}
	})
}

func (c *keysExportCmd) printSecret(w *world) error {
	if c.KeyFile == "" {
		return usage("--secret: name the file with --key-file; a server does not give its secrets away")
	}
	if w.out.json {
		return usage("--secret: prints a key file, which is no JSON")
	}
	plan, err := loadKeyFile(c.KeyFile)
	if err != nil {
		return err
	}
	_, err = w.out.stdout.Write(plan.Format())
	return err
}

type keysImportCmd struct {
	File    string `arg:"" help:"Key file to read: Synapse's line, Dendrite's PEM block, or one of Strata's."`
	Into    string `placeholder:"FILE" help:"Key file to write. Otherwise that of the configuration (strata.toml, or STRATA_CONFIG), or strata-data/signing.key."`
	Old     bool   `help:"The keys signed before, and sign no more: add them to the key file as old keys."`
	DryRun  bool   `help:"Only check the files, and show what the key file would be."`
	Expired int64  `placeholder:"MS" help:"With --old: when they signed last, in ms since 1970. Otherwise now."`
}

// Help implements kong.HelpProvider.
func (keysImportCmd) Help() string {
	return `A server that moves to Strata keeps its name and its key: import the key before the first start. A key file that exists is
never replaced; with --old the public halves of the imported keys are added to it, so that others can go on verifying what they signed.
The server reads its key file when it starts.

  strata keys import /etc/matrix-synapse/example.org.signing.key
  strata keys import matrix_key.pem --into /var/lib/strata/signing.key
  strata keys import former.key --old --expired 1700000000000`
}

// Run implements the command.
func (c *keysImportCmd) Run(_ context.Context, w *world) error {
	if c.Expired != 0 && !c.Old || c.Expired < 0 {
		return usage("--expired is for --old, and a time in ms since 1970")
	}
	plan, err := loadKeyFile(c.File)
	if err != nil {
		return err
	}
	if c.Into == "" {
		l, err := loadSettings(configFile("", w.env), w.env)
		if err != nil {
			return err
		}
		c.Into = l.settings.keyPath()
	}
	if c.Old {
		plan, err = c.addOld(plan)
	} else {
		err = c.create(plan)
	}
	if err != nil {
		return err
	}
	found := ownOfFile(c.Into, plan)
	verb := "written"
	if c.DryRun {
		verb = "would be written"
	}
	w.out.note("%s: %s", verb, found.KeyFile)
	return w.out.print(found, func() { showOwnKeys(w.out, found) })
}

func (c *keysImportCmd) create(plan keys.Plan) error {
	if exists(c.Into) {
		return &control.Error{Kind: control.Refused, Message: c.Into +
			" exists, and is left as it is: remove it if it never signed anything, or add the keys to it with --old"}
	}
	if c.DryRun {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(c.Into), 0o700); err != nil {
		return fmt.Errorf("make directory of the key file: %w", err)
	}
	return signing.CreatePrivateFile(c.Into, plan.Format())
}

func (c *keysImportCmd) addOld(former keys.Plan) (keys.Plan, error) {
	plan, err := loadKeyFile(c.Into)
	if err != nil {
		return plan, err
	}
	if c.Expired == 0 {
		c.Expired = time.Now().UnixMilli()
	}
	before := plan.Format()
	if plan, err = plan.AddOld(former, c.Expired); err != nil {
		return plan, usage("%s: %v", c.Into, err)
	}
	if c.DryRun || bytes.Equal(before, plan.Format()) {
		return plan, nil
	}
	return plan, signing.ReplacePrivateFile(c.Into, plan.Format())
}
