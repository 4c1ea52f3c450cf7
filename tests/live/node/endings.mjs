// How it ends, and what both sides say about it.
import assert from "node:assert/strict";
import { ask, check, connected, mode, next, note, sleep } from "./checks.mjs";

check("the client disconnects", async (tools) => {
  const socket = await tools.connect();
  const { id } = socket;
  await ask(socket, "join", "somewhere");
  const ended = next(socket, "disconnect");
  socket.disconnect();
  assert.equal((await ended)[0], "io client disconnect");
  const [, reason, rooms, isConnected] = await note(id, "disconnect");
  // The last socket of a connection says goodbye with it; either may be seen first.
  assert.match(reason, /^(client namespace disconnect|transport close)$/);
  assert.deepEqual([rooms, isConnected], [[], false]);
  assert.deepEqual((await note(id, "disconnecting"))[2], [id, "somewhere"].sort());
});

check("the client leaves one of two namespaces", async (tools) => {
  const main = await tools.connect();
  const custom = main.io.socket("/custom");
  await connected(custom);
  const { id } = custom;
  custom.disconnect();
  assert.equal((await note(id, "disconnect"))[1], "client namespace disconnect");
  assert.deepEqual(await ask(main, "echo", 1), [1]);
});

check("the client closes its connection", async (tools) => {
  const socket = await tools.connect();
  const { id } = socket;
  const ended = next(socket, "disconnect");
  socket.io.engine.close();
  assert.equal((await ended)[0], "forced close");
  assert.match((await note(id, "disconnect"))[1], /^transport (close|error)$/);
});

check("the server disconnects the socket", async (tools) => {
  const socket = await tools.connect();
  const { id } = socket;
  const [farewell, ended] = [next(socket, "farewell"), next(socket, "disconnect")];
  socket.on("never seen", () => assert.fail("it was seen"));
  socket.emit("quit");
  await farewell;
  assert.equal((await ended)[0], "io server disconnect");
  assert.equal((await note(id, "disconnect"))[1], "server namespace disconnect");
});

check("the server disconnects one namespace, the other goes on", async (tools) => {
  const main = await tools.connect();
  const custom = main.io.socket("/custom");
  await connected(custom);
  const ended = next(custom, "disconnect");
  custom.emit("quit");
  assert.equal((await ended)[0], "io server disconnect");
  assert.deepEqual(await ask(main, "echo", 1), [1]);
  custom.connect();
  await connected(custom);
});

check("the server disconnects the whole client", async (tools) => {
  const main = await tools.connect();
  const custom = main.io.socket("/custom");
  await connected(custom);
  const ids = [main.id, custom.id];
  const ended = [next(main, "disconnect"), next(custom, "disconnect")];
  main.emit("quit", true);
  for (const one of ended) assert.equal((await one)[0], "io server disconnect");
  for (const id of ids) assert.equal((await note(id, "disconnect"))[1], "server namespace disconnect");
  for (let round = 0; main.io.engine?.readyState !== "closed" && round < 200; round++) await sleep(10);
  assert.equal(main.io.engine.readyState, "closed");
});

check("the server closes the connection", async (tools) => {
  const socket = await tools.connect();
  const { id } = socket;
  const ended = next(socket, "disconnect");
  socket.emit("close connection");
  assert.match((await ended)[0], /^transport (close|error)$/);
  assert.equal((await note(id, "disconnect"))[1], "forced close");
});

check("a client whose connection is closed comes back by itself", async (tools) => {
  const socket = await tools.connect("", { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 });
  const { id } = socket;
  const ended = next(socket, "disconnect");
  socket.emit("close connection");
  await ended;
  await next(socket, "connect");
  assert.notEqual(socket.id, id);
  assert.deepEqual(await ask(socket, "echo", "again"), ["again"]);
});

check("what was sent while away is sent on return", async (tools) => {
  const socket = await tools.connect("", { reconnection: true, reconnectionDelay: 20 });
  const ended = next(socket, "disconnect");
  socket.emit("close connection");
  await ended;
  assert.deepEqual(await ask(socket, "echo", "buffered"), ["buffered"]);
});

if (mode !== "polling") {
  check("a connection that breaks is a transport close", async (tools) => {
    const socket = await tools.connect();
    const { id, io } = socket;
    if (mode === "upgrade" && io.engine.transport.name !== "websocket") await next(io.engine, "upgrade");
    io.engine.transport.ws.terminate();
    assert.equal((await note(id, "disconnect"))[1], "transport close");
  });
}

check("handlers of events that came before the end still run, and see it", async (tools) => {
  const socket = await tools.connect();
  const { id } = socket;
  socket.emit("slow", 1, 0.3);
  socket.emit("count", 1);
  await sleep(100);
  socket.io.engine.close();
  await note(id, "disconnect");
});
