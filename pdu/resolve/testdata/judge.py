# SPDX-License-Identifier: Apache-2.0
"""Resolves the state of rooms with Synapse's own algorithms, to compare with ours.

Usage:  python judge.py <rooms.jsonl >answers.jsonl     (needs `pip install matrix-synapse==1.163.2`)

A line in is a room: {"version", "events": [{event_id, type, state_key, sender, content, depth, origin_server_ts,
room_id, auth_events, prev_events, rejected}], "sets": [[event ids of one state], ...]}. A line out is {"want", "as_is"}: the
sorted event ids of the resolved state. Nothing of Synapse's store is used: events and auth chains are handed over from here. The full
auth chain of a state holds the events of the state as well, as it does in Synapse's store.

"as_is" is Synapse's answer. Synapse leaves rejected events out of the resolved state, and says in synapse/state/v2.py that the
specification does not. "want" is the answer of the same code when that check finds no event rejected: a rejected event then counts
for nothing only as somebody's auth event (rooms/v2, "Iterative auth checks"). Version 1 knows no rejected events.
"""

import asyncio
import json
import logging
import sys

import synapse.event_auth  # noqa: F401  before synapse.state: the two import each other
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.state import v1, v2
from synapse.storage.databases.main.event_federation import StateDifference


class Event:
    """As much of an event as the algorithms look at."""

    def __init__(self, room, fields, reason=None):
        self.__dict__.update(fields)
        self.fields = fields
        self.room_version = KNOWN_ROOM_VERSIONS[room["version"]]
        self.rejected_reason = reason
        self.unsigned = {}
        self.signatures = {}

    @property
    def membership(self):
        return self.content["membership"]

    def get(self, key, default=None):
        return self.fields.get(key, default)

    def is_state(self):
        return True

    def get_state_key(self):
        return self.state_key

    def prev_event_ids(self):
        return self.prev_events

    def auth_event_ids(self):
        # In room version 12 Synapse adds the create event, which the room id implies, to what the event itself lists.
        if self.room_version.msc4291_room_ids_as_hashes and self.type != "m.room.create":
            return self.auth_events + ["$" + self.room_id[1:]]
        return self.auth_events


class Store:
    """The part of the event store that state resolution v2 asks for."""

    def __init__(self, events, as_auth_events):
        self.events = events
        self.as_auth_events = as_auth_events  # what the same events are as somebody's auth events

    async def get_events(self, event_ids, allow_rejected=False):
        return {i: self.events[i] for i in event_ids if i in self.events}

    def below(self, ids):
        """The given events and all that their auth events lead to."""
        seen, todo = set(), list(ids)
        while todo:
            i = todo.pop()
            if i not in seen:
                seen.add(i)
                todo.extend(self.events[i].auth_event_ids())
        return seen

    async def get_auth_chain_difference(self, room_id, state_sets, conflicted_state, additional):
        chains = [self.below(s) for s in state_sets]
        difference = set.union(*chains) - set.intersection(*chains)
        if conflicted_state is None:
            return StateDifference(auth_difference=difference, conflicted_subgraph=None)
        subgraph = {i for i in self.below(conflicted_state) if not conflicted_state.isdisjoint(self.below([i]))}
        return StateDifference(auth_difference=difference, conflicted_subgraph=subgraph)


class Clock:
    async def sleep(self, duration):
        pass


original_get_event = v2._get_event


async def get_event(room_id, event_id, event_map, store, allow_none=False):
    """v2._get_event: it allows none where it looks an auth event of an event up, and only there."""
    event = await original_get_event(room_id, event_id, event_map, store, allow_none)
    return store.as_auth_events[event_id] if allow_none and event is not None else event


v2._get_event = get_event


async def resolve_with(room, events, as_auth_events):
    sets = [{(events[i].type, events[i].state_key): i for i in s} for s in room["sets"]]
    version = KNOWN_ROOM_VERSIONS[room["version"]]
    room_id = room["events"][0]["room_id"]
    store = Store(events, as_auth_events)
    if room["version"] == "1":
        state = await v1.resolve_events_with_store(room_id, version, sets, None, store.get_events)
    else:
        state = await v2.resolve_events_with_store(Clock(), room_id, version, sets, None, store)
    return sorted(state.values())


async def resolve(room):
    plain = {e["event_id"]: Event(room, e) for e in room["events"]}
    if room["version"] == "1" or not any(e.get("rejected") for e in room["events"]):
        want = await resolve_with(room, plain, plain)
        return {"want": want, "as_is": want}
    marked = {e["event_id"]: Event(room, e, "rejected" if e.get("rejected") else None) for e in room["events"]}
    return {"want": await resolve_with(room, plain, marked), "as_is": await resolve_with(room, marked, marked)}


async def main():
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        print(json.dumps(await resolve(json.loads(line))))


if __name__ == "__main__":
    asyncio.run(main())
