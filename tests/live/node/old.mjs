// The client of Socket.IO v2 (npm's socket.io-client 2.5.0) against a server with allow_eio3: node old.mjs URL MODE
import assert from "node:assert/strict";
import { check, mode, note, require, run, transports, url } from "./checks.mjs";

const io2 = require("socket.io-client-2");
const { io: io4 } = require("socket.io-client");
const all = [];

const open = (namespace = "", options = {}) => {
  const socket = io2(url + namespace, { transports, forceNew: true, reconnection: false, ...options });
  all.push(socket);
  return socket;
};
const next = (socket, name) => new Promise((resolve) => socket.once(name, (...args) => resolve(args)));
const ask = (socket, name, ...args) => new Promise((resolve) => socket.emit(name, ...args, (...response) => resolve(response)));
const connect = async (namespace, options) => {
  const socket = open(namespace, options);
  if (!socket.connected) await next(socket, "connect");
  return socket;
};

check("v2: it connects without asking, under the engine's id", async () => {
  const socket = await connect();
  const me = (await ask(socket, "whoami"))[0];
  assert.equal(me.id, socket.id);
  assert.equal(socket.id, socket.io.engine.id);
  assert.deepEqual(me.auth, {});
  assert.equal(me.query.EIO, "3");
  socket.close();
});

check("v2: several arguments, text beyond every plane, binary both ways", async () => {
  const socket = await connect();
  const texts = ["Zoë ✓ 😀 𝄞", "\u2028\u2029\\n\\\\n", "", "x".repeat(50_000) + "😀"];
  assert.deepEqual(await ask(socket, "echo", 1, null, ...texts, { deep: [true] }), [1, null, ...texts, { deep: [true] }]);
  const bytes = [Buffer.from([0, 255, 4, 98]), Buffer.alloc(70_000, 7), Buffer.alloc(0)];
  const [first, second, third, text] = await ask(socket, "echo", bytes[0], { deep: [bytes[1]] }, bytes[2], "text 😀 beside");
  assert.deepEqual([...new Uint8Array(first)], [...bytes[0]]);
  assert.equal(Buffer.compare(Buffer.from(second.deep[0]), bytes[1]), 0);
  assert.equal(third.length ?? third.byteLength, 0);
  assert.equal(text, "text 😀 beside");
  assert.deepEqual(await ask(socket, "kinds", bytes[0], [1], {}), ["bytes", "list", "dict"]);
  socket.close();
});

check("v2: binary as base64, where bytes cannot be had", async () => {
  const socket = await connect("", { forceBase64: true });
  const [back] = await ask(socket, "echo", Buffer.from([1, 2, 3]));
  assert.deepEqual([...new Uint8Array(back)], [1, 2, 3]);
  socket.close();
});

check("v2: acknowledgements both ways, and calls", async () => {
  const socket = await connect();
  assert.deepEqual(await ask(socket, "answer with", "none"), []);
  assert.equal((await ask(socket, "answer with", "several")).length, 3);
  socket.on("question", (n, answer) => answer(n + 1, Buffer.from("b")));
  const [number, buffer] = (await ask(socket, "call back", "question", 1));
  assert.equal(number, 2);
  assert.equal(Buffer.from(buffer).toString(), "b");
  socket.close();
});

check("v2: rooms and broadcasts, beside a client of v4", async () => {
  const room = "room" + Math.random();
  const [old, other] = await Promise.all([connect(), connect()]);
  const young = io4(url, { transports, forceNew: true });
  await new Promise((resolve) => young.once("connect", resolve));
  await Promise.all([old, other].map((socket) => ask(socket, "join", room)));
  await young.emitWithAck("join", room);
  const got = { old: [], other: [], young: [] };
  old.on("news", (...args) => got.old.push(args));
  other.on("news", (...args) => got.other.push(args));
  young.on("news", (...args) => got.young.push(args));
  await ask(old, "tell", { to: room }, "news", 1, Buffer.from("bytes"));
  await ask(old, "tell", { from: "socket", to: room }, "news", 2, "😀");
  await young.emitWithAck("echo");
  await Promise.all([ask(old, "echo"), ask(other, "echo")]);
  const plain = (list) => list.map(([n, value]) => [n, typeof value === "string" ? value : Buffer.from(value).toString()]);
  assert.deepEqual(plain(got.old), [[1, "bytes"]]);
  assert.deepEqual(plain(got.other), [[1, "bytes"], [2, "😀"]]);
  assert.deepEqual(plain(got.young), [[1, "bytes"], [2, "😀"]]);
  young.disconnect();
  old.close();
  other.close();
});

