// Rooms and broadcasts: who gets what, and how often.
import assert from "node:assert/strict";
import { ask, check, sleep } from "./checks.mjs";

/** Connect `count` sockets that note every "news"; `all` waits until whatever was sent before has arrived everywhere. */
async function people(tools, count) {
  const sockets = await Promise.all(Array.from({ length: count }, () => tools.connect()));
  const got = sockets.map(() => []);
  sockets.forEach((socket, number) => socket.on("news", (...args) => got[number].push(...args)));
  const all = async () => {
    await Promise.all(sockets.map((socket) => ask(socket, "echo")));
    const seen = got.map((list) => list.splice(0));
    return seen;
  };
  return { sockets, all };
}

check("join, leave, rooms", async (tools) => {
  const socket = await tools.connect();
  assert.deepEqual(await ask(socket, "rooms"), [[socket.id]]);
  await ask(socket, "join", ["a", "b"]);
  await ask(socket, "join", "a");
  assert.deepEqual((await ask(socket, "rooms"))[0], ["a", "b", socket.id].sort());
  await ask(socket, "leave", "a");
  await ask(socket, "leave", "never joined");
  assert.deepEqual((await ask(socket, "rooms"))[0], ["b", socket.id].sort());
});

check("rooms, unions, exceptions: each member gets an event once", async (tools) => {
  const mark = Math.random().toString(36);
  const [one, two, three] = ["one", "two", "three"].map((name) => name + mark);
  const { sockets, all } = await people(tools, 5);
  const [a, b, c, d, e] = sockets;
  await Promise.all([ask(a, "join", [one, two]), ask(b, "join", one), ask(c, "join", two), ask(d, "join", [two, three])]);
  const tell = (whom, ...args) => ask(e, "tell", whom, "news", ...args);
  await tell({ to: one }, 1);
  assert.deepEqual(await all(), [[1], [1], [], [], []]);
  await tell({ to: [one, two] }, 2);
  assert.deepEqual(await all(), [[2], [2], [2], [2], []]);
  await tell({ to: one, in: two }, 3);
  assert.deepEqual(await all(), [[3], [3], [3], [3], []]);
  await tell({ to: [one, two], except: three }, 4);
  assert.deepEqual(await all(), [[4], [4], [4], [], []]);
  await tell({ to: two, except: [one, three] }, 5);
  assert.deepEqual(await all(), [[], [], [5], [], []]);
  await tell({ to: [a.id, e.id] }, 6);
  assert.deepEqual(await all(), [[6], [], [], [], [6]]);
  await tell({ to: [one, two], except: [a.id] }, 7);
  assert.deepEqual(await all(), [[], [7], [7], [7], []]);
  await tell({ to: [] }, 8);
  await tell({ to: "nobody is in here" }, 9);
  assert.deepEqual(await all(), [[], [], [], [], []]);
  await tell({ to: one }, 10, "several", { args: true });
  assert.deepEqual((await all())[1], [10, "several", { args: true }]);
});

check("a broadcast leaves the sender out", async (tools) => {
  const room = "room" + Math.random();
  const { sockets, all } = await people(tools, 3);
  await Promise.all(sockets.map((socket) => ask(socket, "join", room)));
  await ask(sockets[0], "tell", { from: "socket", to: room }, "news", 1);
  assert.deepEqual(await all(), [[], [1], [1]]);
  await ask(sockets[1], "tell", { from: "broadcast", in: room }, "news", 2);
  assert.deepEqual(await all(), [[2], [], [2]]);
  await ask(sockets[1], "tell", { from: "socket", to: room, except: sockets[0].id }, "news", 3);
  assert.deepEqual(await all(), [[], [], [3]]);
});

check("binary is broadcast", async (tools) => {
  const room = "binary" + Math.random();
  const { sockets, all } = await people(tools, 3);
  await Promise.all(sockets.map((socket) => ask(socket, "join", room)));
  await ask(sockets[0], "tell", { to: room }, "news", { a: Buffer.from([1, 2]) }, Buffer.from("b"));
  for (const [first, second] of await all()) {
    assert.deepEqual([...new Uint8Array(first.a)], [1, 2]);
    assert.equal(Buffer.from(second).toString(), "b");
  }
});

check(
  "everyone is everyone, in this namespace only",
  async (tools) => {
    const { sockets, all } = await people(tools, 4);
    const custom = await tools.connect("/custom");
    let strange = 0;
    custom.on("news", () => strange++);
    await ask(sockets[0], "tell", {}, "news", 1);
    assert.deepEqual(await all(), [[1], [1], [1], [1]]);
    await ask(sockets[0], "tell", { from: "broadcast" }, "news", 2);
    assert.deepEqual(await all(), [[], [2], [2], [2]]);
    await ask(sockets[0], "tell", { from: "io", except: [sockets[1].id, sockets[2].id] }, "news", 3);
    assert.deepEqual(await all(), [[3], [], [], [3]]);
    await ask(custom, "echo");
    assert.equal(strange, 0);
  },
  { alone: true },
);

check("who has left gets nothing more and is in no room", async (tools) => {
  const room = "left" + Math.random();
  const { sockets, all } = await people(tools, 3);
  await Promise.all(sockets.map((socket) => ask(socket, "join", room)));
  await ask(sockets[2], "leave", room);
  sockets[1].disconnect();
  await ask(sockets[0], "tell", { to: room }, "news", 1);
  await sleep(50);
  await ask(sockets[2], "echo");
  sockets.splice(1, 1);
  assert.deepEqual((await all())[0], [1]);
});

check("broadcasts keep the order in which they were sent", async (tools) => {
  const room = "order" + Math.random();
  const { sockets, all } = await people(tools, 3);
  await Promise.all(sockets.map((socket) => ask(socket, "join", room)));
  for (let number = 0; number < 300; number++) sockets[0].emit("tell", { to: room }, "news", number);
  await ask(sockets[0], "echo");
  for (const got of await all()) assert.deepEqual(got, [...Array(300).keys()]);
});
