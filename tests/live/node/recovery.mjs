// Connections that are cut while the server emits: node recovery.mjs URL TRANSPORT ROUNDS. A TCP proxy of its own does the cutting.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import net from "node:net";

const { io } = createRequire(import.meta.url)("socket.io-client");
const [, , url, transport, rounds] = process.argv;
const COUNT = 1000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Forward connections to the server, and cut them in one of three ways. */
class Proxy {
  pairs = new Set();

  async listen() {
    const target = new URL(url);
    this.server = net.createServer({ allowHalfOpen: true }, (near) => {
      const far = net.connect({ port: Number(target.port), host: target.hostname, allowHalfOpen: true, noDelay: true });
      const pair = { near, far };
      this.pairs.add(pair);
      near.pipe(far, { end: false });
      far.pipe(near, { end: false });
      near.on("error", () => {}).on("end", () => far.end()).on("close", () => pair.isLost || far.destroy());
      far.on("error", () => {}).on("end", () => near.end()).on("close", () => (near.destroy(), this.pairs.delete(pair)));
    });
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  cut(way) {
    for (const pair of this.pairs) {
      this.pairs.delete(pair);
      if (way === "reset") {
        pair.near.resetAndDestroy();
        pair.far.resetAndDestroy();
      } else if (way === "end") {
        pair.near.destroy();
        pair.far.end();
      } else {
        // the client knows, the server does not: what it sends goes nowhere, and its ghost stays until the client is back
        pair.isLost = true;
        pair.far.unpipe(pair.near);
        pair.near.destroy();
        pair.far.pause();
      }
    }
  }

  close() {
    this.server.close();
    for (const { near, far } of this.pairs) (near.destroy(), far.destroy());
  }
}

async function round(number) {
  const proxy = new Proxy();
  await proxy.listen();
  const socket = io(proxy.url, { transports: [transport], forceNew: true, reconnectionDelay: 5, reconnectionDelayMax: 20, randomizationFactor: 1 });
  const got = [];
  let returns = 0;
  socket.on("n", (value) => got.push(value));
  await new Promise((resolve) => socket.once("connect", resolve));
  const first = socket.id;
  if (number % 5) await socket.emitWithAck("remember", "round", number);
  socket.on("connect", () => {
    assert.equal(socket.recovered, true, `round ${number}: not recovered`);
    returns++;
  });
  await socket.emitWithAck("flood", COUNT);
  const way = ["reset", "end", "lose"][number % 3];
  for (let cut = 0; cut <= number % 3; cut++) {
    await sleep(5 + Math.random() * 60);
    proxy.cut(way);
  }
  const deadline = Date.now() + 15_000;
  while (got.length < COUNT && Date.now() < deadline) await sleep(5);
  let state;
  while (!state && Date.now() < deadline) state = await socket.timeout(1000).emitWithAck("state").catch(() => sleep(5)); // a cut may come late
  const wrong = got.findIndex((value, at) => value !== at);
  assert.ok(got.length === COUNT && wrong < 0, `round ${number} (${way}): got ${got.length} of ${COUNT}; around ${wrong}: ${got.slice(Math.max(0, wrong - 3), wrong + 3)}; returns ${returns}`);
  assert.equal(socket.id, first);
  assert.equal(state.id, first);
  assert.ok(state.rooms.includes("flood " + first));
  if (number % 5) assert.equal(state.data.round, number);
  socket.disconnect();
  proxy.close();
  return returns;
}

let returns = 0;
try {
  for (let number = 0; number < Number(rounds); number++) returns += await round(number);
  console.log(JSON.stringify({ rounds: Number(rounds), returns }));
  process.exit(0);
} catch (error) {
  console.error(error);
  process.exit(1);
}
