# SPDX-License-Identifier: Apache-2.0
"""Records what Synapse's own signing code makes of fixed inputs: python synapse.py > synapse.json

Needs signedjson 1.1.4 and canonicaljson 2.0.0 from PyPI. Request headers are put together as Synapse 1.163.2 does in
http/matrixfederationclient.py.
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
keys = {"ed25519:1": (k1, seed), "ed25519:a_Q2x9": (k2, encode_base64(hashlib.sha256(b"second").digest()))}

objects = []
inputs = [
  {}, {"one": 1, "two": "Two"},
  {"one": 1, "unsigned": {"age_ts": 922834800000}, "two": "Two"},
  {"signatures": {"other.example": {"ed25519:x": "c2ln"}}, "a": [1, {"b": None, "": True}]},
  {"signatures": {"domain": {"ed25519:0": "b2xk", "rsa:1": "eHg"}}, "z": "last", "unsigned": {}},
  {"日": "本", "é": "<>&\u2028\u007f\u0001\"\\\n", "big": 9007199254740991, "neg": -9007199254740991},
]
for o in inputs:
    for kid, (k, s) in keys.items():
        signed = sign_json(json.loads(json.dumps(o)), "domain", k)
        objects.append({"input": json.dumps(o), "server": "domain", "key": kid, "seed": s,
                        "public": encode_verify_key_base64(get_verify_key(k)),
                        "signed": encode_canonical_json(signed).decode()})

# requests: the object and header of matrixfederationclient.build_auth_headers
requests = []
def req(method, uri, origin, dest, content):
    request = {"method": method, "uri": uri, "origin": origin}
    if dest is not None: request["destination"] = dest
    if content is not None: request["content"] = content
    out = sign_json(request, origin, k2)
    sig = out["signatures"][origin]["ed25519:a_Q2x9"]
    requests.append({"method": method, "uri": uri, "origin": origin, "destination": dest,
      "content": None if content is None else json.dumps(content, indent=1),
      "key": "ed25519:a_Q2x9", "seed": keys["ed25519:a_Q2x9"][1], "signature": sig,
      "header": 'X-Matrix origin="%s",key="%s",sig="%s",destination="%s"' % (origin, "ed25519:a_Q2x9", sig, dest)})
req("GET", "/_matrix/federation/v1/version", "origin.hs.example.com", "destination.hs.example.com", None)
req("GET", "/_matrix/federation/v1/event/%24a%2Fb?x=%20y&z=", "a:8448", "[::1]:8448", None)
req("PUT", "/_matrix/federation/v1/send/1?b=2&a=1", "origin.example", "dest.example:443",
    {"pdus": [{"z": 1, "a": "é<&"}], "edus": [], "origin": "origin.example", "origin_server_ts": 1700000000000})
req("POST", "/_matrix/federation/v1/x", "origin.example", "dest.example", {})

json.dump({"objects": objects, "requests": requests}, sys.stdout, indent=1, ensure_ascii=False)
