// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost is what hashing a password takes.
type Cost struct {
	Memory uint32 // KiB
	Passes uint32
}

// DefaultCost is what OWASP's password storage cheat sheet asks of Argon2id at least: some 20 ms.
func DefaultCost() Cost { return Cost{Memory: 19 * 1024, Passes: 2} }

// CheapCost is for tests: Argon2's least.
func CheapCost() Cost { return Cost{Memory: 8, Passes: 1} }

// What a stored hash may ask for at most: the file may come from elsewhere.
const (
	maxMemory = 1 << 20 // KiB
	maxPasses = 64
)

const (
	saltSize = 16
	hashSize = 32
	lanes    = 1
)

// Passwords hashes and checks passwords, as many at a time as there are processors: what waits takes no memory. It is immutable.
type Passwords struct {
	cost  Cost
	slots chan struct{}
	decoy string // is checked in place of the hash of a user that there is not
}

// NewPasswords makes it; new hashes cost what is said.
func NewPasswords(cost Cost) *Passwords {
	return &Passwords{
		cost: cost, slots: make(chan struct{}, runtime.GOMAXPROCS(0)),
		decoy: stored(cost, make([]byte, saltSize), make([]byte, hashSize)),
	}
}

// Hash gives what is kept of a password, in the form of the PHC string format.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	key, err := p.derive(ctx, p.cost, password, salt)
	if err != nil {
		return "", err
	}
	return stored(p.cost, salt, key), nil
}

// Check tells whether a password is that of a hash. "" is the hash of nobody: to find that out takes as long.
func (p *Passwords) Check(ctx context.Context, hash, password string) (bool, error) {
	known := hash != ""
	if !known {
		hash = p.decoy
	}
	cost, salt, want, err := parseStored(hash)
	if err != nil {
		return false, err
	}
	got, err := p.derive(ctx, cost, password, salt)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}

func (p *Passwords) derive(ctx context.Context, cost Cost, password string, salt []byte) ([]byte, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.slots }()
	return argon2.IDKey([]byte(password), salt, cost.Passes, cost.Memory, lanes, hashSize), nil
}

const storedForm = "$argon2id$v=19$m=%d,t=%d,p=1$%s"

func stored(cost Cost, salt, key []byte) string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf(storedForm, cost.Memory, cost.Passes, encode(salt)+"$"+encode(key))
}

// parseStored reads what stored writes.
func parseStored(hash string) (cost Cost, salt, key []byte, err error) {
	var rest string
	if _, err := fmt.Sscanf(hash, storedForm, &cost.Memory, &cost.Passes, &rest); err != nil {
		return cost, nil, nil, fmt.Errorf("%w: %w", errStored, err)
	}
	if cost.Memory > maxMemory || cost.Passes < 1 || cost.Passes > maxPasses {
		return cost, nil, nil, fmt.Errorf("%w: it asks for %d KiB in %d passes", errStored, cost.Memory, cost.Passes)
	}
	first, second, _ := strings.Cut(rest, "$")
	if salt, err = base64.RawStdEncoding.DecodeString(first); err == nil {
		key, err = base64.RawStdEncoding.DecodeString(second)
	}
	if err == nil && len(key) != hashSize {
		err = fmt.Errorf("a key of %d bytes", len(key))
	}
	if err != nil {
		return cost, nil, nil, fmt.Errorf("%w: %w", errStored, err)
	}
	return cost, salt, key, nil
}

// errStored: the hash in the store is not one that this program writes.
var errStored = errors.New("password hash is not of the known form")
