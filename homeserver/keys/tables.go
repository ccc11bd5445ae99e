// SPDX-License-Identifier: Apache-2.0

package keys

// Schema is the tables of this package, a step of the homeserver's annex. Keys are JSON in canonical form.
const Schema = `
CREATE TABLE hs_device_keys (
	user   TEXT NOT NULL,
	device TEXT NOT NULL,
	keys   TEXT NOT NULL,
	PRIMARY KEY (user, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_one_time_keys (
	number    INTEGER PRIMARY KEY, -- in the order of the uploads
	user      TEXT NOT NULL,
	device    TEXT NOT NULL,
	algorithm TEXT NOT NULL,
	id        TEXT NOT NULL,
	key       TEXT NOT NULL,
	UNIQUE (user, device, algorithm, id)
) STRICT;
CREATE INDEX hs_one_time_keys_next ON hs_one_time_keys (user, device, algorithm, number);
CREATE TABLE hs_fallback_keys (
	user      TEXT    NOT NULL,
	device    TEXT    NOT NULL,
	algorithm TEXT    NOT NULL,
	id        TEXT    NOT NULL,
	key       TEXT    NOT NULL,
	used      INTEGER NOT NULL,
	PRIMARY KEY (user, device, algorithm)
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_signing_keys (
	user  TEXT NOT NULL, -- also of other servers
	usage TEXT NOT NULL, -- master, self_signing, user_signing
	key   TEXT NOT NULL,
	PRIMARY KEY (user, usage)
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_signatures (
	user      TEXT NOT NULL, -- whose key is signed
	key       TEXT NOT NULL, -- a device id, or a public key
	signer    TEXT NOT NULL,
	signed_by TEXT NOT NULL, -- the id of the key that signs, ed25519:…
	signature TEXT NOT NULL,
	PRIMARY KEY (user, key, signer, signed_by)
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_remote_lists (
	user  TEXT    PRIMARY KEY,
	fresh INTEGER NOT NULL -- 0: updates are missing
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_remote_devices (
	user   TEXT NOT NULL,
	device TEXT NOT NULL,
	name   TEXT NOT NULL,
	keys   TEXT NOT NULL, -- '' for none
	PRIMARY KEY (user, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_device_lists (
	user     TEXT    PRIMARY KEY, -- also of other servers
	position INTEGER NOT NULL     -- of the last change of the user's devices or cross-signing keys
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_device_lists_changes ON hs_device_lists (position);`
