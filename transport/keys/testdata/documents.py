# SPDX-License-Identifier: Apache-2.0
"""Records key documents made with Synapse's own signing code: python documents.py > documents.json

Needs signedjson 1.1.4 and canonicaljson 2.0.0 from PyPI. The documents are put together as Synapse 1.163.2 does in
rest/key/v2/local_key_resource.py.
"""
import hashlib
import json
import sys

from signedjson.key import decode_signing_key_base64, get_verify_key, encode_verify_key_base64
from signedjson.sign import sign_json
from canonicaljson import encode_canonical_json
from unpaddedbase64 import encode_base64

seed = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"
k1 = decode_signing_key_base64("ed25519", "1", seed)
k2 = decode_signing_key_base64("ed25519", "a_Q2x9", encode_base64(hashlib.sha256(b"second").digest()))

# key documents as synapse.rest.key.v2.local_key_resource makes them
docs = []
def keydoc(server, signing, old, valid):
    d = {"valid_until_ts": valid, "server_name": server,
         "verify_keys": {"ed25519:" + k.version: {"key": encode_verify_key_base64(get_verify_key(k))} for k in signing},
         "old_verify_keys": {"ed25519:" + k.version: {"key": encode_verify_key_base64(get_verify_key(k)), "expired_ts": ts} for k, ts in old}}
    for k in signing: d = sign_json(d, server, k)
    docs.append({"server": server, "document": encode_canonical_json(d).decode()})
keydoc("origin.example", [k2], [], 1700086400000)
keydoc("origin.example", [k1], [(k2, 1700000000000)], 1700086400000)
keydoc("two.example:8448", [k1, k2], [], 1700086400000)

# a notary's reply as synapse.rest.key.v2.remote_key_resource makes it: each document as it was stored, signed once more
testimony = {"server_keys": [sign_json(json.loads(d["document"]), "notary.example", k1) for d in docs]}
json.dump({"documents": docs, "testimony": encode_canonical_json(testimony).decode()}, sys.stdout, indent=1, ensure_ascii=False)
