// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/transport/keys"
)

// keysCmd is everything about signing keys.
type keysCmd struct {
	Show   keysShowCmd   `cmd:"" help:"Show our own keys, or who said what of another server's (ro)."`
	Fetch  keysFetchCmd  `cmd:"" help:"Ask a server for its keys and look at them (ro)."`
	Verify keysVerifyCmd `cmd:"" help:"Look at a key document in a file, asking nobody (ro)."`
	Notary keysNotaryCmd `cmd:"" help:"Compare what a server and notaries say of its keys (ro)."`
	Rotate keysRotateCmd `cmd:"" help:"Make a new signing key, which takes over after it was published for a while (rw)."`
	Export keysExportCmd `cmd:"" help:"Print our public keys as an entry of old_signing_keys, or the secrets for a backup (ro)."`
	Import keysImportCmd `cmd:"" help:"Take over a key file of Synapse or Dendrite (rw)."`
}

// ownKeysFlags say whose own keys: those of a running server, or those of a file.
type ownKeysFlags struct {
	reachFlags
	KeyFile string `group:"Reach" placeholder:"FILE" help:"Work on the key file of a stopped server."`
}

// own lists the keys.
func (f ownKeysFlags) own(ctx context.Context, w *world) (found control.OwnKeys, err error) {
	if f.KeyFile != "" {
		plan, err := loadKeyFile(f.KeyFile)
		return ownOfFile(f.KeyFile, plan), err
	}
	err = f.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		found, err = client.OwnKeys(ctx)
		return err
	})
	return found, withoutServer(err)
}

func loadKeyFile(path string) (keys.Plan, error) {
	plan, err := keys.Load(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return plan, usage("%v", err)
	}
	return plan, err
}

func ownOfFile(path string, plan keys.Plan) control.OwnKeys {
	if len(plan.Keys) == 0 {
		return control.OwnKeys{}
	}
	return control.OwnKeys{KeyFile: absolute(path), Keys: control.ShowOwnKeys(plan.At(time.Now().UnixMilli()))}
}

// withoutServer adds what else can be done where no server answers.
func withoutServer(err error) error {
	var known *control.Error
	if errors.As(err, &known) && known.Kind == control.Unreachable {
		return &control.Error{Kind: known.Kind, Message: known.Message + "; --key-file FILE works on the keys of a stopped one"}
	}
	return err
}

type keysShowCmd struct {
	ownKeysFlags
	Server string `arg:"" optional:"" help:"Another server, such as example.org: shows who said what of its keys, first and last when."`
}

// Help implements kong.HelpProvider.
func (keysShowCmd) Help() string {
	return `PHASE is published (others can learn the key, it does not sign yet), signs, retiring (signs no more, what it signed in its last
minute is still good), or retired (good for old events only). Of no key the secret is shown.

  strata keys show
  strata keys show --key-file /var/lib/strata/signing.key
  strata keys show --json | jq .document
  strata keys show matrix.org
  strata keys show matrix.org --db strata.db`
}

// Run implements the command.
func (c *keysShowCmd) Run(ctx context.Context, w *world) error {
	if c.Server != "" {
		return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
			history, err := client.KeyHistory(ctx, control.ServerRef{Server: c.Server})
			if err != nil {
				return err
			}
			return w.out.print(history, func() { showHistory(w.out, history) })
		})
	}
	found, err := c.own(ctx, w)
	if err != nil {
		return err
	}
	return w.out.print(found, func() { showOwnKeys(w.out, found) })
}

func showOwnKeys(o *output, found control.OwnKeys) {
	var rows [][]string
	for _, k := range found.Keys {
		rows = append(rows, []string{k.KeyID, k.Phase, o.when(k.From), o.when(k.ExpiredTS), k.Public})
	}
	o.table([]string{"KEY", "PHASE", "SIGNS FROM", "EXPIRES", "PUBLIC"}, rows)
}

type keysRotateCmd struct {
	ownKeysFlags
	Overlap duration `default:"1d" placeholder:"DURATION" help:"How long the new key is published before it signs (default: ${default})."`
	Now     bool     `help:"The new key signs at once: for a key that was stolen. One that waits already takes over."`
}

// Help implements kong.HelpProvider.
func (keysRotateCmd) Help() string {
	return `A running server needs no restart. It makes a key and writes it to the key file, publishes it, and signs with it when every
copy of our keys that lacks it has run out: a day, unless --overlap says otherwise. The key before it then becomes an old one,
good for what it signed; its secret stays in the key file until the next rotation, or with --now is gone at once.

A key that was stolen: strata keys rotate --now. Whoever has it can still make up events that look old.

  strata keys rotate
  strata keys rotate --now
  strata keys rotate --key-file /var/lib/strata/signing.key      of a stopped server

Keep a copy of the key file afterwards, as of the one before.`
}

// Run implements the command.
func (c *keysRotateCmd) Run(ctx context.Context, w *world) (err error) {
	if c.Now {
		c.Overlap = 0
	} else if c.Overlap <= 0 || time.Duration(c.Overlap) > keys.MaxOverlap {
		return usage("--overlap: %s is not between 0 and %s; --now is without", time.Duration(c.Overlap), keys.MaxOverlap)
	}
	var found control.OwnKeys
	if c.KeyFile != "" {
		found, err = rotateFile(c.KeyFile, time.Duration(c.Overlap))
	} else {
		err = withoutServer(c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
			found, err = client.RotateKeys(ctx, control.RotateKeys{Overlap: time.Duration(c.Overlap).Milliseconds()})
			return err
		}))
	}
	if err != nil {
		return err
	}
	w.out.note("keep a copy of %s", found.KeyFile)
	return w.out.print(found, func() { showOwnKeys(w.out, found) })
}

func rotateFile(path string, overlap time.Duration) (control.OwnKeys, error) {
	if _, err := loadKeyFile(path); err != nil {
		return control.OwnKeys{}, err
	}
	plan, err := keys.RotateFile(path, time.Now().UnixMilli(), overlap)
	if errors.Is(err, keys.ErrRotating) {
		return control.OwnKeys{}, &control.Error{Kind: control.Refused, Message: err.Error() + "; --now has it begin at once"}
	}
	return ownOfFile(path, plan), err
}
