# SPDX-License-Identifier: Apache-2.0
"""Asks Synapse for its verdict on the cases of this package, so that the tests can compare theirs with it.

It reads case files and writes them back with "ok" and "why" in each case. Only Synapse's public functions are called:
check_state_independent_auth_rules and check_state_dependent_auth_rules of synapse.event_auth. With DIR an absolute path:

    python3 -m venv venv && venv/bin/pip install matrix-synapse==1.163.2
    go test ./pdu/auth -run TestJudged -args -write DIR
    venv/bin/python pdu/auth/testdata/judge.py DIR/*.jsonl
    go test ./pdu/auth -run TestJudged -v -args -read DIR

The files in testdata/judged, which every test run compares with, are made in the same way with -count-per-version 100.

A case file is JSON lines. The first line is {"version": "10", "pool": [sketch, ...]}; every other line is a case:

    {"event": sketch, "state": [index into pool, ...], "auth": [index, ...], "rejected": [index, ...]}

The state is what the event is judged at; pool[state[0]] is the create event. With "auth" the case is about the list of
auth_events instead, "rejected" names those that were refused before. A sketch is {"sender", "type", "content"} with
"state_key" in state events, "first" when the create event is the only previous event, "room" for an event of another room,
"redacts" in redactions of versions 1 and 2, "id" for an event id of versions 1 and 2. The rest of an event is filled in by
complete() here, and likewise in the tests.
"""

import asyncio
import json
import sys

from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.event_auth import (
    check_state_dependent_auth_rules,
    check_state_independent_auth_rules,
)
from synapse.events import make_event_from_dict

HASHED_ROOM_ID = {"12"}
NAMED_EVENT_ID = {"1", "2"}
ROOM = "!room:a"


def complete(version, sketch, create, number):
    """The full event of a sketch, as a dict in federation format."""
    event = {k: sketch[k] for k in ("sender", "type", "content", "state_key", "redacts") if k in sketch}
    event.update(depth=number + 1, origin_server_ts=number, hashes={}, signatures={}, auth_events=[], prev_events=[])
    if create is not None and sketch["type"] != "m.room.create":
        prev = create.event_id if sketch.get("first") else "$other:a"
        event["prev_events"] = [[prev, {}]] if version in NAMED_EVENT_ID else [prev]
    if sketch["type"] == "m.room.create" and sketch.get("prev"):
        event["prev_events"] = [["$other:a", {}]] if version in NAMED_EVENT_ID else ["$other:a"]
    if "room" in sketch:
        event["room_id"] = sketch["room"]
    elif version not in HASHED_ROOM_ID:
        event["room_id"] = ROOM
    elif sketch["type"] != "m.room.create" and create is not None:
        event["room_id"] = create.room_id
    if version in NAMED_EVENT_ID:
        event["event_id"] = sketch.get("id", "$%d:a" % number)
    return event


class Store:
    """The events that a judged event may name."""

    def __init__(self, events):
        self.events = {event.event_id: event for event in events}

    async def get_events(self, event_ids, redact_behaviour, get_prev_content=False, allow_rejected=False):
        return {i: self.events[i] for i in event_ids if i in self.events}


def judge(version, pool, case):
    room_version = KNOWN_ROOM_VERSIONS[version]
    create = None

    def make(index):
        reason = "refused" if index in case.get("rejected", []) else None
        return make_event_from_dict(complete(version, pool[index], create, index), room_version, rejected_reason=reason)

    create = make(case["state"][0])
    state = [create] + [make(i) for i in case["state"][1:]]
    event = complete(version, case["event"], create, len(pool))
    if "auth" in case:
        listed = [create if i == case["state"][0] else make(i) for i in case["auth"]]
        ids = [e.event_id for e in listed]
        event["auth_events"] = [[i, {}] for i in ids] if version in NAMED_EVENT_ID else ids
        made = make_event_from_dict(event, room_version)
        asyncio.run(check_state_independent_auth_rules(Store(state + listed), made))
        return
    made = make_event_from_dict(event, room_version)
    if made.type == "m.room.create":
        asyncio.run(check_state_independent_auth_rules(Store(state), made))
        return
    check_state_dependent_auth_rules(made, state)


def verdict(version, pool, case):
    try:
        judge(version, pool, case)
    except Exception as refusal:  # whatever keeps Synapse from saying yes: the text tells a rule from a crash
        return {"ok": False, "why": "%s: %s" % (type(refusal).__name__, str(refusal)[:80])}
    return {"ok": True, "why": ""}


def main(paths):
    for path in paths:
        with open(path, encoding="utf-8") as f:
            head, *lines = f.read().splitlines()
        header = json.loads(head)
        with open(path, "w", encoding="utf-8") as f:
            print(head, file=f)
            for line in lines:
                answer = json.dumps(verdict(header["version"], header["pool"], json.loads(line)), ensure_ascii=False)
                print(line[:-1] + "," + answer[1:], file=f)  # the line is kept as it is: its numbers must not change


if __name__ == "__main__":
    main(sys.argv[1:])
