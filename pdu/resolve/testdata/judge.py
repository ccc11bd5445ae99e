# SPDX-License-Identifier: Apache-2.0
"""Resolves the state of rooms with Synapse's own algorithms, to compare with ours.

Usage:  python judge.py <rooms.jsonl >answers.jsonl     (needs `pip install matrix-synapse==1.163.2`)

A line in is a room: {"version", "events": [{event_id, type, state_key, sender, content, depth, origin_server_ts,
room_id, auth_events, prev_events}], "sets": [[event ids of one state], ...]}. A line out is the sorted list of the event
ids of the resolved state. Nothing of Synapse's store is used: events and auth chains are handed over from here. The full
auth chain of a state holds the events of the state as well, as it does in Synapse's store.
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

    def __init__(self, room, fields):
        self.__dict__.update(fields)
        self.fields = fields
        self.room_version = KNOWN_ROOM_VERSIONS[room["version"]]
        self.rejected_reason = None
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

    def __init__(self, events):
        self.events = events

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
        subgraph = {i for i in self.below(conflicted_state) if self.below([i]) & conflicted_state}
        return StateDifference(auth_difference=difference, conflicted_subgraph=subgraph)


class Clock:
    async def sleep(self, duration):
        pass


async def resolve(room):
    events = {e["event_id"]: Event(room, e) for e in room["events"]}
    sets = [{(events[i].type, events[i].state_key): i for i in s} for s in room["sets"]]
    version = KNOWN_ROOM_VERSIONS[room["version"]]
    room_id = room["events"][0]["room_id"]
    store = Store(events)
    if room["version"] == "1":
        state = await v1.resolve_events_with_store(room_id, version, sets, None, store.get_events)
    else:
        state = await v2.resolve_events_with_store(Clock(), room_id, version, sets, None, store)
    return sorted(state.values())


def main():
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        print(json.dumps(asyncio.run(resolve(json.loads(line)))))


if __name__ == "__main__":
    main()
