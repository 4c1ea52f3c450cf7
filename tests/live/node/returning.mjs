// What a client sees of recovery: node returning.mjs URL MODE. Connections are cut by the client's own engine, so it comes back by itself.
import assert from "node:assert/strict";
import { ask, check, connected, next, run } from "./checks.mjs";

const OPTIONS = { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 20 };

/** Cut the connection and wait until the client is connected again. */
async function cut(socket) {
  const back = next(socket, "connect");
  socket.io.engine.close();
  await back;
}

check("id, rooms, data and missed events are there when connect is told", async (tools) => {
  const socket = await tools.connect("", OPTIONS);
  assert.equal(socket.recovered, false);
  const { id } = socket;
  socket.emit("remember", "name", "Ada");
  socket.emit("when_gone", 1, Buffer.from([2]));
  assert.equal((await ask(socket, "state"))[0].recovered, false);
  const seen = [];
  socket.on("missed", (...args) => seen.push(["missed", ...args.slice(0, 2)]));
  socket.on("connect", () => seen.push(["connect", socket.recovered, socket.id]));
  await cut(socket);
  const own = await ask(socket, "state");
  assert.deepEqual(seen.find(([word]) => word === "connect"), ["connect", true, id]);
  assert.equal(seen.filter(([, number]) => number === 1).length, 1);
  assert.deepEqual(seen.find(([, number]) => number === 1)[2], Buffer.from([2]));
  assert.deepEqual(own[0], { id, recovered: true, rooms: [id, "told later"].sort(), data: { name: "Ada" } });
}, { alone: true });

check("a client that has received nothing yet is recovered, time and again", async (tools) => {
  const socket = await tools.connect("", OPTIONS);
  const { id } = socket;
  for (let time = 0; time < 3; time++) {
    await cut(socket);
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
  }
}, { alone: true });

check("events that are not sent again do not hide the offset", async (tools) => {
  const socket = await tools.connect("", OPTIONS);
  const { id } = socket;
  const asked = next(socket, "question");
  socket.emit("confuse");
  await asked;
  await cut(socket);
  assert.equal(socket.recovered, true);
  assert.equal(socket.id, id);
}, { alone: true });

check("who was told to go begins anew", async (tools) => {
  const socket = await tools.connect("", OPTIONS);
  const { id } = socket;
  const gone = next(socket, "disconnect");
  socket.emit("leave");
  assert.equal((await gone)[0], "io server disconnect");
  await connected(socket.connect());
  assert.equal(socket.recovered, false);
  assert.notEqual(socket.id, id);
}, { alone: true });

check("namespaces of one connection are recovered each for itself", async (tools) => {
  const main = await tools.connect("", OPTIONS);
  const other = await connected(main.io.socket("/other"));
  const ids = [main.id, other.id];
  other.emit("when_gone", "there");
  await ask(other, "state");
  const back = Promise.all([next(main, "connect"), next(other, "connect"), next(other, "missed")]);
  main.io.engine.close();
  const [, , [text]] = await back;
  assert.equal(text, "there");
  assert.deepEqual([main.recovered, other.recovered], [true, true]);
  assert.deepEqual([main.id, other.id], ids);
}, { alone: true });

await run();
