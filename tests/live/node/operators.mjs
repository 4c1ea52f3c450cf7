// Operators, acknowledgements of one and of many, remote sockets, volatile events: sections 1.5 and 1.7 to 1.9 of the reference.
import assert from "node:assert/strict";
import { ask, check, mode, next, sleep } from "./checks.mjs";

const HOME = "/operators";
let counter = 0;

/** Sockets in a room of their own: `room` is its name. */
async function crowd(tools, count, options) {
  const sockets = await Promise.all(Array.from({ length: count }, () => tools.connect(HOME, options)));
  const room = `room ${mode} ${process.pid} ${++counter}`;
  await Promise.all(sockets.map((socket) => ask(socket, "change", { to: socket.id }, "sockets_join", room)));
  return { sockets, room };
}

/** What `socket` hears of `name`, in order; `settled` waits until what was sent before has come. */
function ear(socket, name) {
  const heard = [];
  socket.on(name, (...args) => heard.push(args));
  return heard;
}
const settled = (...sockets) => Promise.all(sockets.map((socket) => ask(socket, "rooms")));

// -- 1.5: one socket

check("ack: called once with the client's arguments, binary too", async (tools) => {
  const socket = await tools.connect(HOME);
  socket.on("q", (n, ack) => {
    ack(n, { deep: [Buffer.from([1, 2])] }, null);
    ack("a second call is ignored");
  });
  assert.deepEqual(await ask(socket, "emit with ack", { from: "socket" }, "q", 5), [5, { deep: [Buffer.from([1, 2])] }, null]);
  assert.equal((await ask(socket, "calls"))[0].length, 1);
});

check("timeout: an answer in time has no error, a missing one is AckTimeout, a late one is ignored", async (tools) => {
  const socket = await tools.connect(HOME);
  socket.on("q", (ack) => ack(1, 2));
  let late;
  socket.on("late", (ack) => (late = ack));
  const how = { from: "socket", timeout: 5 };
  assert.deepEqual(await ask(socket, "emit with ack", how, "q"), [null, 1, 2]);
  assert.deepEqual(await ask(socket, "emit with ack", { ...how, timeout: 0.1 }, "late"), ["AckTimeout"]);
  late("too late");
  await settled(socket);
  assert.deepEqual(await ask(socket, "calls"), [[[null, 1, 2], ["AckTimeout"]]]);
});

check("timeout(0) is legal and is over at once", async (tools) => {
  const socket = await tools.connect(HOME);
  assert.deepEqual(await ask(socket, "emit with ack", { from: "socket", timeout: 0 }, "never answered"), ["AckTimeout"]);
});

check("call: one value, several, none; AckTimeout; the keyword beats timeout()", async (tools) => {
  const socket = await tools.connect(HOME);
  socket.on("q", (answers, ack) => ack(...answers));
  const call = async (how, ...args) => (await ask(socket, "call", { from: "socket", ...how }, ...args))[0];
  assert.deepEqual(await call({}, "q", ["one"]), { responses: "one" });
  assert.deepEqual(await call({ volatile: mode === "websocket", timeout: 5 }, "q", ["one", 2]), { responses: ["one", 2] });
  assert.deepEqual(await call({ compress: false }, "q", []), { responses: null });
  assert.equal((await call({ timeout: 0.05 }, "never answered")).error, "AckTimeout");
  const started = Date.now();
  assert.equal((await call({ timeout: 30, keyword: 0.05 }, "never answered")).error, "AckTimeout");
  assert(Date.now() - started < 10_000);
});

check("flags never leak into what is sent later", async (tools) => {
  const socket = await tools.connect(HOME);
  socket.on("plain", (ack) => setTimeout(() => ack("later than any time-out"), 100));
  socket.emit("leaky");
  assert.deepEqual(await next(socket, "plain ack"), ["later than any time-out"]);
});

