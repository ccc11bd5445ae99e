// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// initCmd prepares a server.
type initCmd struct {
	ServerName string `required:"" placeholder:"NAME" help:"Name of the server, which its user ids end with. It can never change."`
	Config     string `short:"c" default:"strata.toml" placeholder:"FILE" help:"Configuration file to write (default: ${default})."`
	DataDir    string `default:"strata-data" placeholder:"DIR" help:"Directory of database and signing key, relative to the configuration file (default: ${default})."`
}

// Help implements kong.HelpProvider.
func (initCmd) Help() string {
	return `Nothing is ever overwritten: where a configuration or a signing key exists, the command refuses. Lose the signing key,
and other servers stop believing that you are you: keep a copy.

  strata init --server-name example.org
  strata init --server-name example.org --config /etc/strata/strata.toml --data-dir /var/lib/strata`
}

//go:embed init.toml.tmpl
var configTemplate string

//go:embed init.hints.tmpl
var hintsTemplate string

// prepared is what init wrote, and what is left to do.
type prepared struct {
	Config     string            `json:"config"`
	SigningKey string            `json:"signing_key"`
	KeyID      string            `json:"key_id"`
	Host       string            `json:"host"`       // the server name without port
	WellKnown  map[string]string `json:"well_known"` // what /.well-known/matrix/server could say
	SRV        string            `json:"srv"`        // the DNS record that could say the same
	Hints      string            `json:"hints"`
}

// Run implements the command.
func (c *initCmd) Run(w *world) error {
	name, err := ident.ParseServerName(c.ServerName)
	if err != nil || c.ServerName != strings.ToLower(c.ServerName) {
		return usage("--server-name: %q is no server name in lower case, such as example.org", c.ServerName)
	}
	dataDir := besideConfig(c.Config, c.DataDir)
	keyPath := filepath.Join(dataDir, keyFileName)
	for _, path := range []string{c.Config, keyPath} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s exists, and is left as it is; remove it if it is of no more use", path)
		}
	}
	host, port := ident.SplitServerName(name)
	if port == "" {
		port = fmt.Sprint(federationPort)
	}
	site := map[string]string{
		"Name": c.ServerName, "Host": host, "Port": port, "DataDir": c.DataDir, "Config": absolute(c.Config),
		"AbsoluteData": absolute(dataDir),
	}
	key, err := writeInitial(c.Config, dataDir, keyPath, site)
	if err != nil {
		return err
	}
	hints, err := fill(hintsTemplate, site)
	if err != nil {
		return err
	}
	result := prepared{
		Config: absolute(c.Config), SigningKey: absolute(keyPath), KeyID: string(key.ID), Host: host,
		WellKnown: map[string]string{"m.server": "matrix." + host + ":" + port},
		SRV:       fmt.Sprintf("_matrix-fed._tcp.%s. 3600 IN SRV 10 5 %s matrix.%s.", host, port, host),
		Hints:     string(hints),
	}
	return w.out.print(result, func() { fmt.Fprint(w.out.stdout, result.Hints) })
}

// writeInitial writes the key and then the configuration, each only if it is not there.
func writeInitial(config, dataDir, keyPath string, site map[string]string) (signing.Key, error) {
	text, err := fill(configTemplate, site)
	if err != nil {
		return signing.Key{}, err
	}
	if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
		return signing.Key{}, fmt.Errorf("make directory of the configuration: %w", err)
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return signing.Key{}, fmt.Errorf("make data directory: %w", err)
	}
	key, err := signing.GenerateKey()
	if err != nil {
		return signing.Key{}, err
	}
	if err := signing.CreatePrivateFile(keyPath, []byte(key.Line()+"\n")); err != nil {
		return signing.Key{}, err
	}
	file, err := os.OpenFile(config, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return signing.Key{}, fmt.Errorf("%s exists, and is left as it is", config)
	}
	if err != nil {
		return signing.Key{}, err
	}
	_, err = file.Write(text)
	return key, errors.Join(err, file.Close())
}

func fill(text string, site map[string]string) ([]byte, error) {
	parsed, err := template.New("init").Funcs(template.FuncMap{"quote": quoteTOML}).Parse(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = parsed.Execute(&b, site)
	return b.Bytes(), err
}

// quoteTOML writes a basic string of TOML.
func quoteTOML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