check("v2: a namespace is asked for with a query, which is its auth", async () => {
  const socket = await connect("/custom?token=abc&empty=");
  const [me] = await ask(socket, "whoami");
  assert.equal(me.id, "/custom#" + socket.io.engine.id);
  assert.deepEqual(me.auth, { token: "abc", empty: "" });
  socket.close();
});

check("v2: several namespaces share a connection, and one can be left", async () => {
  const main = await connect();
  const custom = main.io.socket("/custom");
  await next(custom, "connect");
  assert.deepEqual(await ask(custom, "echo", 1), [1]);
  custom.close();
  assert.deepEqual(await ask(main, "echo", 2), [2]);
  main.close();
});

check("v2: middleware refuses with its data, and an unknown namespace is refused", async () => {
  const refused = open("/refusing?token=wrong");
  assert.deepEqual((await next(refused, "error"))[0], { content: "Please retry later" });
  const later = open("/broken");
  assert.equal((await next(later, "error"))[0], "internal server error");
  const nowhere = open("/nowhere");
  assert.deepEqual((await next(nowhere, "error"))[0], { message: "Invalid namespace" });
  for (const socket of [refused, later, nowhere]) socket.close();
  const allowed = await connect("/refusing?token=let%20me%20in");
  allowed.close();
});

check("v2: the client leaves, and the server hears why", async () => {
  const socket = await connect();
  const id = socket.id;
  socket.close();
  assert.match((await note(id, "disconnect"))[1], /client namespace disconnect|transport close/);
});

check("v2: the server disconnects the client", async () => {
  const socket = await connect();
  socket.emit("quit");
  assert.deepEqual(await next(socket, "disconnect"), ["io server disconnect"]);
  socket.close();
});

check("v2: a client whose connection is closed comes back by itself", async () => {
  const socket = await connect("", { reconnection: true, reconnectionDelay: 10 });
  const id = socket.id;
  socket.emit("close connection");
  await next(socket, "disconnect");
  await next(socket, "connect");
  assert.notEqual(socket.id, id);
  assert.deepEqual(await ask(socket, "echo", 1), [1]);
  socket.close();
});

check("v2: a thousand events each way keep their order, upgrading or not", async () => {
  const socket = open();
  const got = [];
  socket.on("n", (n) => got.push(n));
  for (let number = 0; number < 500; number++) socket.emit("count", number);
  socket.emit("please emit many", "n", 1000);
  for (let number = 500; number < 1000; number++) socket.emit("count", number);
  const [counted] = await ask(socket, "counted");
  assert.deepEqual(counted, [...Array(1000).keys()]);
  await ask(socket, "echo");
  assert.deepEqual(got, [...Array(1000).keys()]);
  if (mode === "upgrade") assert.equal(socket.io.engine.transport.name, "websocket");
  socket.close();
});

check("v2: what the connection handler emits during an upgrade keeps its order", async () => {
  const socket = open("/burst");
  const got = [];
  socket.on("n", (n, value) => got.push([n, typeof value === "string" ? value : Buffer.from(value).toString()]));
  await next(socket, "connect");
  if (mode === "upgrade" && socket.io.engine.transport.name !== "websocket") await next(socket.io.engine, "upgrade");
  await ask(socket, "echo"); // all that was sent before has come
  assert.deepEqual(got, [...Array(300).keys()].map((n) => [n, n % 10 === 0 ? "binary" : "😀"]));
  assert.equal(socket.io.engine.transport.name, mode === "polling" ? "polling" : "websocket");
  socket.close();
});

check("v2: a namespace that was left can be entered again on the same connection", async () => {
  const main = await connect();
  const custom = main.io.socket("/custom", { query: "turn=1" });
  await next(custom, "connect");
  custom.close();
  custom.query = "turn=2";
  custom.open();
  await next(custom, "connect");
  assert.deepEqual((await ask(custom, "whoami"))[0].auth, { turn: "2" });
  assert.ok(main.connected);
  main.close();
  custom.close();
});

check("v2: heartbeats keep a quiet client, and a silent one is given up", async () => {
  const quiet = await connect();
  const silent = await connect();
  const id = silent.id;
  silent.io.engine.ping = silent.io.engine.onHeartbeat = () => {};
  silent.io.engine.off("heartbeat");
  clearTimeout(silent.io.engine.pingTimeoutTimer); // it would give up at the same time
  assert.equal((await note(id, "disconnect"))[1], "ping timeout");
  assert.ok(quiet.connected);
  assert.deepEqual(await ask(quiet, "echo", 1), [1]);
  quiet.close();
  silent.close();
});

check("v2: the server ends the polls and WebSockets of clients that speak the wrong way", async () => {
  const socket = await connect();
  const id = socket.id;
  socket.io.engine.sendPacket("pong");
  assert.equal((await note(id, "disconnect"))[1], "transport error");
  socket.close();
});

await run();
for (const socket of all) socket.close();
