// SPDX-License-Identifier: Apache-2.0

// Two users, each with a client made of matrix-js-sdk, on the servers whose client APIs are the two arguments. Each step prints its
// name and how long it took; the first that fails ends the program with 1.

import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

logger.setLevel("error");

const patience = 60_000; // ms, of one step
const [aliceServer, bobServer] = process.argv.slice(2);
if (!bobServer) {
    console.error("usage: node drive.mjs URL URL");
    process.exit(2);
}

// step runs one step of the story.
async function step(name, run) {
    const begun = Date.now();
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not done after ${patience} ms`)), patience);
    });
    try {
        const result = await Promise.race([run(), late]);
        console.log(`ok ${name} (${Date.now() - begun} ms)`);
        return result;
    } catch (error) {
        console.log(`FAILED ${name}: ${error.stack ?? error}`);
        process.exit(1);
    } finally {
        clearTimeout(timer);
    }
}

// until asks again each time that the emitter says something, until the answer is truthy.
function until(emitter, events, ask) {
    return new Promise((resolve, reject) => {
        const check = async () => {
            try {
                const answer = await ask();
                if (!answer) return;
                for (const event of events) emitter.off(event, check);
                clearInterval(poll);
                resolve(answer);
            } catch (error) {
                reject(error);
            }
        };
        for (const event of events) emitter.on(event, check);
        const poll = setInterval(check, 250); // for what no event tells of
        check();
    });
}

function same(got, want, what) {
    if (got !== want) throw new Error(`${what}: got ${got}, want ${want}`);
}

// enter registers a user, logs in again as a client would, and starts syncing.
async function enter(baseUrl, name, options = {}) {
    const door = sdk.createClient({ baseUrl });
    const password = `secret of ${name}`;
    if (options.register !== false) {
        await door.registerRequest({ username: name, password, auth: { type: "m.login.dummy" }, inhibit_login: true });
    }
    const login = await door.loginRequest({
        type: "m.login.password", identifier: { type: "m.id.user", user: name }, password, initial_device_display_name: "drive",
    });
    const client = sdk.createClient({
        baseUrl, accessToken: login.access_token, userId: login.user_id, deviceId: login.device_id,
    });
    await client.initRustCrypto({ useIndexedDB: false });
    await client.startClient({ initialSyncLimit: options.limit ?? 20, lazyLoadMembers: true });
    await until(client, ["sync"], () => client.getSyncState() === "PREPARED" || client.getSyncState() === "SYNCING");
    return client;
}

// hears waits until a client has a message of somebody in a room, and can read it.
function hears(client, roomId, body) {
    return until(client, ["Room.timeline", "Event.decrypted"], () =>
        client.getRoom(roomId)?.getLiveTimeline().getEvents().find((e) => !e.isRedacted() && e.getContent().body === body),
    );
}

const say = (client, roomId, body) => client.sendMessage(roomId, { msgtype: "m.text", body });

const stamp = Date.now().toString(36);
const alice = await step("alice registers, logs in and syncs", () => enter(aliceServer, `alice-${stamp}`));
const bob = await step("bob registers, logs in and syncs", () => enter(bobServer, `bob-${stamp}`));

const { room_id: room } = await step("alice creates an encrypted room and invites bob", () =>
    alice.createRoom({
        preset: "private_chat", name: "a drive", invite: [bob.getUserId()],
        initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    }),
);
await step("bob sees the invitation, and the room's name in it", () =>
    until(bob, ["Room", "Room.myMembership", "Room.name"], () =>
        bob.getRoom(room)?.getMyMembership() === "invite" && bob.getRoom(room).name === "a drive"),
);
await step("bob joins", () => bob.joinRoom(room));
await step("alice sees bob in the room", () =>
    until(alice, ["RoomMember.membership", "RoomState.events"], () => alice.getRoom(room)?.getMember(bob.getUserId())?.membership === "join"),
);
await step("bob has the room with its encryption", () =>
    until(bob, ["Room", "RoomState.events"], () => bob.getRoom(room)?.hasEncryptionStateEvent()),
);

await step("alice says something", () => say(alice, room, "hello, bob"));
const heard = await step("bob decrypts it", () => hears(bob, room, "hello, bob"));
same(heard.isEncrypted(), true, "the message was encrypted");
await step("bob answers", () => say(bob, room, "hello, alice"));
await step("alice decrypts it", () => hears(alice, room, "hello, alice"));

await step("alice types, and bob sees it", async () => {
    await alice.sendTyping(room, true, 20_000);
    await until(bob, ["RoomMember.typing"], () => bob.getRoom(room).getMember(alice.getUserId())?.typing);
});
await step("alice has stopped, and bob sees it", async () => {
    await alice.sendTyping(room, false, 0);
    await until(bob, ["RoomMember.typing"], () => !bob.getRoom(room).getMember(alice.getUserId()).typing);
});

await step("bob has read, and alice sees how far", async () => {
    await bob.sendReadReceipt(heard);
    await until(alice, ["Room.receipt"], () => alice.getRoom(room).hasUserReadEvent(bob.getUserId(), heard.getId()));
});

await step("alice takes back what she said, and bob sees it gone", async () => {
    await alice.redactEvent(room, heard.getId());
    await until(bob, ["Room.redaction", "Room.timeline"], () => bob.getRoom(room).findEventById(heard.getId())?.isRedacted());
});

await step("bob pages back to the start", async () => {
    const count = 30;
    for (let i = 0; i < count; i++) await say(alice, room, `number ${i}`);
    await hears(bob, room, `number ${count - 1}`);
    const late = await enter(bobServer, `bob-${stamp}`, { register: false, limit: 5 });
    try {
        const there = late.getRoom(room);
        const has = (type) => there.getLiveTimeline().getEvents().some((e) => e.getType() === type);
        for (let page = 0; page < 20 && there.getLiveTimeline().getPaginationToken("b") !== null; page++) {
            await late.scrollback(there, 10);
        }
        same(has("m.room.create"), true, "the create event was reached");
        const ids = there.getLiveTimeline().getEvents().map((e) => e.getId());
        same(new Set(ids).size, ids.length, "no event came twice");
        const messages = there.getLiveTimeline().getEvents().filter((e) => ["m.room.message", "m.room.encrypted"].includes(e.getWireType()));
        same(messages.length >= count + 1, true, `${messages.length} messages came, no fewer than were sent`);
    } finally {
        late.stopClient();
    }
});

await step("alice uploads a picture, and bob fetches it", async () => {
    // One red pixel, as PNG.
    const picture = Buffer.from(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==", "base64");
    const { content_uri: uri } = await alice.uploadContent(picture, { type: "image/png", name: "pixel.png" });
    const url = bob.mxcUrlToHttp(uri, undefined, undefined, undefined, false, true, true);
    const answer = await fetch(url, { headers: { Authorization: `Bearer ${bob.getAccessToken()}` } });
    same(answer.status, 200, "the download's status");
    same(answer.headers.get("content-type"), "image/png", "its type");
    same(Buffer.compare(Buffer.from(await answer.arrayBuffer()), picture), 0, "its content differs by");
});

alice.stopClient();
bob.stopClient();
process.exit(0);
