// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

const (
	// DefaultValidity is how long a published document is valid: Synapse's key_refresh_interval.
	DefaultValidity = 24 * time.Hour
	// MinValidity is what is left of it at least when it is handed out.
	MinValidity = time.Hour
)

// ErrNoKeyFile: the program gave the key itself, so that it must rotate it too.
var ErrNoKeyFile = errors.New("the signing key is not from a file")

// ErrKeyFileChanged: what is in the key file is not what the server works with. Start the server anew.
var ErrKeyFileChanged = errors.New("the key file was changed since the server read it: restart the server")

// OwnConfig is what Own is made of. Server and Plan are needed.
type OwnConfig struct {
	Server ident.ServerName
	Plan   Plan
	// Old are further retired keys, such as those of the settings; they are not written to the file.
	Old  []OldKey
	Path string // of the key file that holds the plan, "" if none does
	// Validity is how long a published document is valid, at least MinValidity; 0 is DefaultValidity.
	Validity time.Duration
	Trace    trace.Sink
}

// Own is a server's own keys: it says which one signs now, publishes them, and has them rotated. Any number of goroutines may
// use it; rotating guards the plan's replacement, and reading it needs no lock.
type Own struct {
	server   ident.ServerName
	old      []OldKey
	path     string
	validity time.Duration
	trace    trace.Sink

	rotating sync.Mutex
	plan     atomic.Pointer[Plan] // with old among its old keys
	latest   atomic.Pointer[publication]
}

var _ signing.Signer = (*Own)(nil)

// publication is a document and what it was made of. Two that are made at the same time are the same or nearly so.
type publication struct {
	plan        *Plan
	made, until int64 // ms: it is served from and to
	document    []byte
}

// NewOwn makes the keys of a server. The error says what is wrong with the plan.
func NewOwn(cfg OwnConfig) (*Own, error) {
	own := &Own{server: cfg.Server, old: cfg.Old, path: cfg.Path, validity: cfg.Validity, trace: trace.OrDiscard(cfg.Trace)}
	if own.validity == 0 {
		own.validity = DefaultValidity
	}
	own.validity = max(own.validity, MinValidity)
	return own, own.adopt(cfg.Plan)
}

// adopt puts a plan in force.
func (own *Own) adopt(p Plan) error {
	p.Old = slices.Clone(p.Old)
	for _, old := range own.old {
		same := func(k OldKey) bool {
			return k.ID == old.ID && k.Public.Equal(old.Public) && k.ExpiredAt == old.ExpiredAt
		}
		if !slices.ContainsFunc(p.Old, same) { // settings may repeat what the file says
			p.Old = append(p.Old, old)
		}
	}
	if err := p.check(); err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	own.plan.Store(&p)
	return nil
}

// Server is whose keys they are.
func (own *Own) Server() ident.ServerName { return own.server }

// Path is the key file, "" for none.
func (own *Own) Path() string { return own.path }

// SigningKey implements signing.Signer.
func (own *Own) SigningKey() signing.Key { return own.plan.Load().signer(time.Now().UnixMilli()) }

// At is every key with its phase at now.
func (own *Own) At(now time.Time) []OwnKey { return own.plan.Load().At(now.UnixMilli()) }

// Rotate makes a new key, writes it to the key file and then publishes it; it signs after the overlap. See Plan.Rotate.
func (own *Own) Rotate(overlap time.Duration) error {
	if own.path == "" {
		return ErrNoKeyFile
	}
	own.rotating.Lock()
	defer own.rotating.Unlock()
	onDisk, err := Load(own.path)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(onDisk.Keys, own.plan.Load().Keys, samePlanned) {
		return fmt.Errorf("%s: %w", own.path, ErrKeyFileChanged)
	}
	next, err := RotateFile(own.path, time.Now().UnixMilli(), overlap)
	if err != nil {
		return err
	}
	former := own.SigningKey().ID
	if err := own.adopt(next); err != nil {
		return err
	}
	latest := next.Keys[len(next.Keys)-1]
	own.trace.Emit(trace.KeysRotated{Key: string(latest.ID), Former: string(former), From: time.UnixMilli(latest.From)})
	return nil
}

func samePlanned(a, b PlannedKey) bool {
	return a.ID == b.ID && a.From == b.From && a.Private.Equal(b.Private)
}

// public answers a query about ourselves. The key that signs counts without end.
func (own *Own) public(q Query) (ed25519.PublicKey, bool) {
	for _, k := range own.At(time.Now()) {
		if k.ID != q.KeyID {
			continue
		}
		if q.Use == ForRequest {
			return k.Public, k.Phase != Retired
		}
		return k.Public, k.ExpiredAt == 0 || q.At <= k.ExpiredAt
	}
	return nil, false
}

// Published is the document to serve at now. It is made anew after half its validity and when a key changes its
// phase, so that whoever fetches it meanwhile gets the same bytes. It must not be modified.
func (own *Own) Published(now time.Time) []byte {
	plan, ms := own.plan.Load(), now.UnixMilli()
	p := own.latest.Load()
	if p == nil || p.plan != plan || ms < p.made || ms >= p.until {
		renewal := min(own.validity/2, own.validity-MinValidity)
		p = &publication{plan: plan, made: ms, until: ms + renewal.Milliseconds()}
		if next := plan.next(ms); next > 0 {
			p.until = min(p.until, next)
		}
		p.document = own.document(plan, ms)
		own.latest.Store(p)
	}
	return p.document
}

// document writes our key document in canonical form: the members in order, the signatures over the rest. Every current
// key of which we have the private half signs.
func (own *Own) document(plan *Plan, now int64) []byte {
	all := plan.At(now)
	slices.SortFunc(all, func(a, b OwnKey) int { return strings.Compare(string(a.ID), string(b.ID)) })
	old, current := []byte(`{`), []byte(`{`)
	for _, k := range all {
		if k.Phase == Retired {
			old = appendKey(old, k.ID, `{"expired_ts":`+strconv.FormatInt(k.ExpiredAt, 10)+`,"key":"`+signing.EncodeBase64(k.Public)+`"}`)
		} else {
			current = appendKey(current, k.ID, `{"key":"`+signing.EncodeBase64(k.Public)+`"}`)
		}
	}
	name := string(canonicaljson.AppendString(nil, string(own.server)))
	head := `{"old_verify_keys":` + string(old) + `},"server_name":` + name
	tail := `,"valid_until_ts":` + strconv.FormatInt(now+own.validity.Milliseconds(), 10) + `,"verify_keys":` + string(current) + `}}`
	signatures := []byte(`{`)
	for _, k := range all {
		i := slices.IndexFunc(plan.Keys, func(p PlannedKey) bool { return p.ID == k.ID })
		if i >= 0 && k.Phase != Retired {
			signature := ed25519.Sign(plan.Keys[i].Private, []byte(head+tail))
			signatures = appendKey(signatures, k.ID, `"`+signing.EncodeBase64(signature)+`"`)
		}
	}
	return []byte(head + `,"signatures":{` + name + `:` + string(signatures) + `}}` + tail)
}

// appendKey adds a member to an object that is not closed yet.
func appendKey(object []byte, id ident.KeyID, value string) []byte {
	if len(object) > 1 {
		object = append(object, ',')
	}
	object = canonicaljson.AppendString(object, string(id))
	return append(append(object, ':'), value...)
}
