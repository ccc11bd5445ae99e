# SPDX-License-Identifier: Apache-2.0
"""Makes the case files of this package's tests with Synapse: its event ids, hashes and signatures, and its resolutions.

Usage, in this directory:  python judge.py     (needs `pip install matrix-synapse==1.163.2`)

rooms.jsonl.gz: some rooms of pdu/resolve/testdata/judged.jsonl.gz as files for "strata state resolve", each with the state that
Synapse resolves it to. From room version 3 on their event ids are Synapse's. Every second event has its content hash, none is signed.
checks.jsonl: for some room versions a file for "strata event check" with an event that is good, signed by its server.
"""

import asyncio
import gzip
import hashlib
import importlib.util
import json
import os
import sys

from signedjson.key import decode_signing_key_base64, encode_verify_key_base64, get_verify_key

HERE = os.path.dirname(os.path.abspath(__file__))
RESOLVE = os.path.join(HERE, "..", "..", "..", "pdu", "resolve", "testdata")

spec = importlib.util.spec_from_file_location("resolve_judge", os.path.join(RESOLVE, "judge.py"))
resolve_judge = importlib.util.module_from_spec(spec)
spec.loader.exec_module(resolve_judge)

from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.crypto.event_signing import add_hashes_and_signatures, compute_content_hash
from synapse.events import make_event_from_dict
from unpaddedbase64 import encode_base64

PER_VERSION = 16
VERSIONS = ["1", "2", "6", "10", "12"]


def pdu(version, fields, ids, room, hashed):
    """An event of a judged room in federation format, and its id."""
    named = version in ("1", "2")
    refs = lambda known: [[i, {}] for i in known] if named else [ids[i] for i in known]
    event = {k: fields[k] for k in ("type", "state_key", "sender", "content", "depth", "origin_server_ts")}
    event["auth_events"], event["prev_events"] = refs(fields["auth_events"]), refs(fields["prev_events"])
    if version != "12" or event["type"] != "m.room.create":
        event["room_id"] = room
    if named:
        event["event_id"] = fields["event_id"]
    event["hashes"] = {}  # Synapse demands the member; here it counts for the id
    if hashed:
        name, digest = compute_content_hash(event, hashlib.sha256)
        event["hashes"] = {name: encode_base64(digest)}
    event_id = make_event_from_dict(dict(event, signatures={}), KNOWN_ROOM_VERSIONS[version]).event_id
    if named and not hashed:
        del event["hashes"]
    return event, event_id


def room_case(judged):
    version, ids, events, plain = judged["version"], {}, [], []
    room = judged["events"][0]["room_id"]
    for number, fields in enumerate(judged["events"]):
        event, ids[fields["event_id"]] = pdu(version, fields, ids, room, number % 2 == 1)
        if version == "12" and number == 0:
            room = "!" + ids[fields["event_id"]][1:]
        events.append(event)
        again = dict(fields, event_id=ids[fields["event_id"]], room_id=room)
        again["auth_events"] = [ids[i] for i in fields["auth_events"]]
        again["prev_events"] = [ids[i] for i in fields["prev_events"]]
        plain.append(again)
    sets = [[ids[i] for i in s] for s in judged["sets"]]
    answer = asyncio.run(resolve_judge.resolve({"version": version, "events": plain, "sets": sets}))["want"]
    slots = {e["event_id"]: (e["type"], e["state_key"]) for e in plain}
    want = [{"type": slots[i][0], "state_key": slots[i][1], "event_id": i} for i in answer]
    want.sort(key=lambda s: (s["type"].encode(), s["state_key"].encode()))
    file = {"room_version": version, "events": events, "state_sets": sets}
    rejected = [e["event_id"] for e in plain if e.get("rejected")]
    if rejected:
        file["rejected"] = rejected
    return {"file": file, "want": want}


def rooms():
    count = dict.fromkeys(VERSIONS, 0)
    with gzip.open(os.path.join(RESOLVE, "judged.jsonl.gz"), "rt") as lines:
        for line in lines:
            judged = json.loads(line)
            if judged["version"] in count and count[judged["version"]] < PER_VERSION:
                count[judged["version"]] += 1
                yield room_case(judged)


def check_case(version):
    """A room of @a:a.org and @b:b.org, in which b says something."""
    known = KNOWN_ROOM_VERSIONS[version]
    named, hashed_room = version in ("1", "2"), version == "12"
    keys = {server: decode_signing_key_base64("ed25519", "k", encode_base64(server.encode() * 6 + b"00")) for server in ("a.org", "b.org")}
    room, made, state = "!room:a.org", {}, []

    def make(name, sender, kind, content, auth, prev, key=None):
        nonlocal room
        server = sender.split(":")[1]
        refs = lambda names: [[made[n].event_id, {}] for n in names] if named else [made[n].event_id for n in names]
        event = {"type": kind, "sender": sender, "content": content, "depth": len(made) + 1, "origin_server_ts": 1000 + len(made)}
        event.update(auth_events=refs(auth), prev_events=refs(prev))
        if key is not None:
            event["state_key"] = key
        if named:
            event["event_id"] = "$%s:%s" % (name, server)
        if not hashed_room or kind != "m.room.create":
            event["room_id"] = room
        add_hashes_and_signatures(known, event, server, keys[server])
        made[name] = make_event_from_dict(event, known)
        if hashed_room and kind == "m.room.create":
            room = made[name].room_id
        return event

    created = {"room_version": version}
    if int(version) < 11:
        created["creator"] = "@a:a.org"
    base = [] if hashed_room else ["create"]
    users = {} if hashed_room else {"@a:a.org": 100}
    state.append(make("create", "@a:a.org", "m.room.create", created, [], [], ""))
    state.append(make("alice", "@a:a.org", "m.room.member", {"membership": "join"}, base, ["create"], "@a:a.org"))
    state.append(make("power", "@a:a.org", "m.room.power_levels", {"users": users, "ban": 50}, base + ["alice"], ["alice"], ""))
    state.append(make("rules", "@a:a.org", "m.room.join_rules", {"join_rule": "public"}, base + ["alice", "power"], ["power"], ""))
    state.append(make("bob", "@b:b.org", "m.room.member", {"membership": "join"}, base + ["power", "rules"], ["rules"], "@b:b.org"))
    auth = base + ["power", "bob"]
    event = make("text", "@b:b.org", "m.room.message", {"body": "Hello"}, auth, ["bob"])
    ban = make("ban", "@a:a.org", "m.room.member", {"membership": "ban"}, base + ["power", "alice", "bob"], ["bob"], "@b:b.org")
    return {
        "file": {
            "room_version": version,
            "event": dict(event, unsigned={"age": 5}),
            "auth_events": [e for n, e in zip(("create", "alice", "power", "rules", "bob"), state) if n in auth],
            "state": state,
            "current_state": state,
            "keys": {s: {"ed25519:k": encode_verify_key_base64(get_verify_key(k))} for s, k in keys.items()},
        },
        "event_id": made["text"].event_id,
        "room_id": room,
        "ban": ban,
    }


def main():
    with open(os.path.join(HERE, "rooms.jsonl.gz"), "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as out:
        for case in rooms():
            out.write(json.dumps(case, separators=(",", ":")).encode() + b"\n")
    with open(os.path.join(HERE, "checks.jsonl"), "w", encoding="utf-8") as out:
        for version in VERSIONS:
            print(json.dumps(check_case(version)), file=out)


if __name__ == "__main__":
    main()