check("send is the event message, from sockets and to many, with flags", async (tools) => {
  const { sockets, room } = await crowd(tools, 2);
  const heard = sockets.map((socket) => ear(socket, "message"));
  await ask(sockets[0], "send", { from: "socket", compress: false }, 1);
  await ask(sockets[0], "send", { to: room, compress: true }, 2);
  await settled(...sockets);
  assert.deepEqual(heard, [[[1], [2]], [[2]]]);
});

check("a timed acknowledgement and a call end at once when the client goes", async (tools) => {
  const [one, other] = [await tools.connect(HOME), await tools.connect(HOME)];
  other.on("leave", () => other.disconnect());
  const single = { from: "remote", id: other.id };
  const started = Date.now();
  assert.deepEqual(await ask(one, "emit with ack", { ...single, timeout: 15 }, "leave"), ["Disconnected", null]);
  assert(Date.now() - started < 10_000);
});

check("after a namespace was left, emits and acks do nothing, calls raise Disconnected, join is undone", async (tools) => {
  const one = tools.open(HOME, { multiplex: true });
  const [two] = await Promise.all([tools.connect(HOME), next(one, "connect")]);
  const id = one.id;
  const seen = ear(one, "never seen");
  const left = new Promise((resolve) => two.on("left", (who, ...rest) => who === id && resolve(rest)));
  let acked = false;
  one.emit("leave and go on", () => (acked = true));
  const reason = "server namespace disconnect";
  const [told, rooms] = await left;
  assert.deepEqual(told, ["Disconnected", reason, reason].sort());
  assert(!rooms.includes("a room"));
  assert.deepEqual(seen, []);
  assert.equal(acked, false);
});

// -- 1.7: broadcasts

check("to, in, except, arrays: a member of several rooms gets one copy", async (tools) => {
  const { sockets, room } = await crowd(tools, 3);
  const second = room + " second";
  await ask(sockets[0], "change", { to: [sockets[0].id, sockets[1].id] }, "sockets_join", second);
  const heard = sockets.map((socket) => ear(socket, "x"));
  await ask(sockets[0], "emit", { to: [room, second] }, "x", 1);
  await ask(sockets[0], "emit", { to: room, except: second }, "x", 2);
  await ask(sockets[0], "emit", { to: room, except: [sockets[1].id, sockets[2].id] }, "x", 3);
  await ask(sockets[0], "emit", { from: "socket", to: room, except: sockets[2].id }, "x", 4);
  await ask(sockets[0], "emit", { from: "broadcast", to: room, local: true, compress: false }, "x", 5);
  await settled(...sockets);
  assert.deepEqual(heard, [[[1], [3]], [[1], [4], [5]], [[1], [2], [5]]]);
});

check("a broadcast with ack: the first argument of all, in the order in which they came", async (tools) => {
  const { sockets, room } = await crowd(tools, 3);
  sockets[0].on("q", (bytes, ack) => setTimeout(() => ack({ got: bytes }), 300));
  sockets[1].on("q", (bytes, ack) => ack("first", "a second argument is not told"));
  sockets[2].on("q", (bytes, ack) => setTimeout(() => ack(), 100));
  const bytes = Buffer.from([7, 8]);
  const expected = [null, ["first", null, { got: bytes }]];
  assert.deepEqual(await ask(sockets[0], "emit with ack", { to: room, timeout: 10 }, "q", bytes), expected);
  assert.equal((await ask(sockets[0], "calls"))[0].length, 1);
});

check("a broadcast with ack and no timeout waits for the answers", async (tools) => {
  const { sockets, room } = await crowd(tools, 2);
  for (const socket of sockets) socket.on("q", (ack) => setTimeout(() => ack(1), 250));
  assert.deepEqual(await ask(sockets[0], "emit with ack", { to: room }, "q"), [null, [1, 1]]);
  assert.deepEqual(await ask(sockets[0], "call", { to: room }, "q"), [{ responses: [1, 1] }]);
});

