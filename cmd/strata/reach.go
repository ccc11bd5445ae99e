// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/persistence"
)

// reachFlags say whom a command talks to.
type reachFlags struct {
	Socket  string        `group:"Reach" placeholder:"PATH" help:"Control socket of the server. Otherwise ctl.sock in its data directory. Environment: STRATA_SOCKET."`
	DataDir string        `group:"Reach" placeholder:"DIR" help:"Data directory of the server. Otherwise that of the configuration file (strata.toml, or STRATA_CONFIG), or strata-data. Environment: STRATA_DATA_DIR."`
	DB      string        `group:"Reach" name:"db" placeholder:"FILE" help:"Read the file of a stopped server (strata.db in its data directory); nothing is changed."`
	Timeout time.Duration `group:"Reach" placeholder:"DURATION" help:"Give up after this time, such as 30s. Joining a large room takes minutes."`
}

// defaultDataDir is where serve and the other commands meet when nobody says otherwise.
const defaultDataDir = "strata-data"

// ask runs f with a client of the server, or the file, that the flags name.
func (r reachFlags) ask(ctx context.Context, w *world, f func(context.Context, *control.Client) error) error {
	if r.Timeout < 0 {
		return usage("--timeout: %s is negative", r.Timeout)
	}
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Timeout)
		defer cancel()
	}
	if r.DB != "" {
		return r.askFile(ctx, f)
	}
	client := control.Dial(r.socket(w.env))
	defer client.Close()
	return f(ctx, client)
}

// askFile reads the file of a stopped server.
func (r reachFlags) askFile(ctx context.Context, f func(context.Context, *control.Client) error) error {
	if r.Socket != "" || r.DataDir != "" {
		return usage("--db reads a file: it cannot be combined with --socket or --data-dir")
	}
	if info, err := os.Stat(r.DB); err == nil && info.IsDir() {
		return usage("--db %s is a directory: name the file in it, strata.db", r.DB)
	}
	store, err := persistence.Open(ctx, persistence.Options{Path: r.DB, ReadOnly: true})
	if errors.Is(err, persistence.ErrInUse) {
		return &control.Error{Kind: control.Failed, Message: r.DB +
			" is in use by a running server: ask the server instead, with --data-dir " + filepath.Dir(r.DB) + ", or stop it first"}
	}
	if err != nil {
		return err
	}
	defer store.Close() // it was only read
	return f(ctx, control.Direct(r.DB, control.NewFileHandler(store)))
}

// socket is the path of the server's socket.
func (r reachFlags) socket(env map[string]string) string {
	switch {
	case r.Socket != "":
		return r.Socket
	case r.DataDir != "":
		return filepath.Join(r.DataDir, control.SocketName)
	case env["STRATA_SOCKET"] != "":
		return env["STRATA_SOCKET"]
	case env["STRATA_DATA_DIR"] != "":
		return filepath.Join(env["STRATA_DATA_DIR"], control.SocketName)
	}
	return configuredSocket(env)
}

// configuredSocket is what the configuration file says, if there is one that can be read: whether all of it is good is not this
// command's business.
func configuredSocket(env map[string]string) string {
	path := defaultConfig
	if env["STRATA_CONFIG"] != "" {
		path = env["STRATA_CONFIG"]
	}
	var file struct {
		DataDir       string `toml:"data_dir"`
		ControlSocket string `toml:"control_socket"`
	}
	if text, err := os.ReadFile(path); err == nil {
		_, _ = toml.Decode(string(text), &file)
	}
	if file.ControlSocket != "" {
		return besideConfig(path, file.ControlSocket)
	}
	if file.DataDir == "" {
		file.DataDir = defaultDataDir
	}
	return filepath.Join(besideConfig(path, file.DataDir), control.SocketName)
}
