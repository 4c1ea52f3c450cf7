// Engine connections: what the server is told of them, compression, what is volatile. The server pings every 0.5 s and deflates from 100 bytes on.
// node engine.mjs URL MODE
import assert from "node:assert/strict";
import { ask, check, mode, next, note, page, require, run, sleep, transports, url } from "./checks.mjs";

const { Fetch, Socket } = require("engine.io-client");

const journal = (socket) => page(`/journal?id=${encodeURIComponent(`conn ${socket.id}`)}`);

/** Wait until the server has noted what `find` looks for. */
async function noted(socket, find) {
  for (;;) {
    const found = (await journal(socket)).find(find);
    if (found) return found;
    await sleep(20);
  }
}

async function upgraded(socket) {
  const { engine } = socket.io;
  if (mode === "upgrade" && engine.transport.name !== "websocket") await next(engine, "upgrade");
  return engine;
}

check("the server sees the packets, heartbeats and drains of a connection", async (tools) => {
  const socket = await tools.connect("/conn", { auth: { listen: true } });
  await ask(socket, "conn");
  await noted(socket, ([name, packet]) => name === "packet" && packet[0] === "message" && packet[1] === '2/conn,0["conn"]');
  await noted(socket, ([name, data]) => name === "message" && data === '2/conn,0["conn"]');
  await noted(socket, ([name, packet]) => name === "packet_create" && packet[0] === "message" && packet[1].startsWith("3/conn,0["));
  await noted(socket, ([name]) => name === "drain");
  await noted(socket, ([name, packet]) => name === "packet_create" && packet[0] === "ping");
  await noted(socket, ([name, packet]) => name === "packet" && packet[0] === "pong");
  await noted(socket, ([name]) => name === "heartbeat");
  const { id } = socket;
  socket.disconnect();
  const [, reason] = await noted({ id }, ([name]) => name === "close");
  assert.equal(reason, "transport close");
});

check("the server sees an upgrade from its probe to its switch", async (tools) => {
  const socket = await tools.connect("/conn", { auth: { listen: true } });
  await upgraded(socket);
  if (mode === "upgrade") {
    // the namespace may have been joined after the probe
    await noted(socket, ([name, transport]) => name === "upgrade" && transport === "websocket");
    const names = (await journal(socket)).map(([name]) => name).filter((name) => name.startsWith("upgrad"));
    assert.equal(names.at(-1), "upgrade");
  }
  const [conn] = await ask(socket, "conn");
  assert.equal(conn.id, socket.io.engine.id);
  assert.deepEqual([conn.protocol, conn.ready_state, conn.method, conn.is_client], [4, "open", "GET", true]);
  assert.equal(conn.transport, mode === "polling" ? "polling" : "websocket");
  assert.deepEqual([conn.upgraded, conn.upgrading], [mode === "upgrade", false]);
  assert.equal(conn.remote_address, "127.0.0.1");
});

check("close says what was sent before, discard does not wait for it", async (tools) => {
  for (const discard of [false, true]) {
    const socket = await tools.connect("/conn");
    await upgraded(socket);
    const words = [];
    socket.on("last words", () => words.push(1));
    const ended = next(socket, "disconnect");
    socket.emit("close", discard);
    await ended;
    if (!discard || mode !== "polling") assert.equal(words.length, 1);
  }
});

check("an engine server alone: messages both ways, and the end", async () => {
  const engine = new Socket(url, { path: "/engine.io", transports });
  await next(engine, "open");
  const { id } = engine;
  if (mode === "upgrade") await next(engine, "upgrade");
  for (const message of ["hello", "Zoë ✓", Buffer.from([0, 1, 255]), "x".repeat(70_000)]) {
    const [[answer]] = await Promise.all([next(engine, "message"), engine.send(message)]);
    assert.deepEqual(typeof answer === "string" ? answer : Buffer.from(answer), message);
  }
  const ended = next(engine, "close");
  engine.send("send and close");
  assert.deepEqual(await next(engine, "message"), ["last words"]);
  assert.equal((await ended)[0], "transport close");
  await note(id, "close");
});

if (mode === "polling")
  check("polls are compressed unless a message says no", async (tools) => {
    const seen = [];
    const real = globalThis.fetch;
    globalThis.fetch = async (...args) => {
      const response = await real(...args);
      seen.push([response.headers.get("content-encoding"), response.headers.get("vary"), Number(response.headers.get("content-length"))]);
      return response;
    };
    try {
      const socket = await tools.connect("/conn", { transports: [Fetch] });
      for (const size of [5000, 900_000]) {
        const [got] = await Promise.all([next(socket, "large"), socket.emit("large", size, true)]);
        assert.equal(got[0], "x".repeat(size));
        assert.ok(seen.some(([encoding, vary, length]) => encoding === "gzip" && vary === "Accept-Encoding" && length < size / 10), seen);
      }
      const [got] = await Promise.all([next(socket, "large"), socket.emit("large", 5001, false)]);
      assert.equal(got[0], "x".repeat(5001));
      assert.ok(seen.some(([encoding, , length]) => encoding === null && length > 5001), seen);
      assert.ok(seen.every(([encoding, , length]) => encoding === null || length > 20), seen);
    } finally {
      globalThis.fetch = real;
    }
  }, { alone: true });
else {
  check("WebSocket messages are compressed unless one says no", async (tools) => {
    const socket = await tools.connect("/conn");
    const { ws } = (await upgraded(socket)).transport;
    assert.equal(ws.extensions, "permessage-deflate");
    const cost = async (size, compress) => {
      const before = ws._socket.bytesRead;
      const [got] = await Promise.all([next(socket, "large"), socket.emit("large", size, compress)]);
      assert.equal(got[0].length, size);
      return ws._socket.bytesRead - before;
    };
    assert.ok((await cost(100_000, true)) < 3000);
    assert.ok((await cost(100_000, false)) > 100_000);
    assert.ok((await cost(30, true)) > 30);
  });

  check("a flood of volatile events to a client that does not read is dropped, and what comes later arrives", async (tools) => {
    const socket = await tools.connect("/conn");
    const { ws } = (await upgraded(socket)).transport;
    const whole = [];
    socket.on("gust", (number, text, attached) => whole.push([number, text.length, attached.length]));
    const after = next(socket, "after the flood");
    ws._socket.pause();
    socket.emit("volatile flood", 400, 100_000);
    const [, most] = await note(`conn ${socket.id}`, "flooded");
    ws._socket.resume();
    await after;
    assert.ok(most <= 400_000, `${most} bytes waited`); // what a turn gathers, and one that did not fit
    assert.ok(whole.length > 0 && whole.length < 400, `${whole.length} arrived`);
    assert.ok(whole.every(([, text, attached]) => text === 100_000 && attached === 8));
    const [conn] = await ask(socket, "conn");
    assert.equal(conn.buffered_bytes, 0);
  });
}

await run();
