// SPDX-License-Identifier: Apache-2.0

package ident

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxLength is the longest user id, room id, event id or alias in bytes, sigil and domain included.
const MaxLength = 255

// hashLength is the length of an unpadded base64 SHA-256, the opaque part of event ids from room version 3 on and of room
// ids from room version 12 on.
const hashLength = 43

// ErrInvalid is wrapped by every error of a Parse function. The text says which part of the grammar was broken.
var ErrInvalid = errors.New("invalid identifier")

// UserID is "@localpart:server".
type UserID string

// RoomID is "!opaque:server" in room versions 1 to 11 and "!hash" from 12 on.
type RoomID string

// EventID is "$opaque:server" in room versions 1 and 2 and "$hash" from 3 on.
type EventID string

// RoomAlias is "#localpart:server".
type RoomAlias string

// KeyID names a signing key, "ed25519:version".
type KeyID string

// MediaID names content within the server that has it: "mxc://server/id".
type MediaID string

// ParseMediaID accepts 1 to 255 of A-Z a-z 0-9 _ - (M-83): what is accepted is no path to anywhere else.
func ParseMediaID(s string) (MediaID, error) {
	if s == "" || len(s) > MaxLength || !isBase64URL(s) {
		return "", invalid("media id", s, "not 1 to 255 of A-Z a-z 0-9 _ -")
	}
	return MediaID(s), nil
}

// ParseUserID accepts every user id that an event may carry, the historical ones included: any code points but ':' and NUL
// in the localpart, which may be empty.
func ParseUserID(s string) (UserID, error) {
	localpart, _, err := split('@', "user id", s)
	if err != nil {
		return "", err
	}
	if strings.IndexByte(localpart, 0) >= 0 {
		return "", invalid("user id", s, "NUL in the localpart")
	}
	return UserID(s), nil
}

// ParseNewUserID accepts the user ids that a server may give out today: a non-empty localpart of a-z 0-9 . _ = - / + (X-12).
func ParseNewUserID(s string) (UserID, error) {
	id, err := ParseUserID(s)
	if err != nil {
		return "", err
	}
	localpart := id.Localpart()
	if localpart == "" {
		return "", invalid("user id", s, "empty localpart")
	}
	for _, r := range localpart {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._=-/+", r) {
			return "", invalid("user id", s, fmt.Sprintf("%q is not one of a-z 0-9 . _ = - / +", r))
		}
	}
	return id, nil
}

// Localpart is what stands between the sigil and the first colon.
func (u UserID) Localpart() string { localpart, _ := cut(string(u)); return localpart }

// Server is the server that the user belongs to.
func (u UserID) Server() ServerName { _, server := cut(string(u)); return ServerName(server) }

// ParseRoomID accepts both forms of room id: with a domain, and the hash of the create event (room version 12).
func ParseRoomID(s string) (RoomID, error) {
	if len(s) == 1+hashLength && s[0] == '!' && isBase64URL(s[1:]) {
		return RoomID(s), nil
	}
	opaque, _, err := split('!', "room id", s)
	if err != nil {
		return "", err
	}
	if opaque == "" {
		return "", invalid("room id", s, "nothing between '!' and ':'")
	}
	return RoomID(s), nil
}

// Server is the domain of a room id of versions 1 to 11; ok is false for the hash form, which has none. It is fit for the
// create rule (P-40) and for nothing else: a room does not live on the server in its name.
func (r RoomID) Server() (server ServerName, ok bool) { return domain(string(r)) }

// ParseEventID accepts the forms of all room versions: "$opaque:server", and "$hash" in either base64 alphabet.
func ParseEventID(s string) (EventID, error) {
	if len(s) == 0 || s[0] != '$' {
		return "", invalid("event id", s, "does not start with '$'")
	}
	if len(s) == 1 {
		return "", invalid("event id", s, "nothing after '$'")
	}
	if len(s) > MaxLength {
		return "", tooLong("event id", s)
	}
	if !utf8.ValidString(s) {
		return "", invalid("event id", s, "not UTF-8")
	}
	return EventID(s), nil
}

// Server is the domain of an event id of room versions 1 and 2; ok is false for the hash forms.
func (e EventID) Server() (server ServerName, ok bool) { return domain(string(e)) }

// ParseRoomAlias accepts "#localpart:server".
func ParseRoomAlias(s string) (RoomAlias, error) {
	if _, _, err := split('#', "room alias", s); err != nil {
		return "", err
	}
	return RoomAlias(s), nil
}

// Server is the server that resolves the alias.
func (a RoomAlias) Server() ServerName { _, server := cut(string(a)); return ServerName(server) }

// ParseKeyID accepts "algorithm:version" with the version in [a-zA-Z0-9_]. The algorithm is not judged here: a key of
// an unknown one is skipped by who verifies.
func ParseKeyID(s string) (KeyID, error) {
	algorithm, version, found := strings.Cut(s, ":")
	if !found || algorithm == "" || version == "" {
		return "", invalid("key id", s, "not of the form algorithm:version")
	}
	for i := range len(version) {
		if c := version[i]; c != '_' && !isAlnum(c) {
			return "", invalid("key id", s, fmt.Sprintf("%q is not one of a-z A-Z 0-9 _", version[i:i+1]))
		}
	}
	return KeyID(s), nil
}

// split checks sigil, length, encoding and server name, and cuts at the first colon.
func split(sigil byte, kind, s string) (opaque string, server ServerName, err error) {
	if len(s) == 0 || s[0] != sigil {
		return "", "", invalid(kind, s, fmt.Sprintf("does not start with %q", sigil))
	}
	if len(s) > MaxLength {
		return "", "", tooLong(kind, s)
	}
	if !utf8.ValidString(s) {
		return "", "", invalid(kind, s, "not UTF-8")
	}
	opaque, name, found := strings.Cut(s[1:], ":")
	if !found {
		return "", "", invalid(kind, s, "no ':' before a server name")
	}
	server, err = ParseServerName(name)
	if err != nil {
		return "", "", fmt.Errorf("%s %q: %w", kind, clip(s), err)
	}
	return opaque, server, nil
}

// cut splits a parsed identifier; the zero value gives empty parts.
func cut(s string) (localpart, server string) {
	if s == "" {
		return "", ""
	}
	localpart, server, _ = strings.Cut(s[1:], ":")
	return localpart, server
}

func domain(s string) (ServerName, bool) {
	_, server, found := strings.Cut(s, ":")
	return ServerName(server), found
}

func isBase64URL(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '-' && c != '_' && !isAlnum(c) {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return 'a' <= c|' ' && c|' ' <= 'z' || '0' <= c && c <= '9'
}

func invalid(kind, s, why string) error {
	return fmt.Errorf("%w: %s %q: %s", ErrInvalid, kind, clip(s), why)
}

func tooLong(kind, s string) error {
	return invalid(kind, s, fmt.Sprintf("%d bytes, at most %d are allowed", len(s), MaxLength))
}

// clip keeps an identifier of any size from flooding a log.
func clip(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
