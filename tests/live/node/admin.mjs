// The protocol of the Admin UI, with the JavaScript client as the page.  node admin.mjs URL MODE   (the server is tests/live/admin_app.py)
import assert from "node:assert/strict";
import { ask, check, connected, next, refused, require, run, sleep, url } from "./checks.mjs";

const WebSocket = require("ws");
const ADMIN = { username: "admin", password: "let me in" };
const READER = { username: "reader", password: "a secret" };
const COMMANDS = ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"];
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** A page: remembers all that it is told. */
async function look(tools, namespace = "/admin", auth = ADMIN) {
  const page = tools.open(namespace, { auth });
  page.seen = [];
  page.onAny((...event) => page.seen.push(event));
  await next(page, "server_stats"); // the last thing that a newcomer is told
  return page;
}

const told = async (page, name, is = () => true, seconds = 8) => {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(20)) {
    const found = page.seen.find(([event, ...args]) => event === name && is(...args));
    if (found) return found.slice(1);
  }
  assert.fail(`no such ${name}; the last were ${JSON.stringify(page.seen.slice(-6)).slice(0, 3000)}`);
};
const about = (id) => (nsp, sid) => sid === id;
const words = (page, id) => page.seen.filter(([, ...args]) => JSON.stringify(args).includes(id)).map(([event]) => event);

