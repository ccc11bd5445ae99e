// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// maxKeyFile bounds what is read from a key file. One key takes about 60 bytes, a PEM block about 150.
const maxKeyFile = 16 << 10

// from stands in a key line before the time from which the key signs.
const from = "from"

// ParseFile reads what a key file may hold: Dendrite's PEM block, or lines of
//
//	ed25519 a_AbCd <seed>                     the key that signs: Synapse's form
//	ed25519 a_EfGh <seed> from <ms>           the key that signs from then on
//	ed25519 a_IjKl <expired_ts> <public key>  a retired key: the form of Synapse's signedjson
func ParseFile(content []byte) (Plan, error) {
	content = bytes.TrimSpace(content)
	if bytes.HasPrefix(content, []byte("-----BEGIN")) {
		key, err := signing.ParseKeyPEM(content)
		return Plan{Keys: []PlannedKey{{Key: key}}}, err
	}
	var p Plan
	for line := range strings.Lines(string(content)) {
		if err := p.parseLine(strings.Fields(line)); err != nil {
			return Plan{}, err
		}
	}
	return p, p.check()
}

func (p *Plan) parseLine(words []string) error {
	switch {
	case len(words) == 0:
		return nil
	case len(words) == 3 && len(p.Keys) > 0:
		return errors.New("two keys and no time: keep one, and list the others as old keys, or say when the second signs: ed25519 ID SEED from MS")
	case len(words) == 3 || len(words) == 5 && words[3] == from:
		key, err := signing.ParseKeyLine(strings.Join(words[:3], " "))
		if err != nil {
			return err
		}
		planned := PlannedKey{Key: key}
		if len(words) == 5 {
			if planned.From, err = parseTime(words[4]); err != nil {
				return fmt.Errorf("key %s: %w", key.ID, err)
			}
		}
		p.Keys = append(p.Keys, planned)
		return nil
	case len(words) == 4:
		old, err := ParseOldKey(words[0]+":"+words[1], words[3], words[2])
		if err != nil {
			return err
		}
		p.Old = append(p.Old, old)
		return nil
	}
	return fmt.Errorf("key line: %d words, want algorithm, version and seed", len(words))
}

// ParseOldKey reads a retired key from its parts: id, public key in base64, and expired_ts in ms.
func ParseOldKey(id, public, expired string) (OldKey, error) {
	parsed, err := ident.ParseKeyID(id)
	if err != nil || !strings.HasPrefix(id, signing.Algorithm+":") {
		return OldKey{}, fmt.Errorf("old key: no id of an %s key", signing.Algorithm) // it may be a secret in a line with a word too many
	}
	key, err := signing.DecodeBase64(public)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return OldKey{}, fmt.Errorf("old key %s: no public key of %d bytes in base64", id, ed25519.PublicKeySize)
	}
	at, err := parseTime(expired)
	if err != nil {
		return OldKey{}, fmt.Errorf("old key %s: %w", id, err)
	}
	return OldKey{ID: parsed, Public: key, ExpiredAt: at}, nil
}

// parseTime reads a time in ms. The bound is that of numbers in JSON. The error does not quote what may be a secret.
func parseTime(text string) (int64, error) {
	const most = 1 << 53
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil || at <= 0 || at >= most {
		return 0, errors.New("no time in ms where it belongs")
	}
	return at, nil
}

// Format is the plan as ParseFile reads it. It holds the secrets.
func (p Plan) Format() []byte {
	var out []byte
	for _, k := range p.Keys {
		out = append(out, k.Line()...)
		if k.From > 0 {
			out = append(append(out, " "+from+" "...), strconv.FormatInt(k.From, 10)...)
		}
		out = append(out, '\n')
	}
	for _, old := range p.Old {
		algorithm, version, _ := strings.Cut(string(old.ID), ":")
		out = fmt.Appendf(out, "%s %s %d %s\n", algorithm, version, old.ExpiredAt, signing.EncodeBase64(old.Public))
	}
	return out
}

// LoadOrCreate reads the key file at path, or creates it with a new key when there is none. Two processes that start at the same
// time end up with the same key.
func LoadOrCreate(path string) (Plan, error) {
	plan, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return plan, err
	}
	fresh, err := signing.GenerateKey()
	if err != nil {
		return Plan{}, fmt.Errorf("create signing key %s: %w", path, err)
	}
	if err := signing.CreatePrivateFile(path, []byte(fresh.Line()+"\n")); err != nil && !errors.Is(err, fs.ErrExist) {
		return Plan{}, fmt.Errorf("create signing key: %w", err)
	}
	return Load(path)
}

// Load reads the key file at path; the error wraps fs.ErrNotExist when there is none.
func Load(path string) (Plan, error) {
	file, err := os.Open(path)
	if err != nil {
		return Plan{}, fmt.Errorf("load signing key: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return Plan{}, fmt.Errorf("load signing key: %w", err)
	}
	if len(content) > maxKeyFile {
		return Plan{}, fmt.Errorf("load signing key %s: over %d bytes, this is no key file", path, maxKeyFile)
	}
	plan, err := ParseFile(content)
	if err != nil {
		return Plan{}, fmt.Errorf("load signing key %s: %w", path, err)
	}
	return plan, nil
}

// RotateFile rotates the keys of a file, as the server that uses it does when it runs, and returns the new plan.
func RotateFile(path string, now int64, overlap time.Duration) (Plan, error) {
	plan, err := Load(path)
	if err != nil {
		return Plan{}, err
	}
	fresh, err := signing.GenerateKey()
	if err != nil {
		return Plan{}, err
	}
	next, err := plan.Rotate(fresh, now, overlap)
	if err != nil {
		return Plan{}, fmt.Errorf("rotate the keys of %s: %w", path, err)
	}
	if err := signing.ReplacePrivateFile(path, next.Format()); err != nil {
		return Plan{}, fmt.Errorf("rotate keys: %w", err)
	}
	return next, nil
}