check("a broadcast with ack to nobody is answered at once", async (tools) => {
  const socket = await tools.connect(HOME);
  assert.deepEqual(await ask(socket, "emit with ack", { to: "nobody is here" }, "q"), [null, []]);
  assert.deepEqual(await ask(socket, "emit with ack", { to: [], timeout: 5 }, "q"), [null, []]);
  assert.deepEqual(await ask(socket, "call", { to: "nobody is here" }, "q"), [{ responses: [] }]);
});

check("a broadcast's time-out tells what has come; late answers are ignored", async (tools) => {
  const { sockets, room } = await crowd(tools, 3);
  let late;
  sockets[0].on("q", (ack) => ack("in time"));
  sockets[1].on("q", (ack) => (late = ack));
  assert.deepEqual(await ask(sockets[0], "emit with ack", { to: room, timeout: 0.3 }, "q"), ["AckTimeout", ["in time"]]);
  late("too late");
  await settled(sockets[1]);
  assert.deepEqual((await ask(sockets[0], "call", { to: room, timeout: 0.3 }, "q"))[0], { error: "AckTimeout", responses: ["in time"] });
  assert.equal((await ask(sockets[0], "calls"))[0].length, 1);
});

check("a client that leaves before it has answered is not awaited", async (tools) => {
  const { sockets, room } = await crowd(tools, 3);
  sockets[0].on("q", (ack) => ack("stays"));
  sockets[1].on("q", () => sockets[1].disconnect());
  sockets[2].on("q", () => sockets[2].io.engine.close());
  assert.deepEqual(await ask(sockets[0], "emit with ack", { to: room, timeout: 15 }, "q"), [null, ["stays"]]);
});

check("a handler may ask its own client among others, and the sender is left out when it asks others", async (tools) => {
  const { sockets, room } = await crowd(tools, 2);
  sockets.forEach((socket, number) => socket.on("q", (ack) => ack(number)));
  assert.deepEqual((await ask(sockets[0], "call", { to: room }, "q"))[0].responses.sort(), [0, 1]);
  assert.deepEqual(await ask(sockets[0], "call", { from: "broadcast", to: room }, "q"), [{ responses: [1] }]);
});

check("fetch_sockets, sockets_join, sockets_leave, disconnect_sockets", async (tools) => {
  const { sockets, room } = await crowd(tools, 3, { auth: { token: "t" }, query: { mark: "m" } });
  const [one, two, three] = sockets;
  await ask(two, "remember", "bytes", { deep: Buffer.from([1]) });
  const found = (await ask(one, "fetch", { to: room }))[0];
  assert.deepEqual(found.map((each) => each.id).sort(), sockets.map((each) => each.id).sort());
  const second = found.find((each) => each.id === two.id);
  const expected = { id: two.id, rooms: [room, two.id].sort(), data: { bytes: { deep: Buffer.from([1]) } }, auth: { token: "t" }, query: "m", secure: false };
  assert.deepEqual(second, expected);
  assert.equal((await ask(one, "fetch", { from: "broadcast", to: room }))[0].length, 2);
  await ask(one, "change", { to: room, except: three.id }, "sockets_join", [room + "a", room + "b"]);
  await ask(one, "change", { to: room }, "sockets_leave", [room + "a", "never joined"]);
  assert.deepEqual((await ask(two, "rooms"))[0], [room, room + "b", two.id].sort());
  assert.deepEqual((await ask(three, "rooms"))[0], [room, three.id].sort());
  const gone = [next(two, "disconnect"), next(three, "disconnect")];
  await ask(one, "change", { from: "broadcast", to: room }, "disconnect_sockets");
  assert.deepEqual((await Promise.all(gone)).map(([reason]) => reason), ["io server disconnect", "io server disconnect"]);
  assert.equal(one.connected, true);
});

check("disconnect_sockets(close) ends the connection and its other namespaces", async (tools) => {
  const one = await tools.connect(HOME);
  const two = await tools.connect(HOME);
  const main = two.io.socket("/", {});
  await next(main, "connect");
  const gone = next(main, "disconnect");
  await ask(one, "change", { to: two.id }, "disconnect_sockets", true);
  assert.equal((await gone)[0], "io server disconnect");
});