check("a newcomer is told everything in this order", async () => {
  const frames = [];
  const ws = new WebSocket(`${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
  await new Promise((resolve, reject) => {
    ws.on("error", reject);
    ws.on("message", (data) => {
      const text = data.toString();
      if (text[0] === "0") ws.send(`40/admin,${JSON.stringify(ADMIN)}`);
      else frames.push(text.startsWith("42/admin,") ? JSON.parse(text.slice(9)) : [text.slice(0, 9), JSON.parse(text.slice(9))]);
      if (text.includes('"server_stats"')) resolve();
    });
  });
  ws.close();
  const id = frames.find(([what]) => what === "40/admin,")[1].sid;
  const own = frames.filter(([what, ...args]) => what !== "server_stats" && (what !== "room_joined" || args[1] === id) && (what !== "socket_connected" || args[0].id === id));
  const order = own.map(([what]) => what).filter((what) => !["event_received", "event_sent", "socket_updated", "socket_disconnected", "room_left"].includes(what));
  assert.deepEqual(order, ["session", "room_joined", "40/admin,", "socket_connected", "config", "all_sockets", "session"]);
  assert.match(own[0][1], /^[0-9a-f]{16}$/);
  assert.deepEqual(own[1].slice(1, 4), ["/admin", id, id]);
});

check("only the right name and password come in, or a session that they gave", async (tools) => {
  const wrong = [{}, { username: "admin" }, { ...ADMIN, password: "let me out" }, { ...ADMIN, username: "Admin" }, { ...ADMIN, password: ["let me in"] },
    { ...ADMIN, password: null }, { sessionId: "0123456789abcdef" }, { sessionId: ["x"] }, { sessionId: null }];
  for (const auth of wrong) {
    const error = await refused(tools.open("/admin", { auth }));
    assert.equal(error.message, "invalid credentials");
    assert.equal(error.data, undefined);
  }
  const first = await look(tools);
  const [sessionId] = first.seen.find(([event]) => event === "session").slice(1);
  const again = await look(tools, "/admin", { sessionId });
  assert.ok(!again.seen.some(([event]) => event === "session"));
  await refused(tools.open("/admin-read-only", { auth: { sessionId } })); // it is good for the door that gave it
  await look(tools, "/admin-read-only", READER);
  assert.ok(!(await look(tools, "/admin-open", {})).seen.some(([event]) => event === "session"));
});

check("what a page may offer depends on mode and read_only", async (tools) => {
  const config = async (...args) => (await look(tools, ...args)).seen.find(([event]) => event === "config")[1];
  assert.deepEqual(await config(), { supportedFeatures: [...COMMANDS, "AGGREGATED_EVENTS", "ALL_EVENTS"] });
  assert.deepEqual(await config("/admin-read-only", READER), { supportedFeatures: ["AGGREGATED_EVENTS", "ALL_EVENTS"] });
  assert.deepEqual(await config("/admin-production"), { supportedFeatures: [...COMMANDS, "AGGREGATED_EVENTS"] });
});

check("a socket is shown without its secrets", async (tools) => {
  const options = { auth: { token: "secret-token" }, query: { name: "Zoë" }, extraHeaders: { cookie: "sid=secret-cookie", authorization: "secret-word", "x-forwarded-for": "203.0.113.9" } };
  const before = await tools.connect("", options);
  const page = await look(tools);
  const [all] = await told(page, "all_sockets");
  const shown = all.find(({ id }) => id === before.id);
  const after = await tools.connect("", options);
  const [live, at] = await told(page, "socket_connected", ({ id }) => id === after.id);
  assert.match(at, ISO);
  for (const [socket, row] of [[before, shown], [after, live]]) {
    assert.deepEqual(Object.keys(row).sort(), ["clientId", "data", "handshake", "id", "nsp", "rooms", "transport"]);
    assert.deepEqual(Object.keys(row.handshake).sort(), ["address", "headers", "issued", "query", "secure", "time", "url", "xdomain"]);
    assert.equal(row.clientId, socket.io.engine.id.slice(0, 12));
    assert.deepEqual([row.nsp, row.data, row.rooms], ["/", { name: "Zoë" }, [socket.id]]);
    assert.ok(["polling", "websocket"].includes(row.transport));
    assert.equal(row.handshake.address, "203.0.113.9");
    assert.equal(row.handshake.query.name, "Zoë");
    assert.equal(typeof row.handshake.issued, "number");
  }
  assert.ok(!JSON.stringify(page.seen).includes("secret"));
});

check("a client's life is told as it happens", async (tools) => {
  const page = await look(tools);
  const socket = await tools.connect();
  const { id } = socket;
  await ask(socket, "join", "den");
  await ask(socket, "echo", 1, { deep: Buffer.from([1, 2]) });
  socket.emit("tell me", "this", Buffer.from([3]));
  await next(socket, "told");
  await ask(socket, "leave", "den");
  socket.disconnect();
  await told(page, "room_left", (nsp, room, sid) => sid === id && room === id);
  assert.deepEqual(words(page, id).filter((word) => word !== "socket_updated"), ["room_joined", "socket_connected", "event_received", "room_joined", "event_received",
    "event_received", "event_sent", "event_received", "room_left", "socket_disconnected", "room_left"]);
  const received = await told(page, "event_received", (nsp, sid, args) => sid === id && args[0] === "echo");
  assert.deepEqual([received[0], received[2].slice(0, 2), [...received[2][2].deep]], ["/", ["echo", 1], [1, 2]]);
  const sent = await told(page, "event_sent", about(id));
  assert.deepEqual([sent[2].slice(0, 2), [...sent[2][2]]], [["told", "this"], [3]]);
  const joined = await told(page, "room_joined", (nsp, room, sid) => sid === id && room === "den");
  const gone = await told(page, "socket_disconnected", about(id));
  assert.deepEqual([joined.slice(0, 3), gone.slice(0, 3)], [["/", "den", id], ["/", id, "client namespace disconnect"]]);
  for (const args of [received, sent, joined, gone]) assert.match(args.at(-1), ISO);
});

check("a broadcast is one event for each who gets it", async (tools) => {
  const [one, other] = [await tools.connect(), await tools.connect()];
  for (const socket of [one, other]) await ask(socket, "join", "choir");
  const page = await look(tools);
  one.emit("say", "choir", "la");
  for (const { id } of [one, other]) assert.deepEqual((await told(page, "event_sent", about(id)))[2], ["said", "la"]);
});

check("an upgrade and what is remembered are told, live objects included", async (tools) => {
  const page = await look(tools);
  const socket = await tools.connect("", { transports: ["polling", "websocket"] });
  const update = (is) => told(page, "socket_updated", (row) => row.id === socket.id && is(row)).then(([row]) => row);
  assert.deepEqual(await update((row) => row.transport), { id: socket.id, nsp: "/", transport: "websocket" });
  assert.deepEqual((await told(page, "socket_connected", ({ id }) => id === socket.id))[0].data, {});
  await ask(socket, "remember", "thing", "live");
  assert.deepEqual(await update((row) => row.data), { id: socket.id, nsp: "/", data: { thing: "<a live object>" } });
  await ask(socket, "remember", "thing", Buffer.from("abc"));
  assert.deepEqual((await update((row) => row.data?.thing === "<3 bytes>")).data, { thing: "<3 bytes>" });
});

check("the numbers", async (tools) => {
  const page = await look(tools, "/admin-production");
  const polling = await tools.connect("", { transports: ["polling"] });
  await ask(polling, "echo", "x".repeat(1000));
  const types = () => page.seen.filter(([event]) => event === "server_stats").flatMap(([, { aggregatedEvents }]) => aggregatedEvents);
  const [stats] = await told(page, "server_stats", ({ pollingClientsCount }) => pollingClientsCount > 0);
  assert.deepEqual(Object.keys(stats).sort(), ["aggregatedEvents", "clientsCount", "hostname", "namespaces", "pid", "pollingClientsCount", "serverId", "uptime"]);
  assert.ok(stats.clientsCount >= 2 && stats.uptime > 0 && Number.isInteger(stats.pid) && stats.serverId && stats.hostname);
  assert.ok(stats.namespaces.find(({ name }) => name === "/admin-production").socketsCount >= 1);
  polling.io.engine.close();
  for (const type of ["rawConnection", "packetsIn", "packetsOut", "bytesIn", "bytesOut", "rawDisconnection"]) {
    await told(page, "server_stats", () => types().some((one) => one.type === type));
  }
  for (const { timestamp, count } of types()) assert.ok(timestamp % 1000 === 0 && Math.abs(timestamp - Date.now()) < 60_000 && count > 0);
  assert.equal(typeof types().find(({ type }) => type === "rawDisconnection").subType, "string");
  const names = new Set(page.seen.map(([event]) => event));
  assert.deepEqual([...names].sort(), ["config", "server_stats", "session"]); // production: nothing of anybody
});

check("a page emits, and moves sockets between rooms, one or all of a namespace", async (tools) => {
  const page = await look(tools);
  const host = await tools.connect();
  await ask(host, "open namespace", "/stage");
  const [one, other] = [await tools.connect("/stage"), await tools.connect("/stage")];
  const heard = (socket) => next(socket, "note");
  let both = Promise.all([heard(one), heard(other)]);
  page.emit("emit", "/stage", null, "note", 1, { two: 2 });
  assert.deepEqual(await both, [[1, { two: 2 }], [1, { two: 2 }]]);

  page.emit("join", "/stage", "left", one.id);
  await told(page, "room_joined", (nsp, room, sid) => room === "left" && sid === one.id);
  let alone = heard(one);
  other.once("note", () => assert.fail("it is not in the room"));
  page.emit("emit", "/stage", "left", "note", Buffer.from([7]));
  assert.deepEqual([...(await alone)[0]], [7]);
  other.off("note");

  page.emit("join", "/stage", "all");
  for (const { id } of [one, other]) await told(page, "room_joined", (nsp, room, sid) => room === "all" && sid === id);
  page.emit("leave", "/stage", "all", "left");
  await told(page, "room_left", (nsp, room, sid) => room === "all" && sid === one.id);
  page.emit("leave", "/stage", "all");
  await told(page, "room_left", (nsp, room, sid) => room === "all" && sid === other.id);

  for (const bad of [["/nowhere", null, "x"], ["/stage", null, "disconnect"], ["/stage", null, 5], [], [null]]) page.emit("emit", ...bad);
  for (const bad of [["/stage", ""], ["/stage", 7, one.id], []]) page.emit("join", ...bad);
  both = Promise.all([heard(one), heard(other)]);
  page.emit("emit", "/stage", undefined, "note", "still here");
  await both;
  const [stats] = page.seen.filter(([event]) => event === "server_stats").at(-1).slice(1);
  assert.ok(!stats.namespaces.some(({ name }) => name === "/nowhere"));
});

check("a page kicks one, a room, a whole client", async (tools) => {
  const page = await look(tools);
  await ask(await tools.connect(), "open namespace", "/exit");
  const [one, other, third] = [await tools.connect("/exit"), await tools.connect("/exit"), await tools.connect("/exit")];
  const main = await connected(one.io.socket("/")); // the same client, elsewhere
  const kicked = (socket) => next(socket, "disconnect").then(([reason]) => reason);
  let reason = kicked(one);
  page.emit("_disconnect", "/exit", false, one.id);
  assert.equal(await reason, "io server disconnect");
  await ask(main, "echo");
  one.connect();
  await connected(one);
  page.emit("join", "/exit", "out", one.id);
  reason = Promise.all([kicked(one), kicked(main)]);
  page.emit("_disconnect", "/exit", true, "out");
  assert.deepEqual(await reason, ["io server disconnect", "io server disconnect"]);
  assert.ok(third.connected && other.connected);
  reason = kicked(third);
  page.emit("_disconnect", "/exit", false);
  assert.equal(await reason, "io server disconnect");
});

check("one that may only look is not heard", async (tools) => {
  const page = await look(tools, "/admin-read-only", READER);
  const socket = await tools.connect();
  page.emit("_disconnect", "/", true, socket.id);
  page.emit("join", "/", "nowhere", socket.id);
  page.emit("emit", "/", socket.id, "note");
  await told(page, "socket_connected", ({ id }) => id === socket.id);
  await ask(socket, "echo");
  await told(page, "event_received", (nsp, sid, args) => sid === socket.id && args[0] === "echo");
  assert.ok(socket.connected);
  assert.ok(!words(page, socket.id).includes("event_sent") && !page.seen.some(([, , room]) => room === "nowhere"));
});

check("a flood is counted, and shown as far as a page can bear", async (tools) => {
  const page = await look(tools);
  const sockets = await Promise.all(Array.from({ length: 20 }, () => tools.connect()));
  await Promise.all(sockets.map((socket) => ask(socket, "join", "flood")));
  for (let count = 0; count < 200; count++) sockets[0].emit("say", "flood", count);
  const [stats] = await told(page, "server_stats", ({ aggregatedEvents }) => aggregatedEvents.some(({ type }) => type === "eventsNotShown"), 15);
  assert.ok(stats.aggregatedEvents.find(({ type }) => type === "eventsNotShown").count > 0);
  const shown = page.seen.filter(([event, , , args]) => event === "event_sent" && args[0] === "said").length;
  assert.ok(shown >= 20 && shown < 2000, `${shown} rows`);
  sockets[0].emit("say", "flood", "x".repeat(50_000));
  assert.deepEqual((await told(page, "event_received", (nsp, sid, args) => args[1] !== "flood" && args[0] === "say"))[2], ["say", "(50019 bytes: not shown)"]);
  assert.deepEqual((await told(page, "event_sent", (nsp, sid, args) => args[0] === "said" && typeof args[1] === "string"))[2], ["said", "(50012 bytes: not shown)"]);
  assert.ok(page.connected && sockets.every((socket) => socket.connected));
}, { alone: true });

/** What a page knows by now: the rooms of each socket, by id. */
function gathered(page) {
  const known = new Map();
  for (const [event, ...args] of page.seen) {
    if (event === "all_sockets") (known.clear(), args[0].forEach(({ id, rooms }) => known.set(id, new Set(rooms))));
    if (event === "socket_connected") known.set(args[0].id, new Set(args[0].rooms));
    if (event === "socket_disconnected") known.delete(args[1]);
    if (event === "room_joined" && known.has(args[2])) {
      assert.ok(known.get(args[2]).size === 0 || !known.get(args[2]).has(args[1]), `${args[1]} was joined twice`);
      known.get(args[2]).add(args[1]);
    }
    if (event === "room_left") known.get(args[2])?.delete(args[1]);
  }
  return [...known].map(([id, rooms]) => [id, [...rooms].sort()]).sort();
}

check("what a page has gathered is what is there, whatever came and went", async (tools) => {
  const page = await look(tools);
  const random = (count) => Math.floor(Math.random() * count);
  const visit = async () => {
    const socket = await tools.connect();
    for (let step = random(12); step > 0; step--) socket.emit(random(3) ? "join" : "leave", `room ${random(5)}`);
    if (random(2)) await ask(socket, "echo");
    if (random(2)) socket.disconnect();
  };
  for (let round = 0; round < 5; round++) await Promise.all(Array.from({ length: 20 }, visit));
  for (let attempt = 1; ; attempt++) { // the last to leave may still be under way
    const fresh = await look(tools, "/admin-open", {});
    const [all] = fresh.seen.find(([event]) => event === "all_sockets").slice(1);
    await told(page, "socket_connected", ({ id }) => id === fresh.id);
    const rows = all.map(({ id, rooms }) => [id, rooms.sort()]).sort();
    assert.ok(rows.length > 20);
    try {
      return assert.deepEqual(gathered(page), rows);
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}, { alone: true });

await run();