// -- 1.8: remote sockets

check("a remote socket: emit, single response, timeout, join, leave, disconnect", async (tools) => {
  const one = await tools.connect(HOME);
  const two = await tools.connect(HOME);
  const remote = { from: "remote", id: two.id };
  const heard = ear(two, "x");
  two.on("q", (n, ack) => ack(n, "the second is not told"));
  await ask(one, "emit", remote, "x", 1);
  assert.deepEqual(await ask(one, "emit with ack", remote, "q", 5), [null, 5]);
  assert.deepEqual(await ask(one, "call", { ...remote, timeout: 5 }, "q", [6]), [{ responses: [6] }]);
  assert.deepEqual(await ask(one, "emit with ack", { ...remote, timeout: 0.1 }, "never answered"), ["AckTimeout", null]);
  assert.equal((await ask(one, "call", { ...remote, timeout: 0.1 }, "never answered"))[0].error, "AckTimeout");
  const room = "remote " + two.id;
  await ask(one, "change", remote, "join", [room, room + "2"]);
  await ask(one, "change", remote, "leave", room);
  assert.deepEqual((await ask(two, "rooms"))[0], [room + "2", two.id].sort());
  assert.deepEqual(heard, [[1]]);
  const gone = next(two, "disconnect");
  await ask(one, "change", remote, "disconnect");
  assert.equal((await gone)[0], "io server disconnect");
});

check("a remote socket's data is a copy", async (tools) => {
  const socket = await tools.connect(HOME);
  await ask(socket, "remember", "list", [1]);
  assert.deepEqual(await ask(socket, "change copy"), [[1]]);
});

// -- 1.9: volatile

check("a volatile event reaches a client that waits for it, attachments too, and does not disturb others", async (tools) => {
  const socket = await tools.connect(HOME);
  const heard = ear(socket, "x");
  for (let n = 0; !heard.length && n < 100; n++) {
    // a client that polls is not waiting between two polls
    await ask(socket, "emit", { from: "socket", volatile: true }, "x", n, { deep: Buffer.from([1, 2, 3]) });
    await sleep(20);
  }
  assert.deepEqual(heard[0].slice(1), [{ deep: Buffer.from([1, 2, 3]) }]);
  heard.length = 0;
  for (let n = 0; n < 5; n++) {
    await ask(socket, "emit", { from: "socket" }, "x", n);
    await ask(socket, "emit", { from: "socket", volatile: true }, "x", "may be lost", Buffer.from([n]));
    await ask(socket, "emit", { to: socket.id, volatile: true }, "x", "may be lost");
  }
  await settled(socket);
  assert.deepEqual(heard.filter(([n]) => n !== "may be lost"), [[0], [1], [2], [3], [4]]);
});

// -- the adapter, and other servers

check("the adapter: rooms, sids, and what is told about rooms", async (tools) => {
  const socket = await tools.connect(HOME);
  const [a, b] = [socket.id + " a", socket.id + " b"];
  await ask(socket, "change", { to: socket.id }, "sockets_join", [a, b]);
  await ask(socket, "change", { to: socket.id }, "sockets_leave", a);
  const { rooms, sids, news } = (await ask(socket, "adapter"))[0];
  assert.deepEqual(rooms, [b, socket.id].sort());
  assert.deepEqual(sids, rooms);
  assert.deepEqual(news.filter((each) => each[2] === socket.id), [
    ["join-room", socket.id, socket.id],
    ["join-room", a, socket.id],
    ["join-room", b, socket.id],
    ["leave-room", a, socket.id],
  ]);
});

check("alone, other servers have answered at once", async (tools) => {
  const socket = await tools.connect(HOME);
  assert.deepEqual(await ask(socket, "server side"), [[], null, [], true, 0, 1, null]);
});
