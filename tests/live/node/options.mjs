// Options that the official client must agree with, or run into: node options.mjs URL CASE
import assert from "node:assert/strict";
import { ask, check, connected, mode, refused, run } from "./checks.mjs";

const open = (tools, options) => tools.open("", { transports: ["polling", "websocket"], ...options });

const cases = {
  "no upgrade, no slash": async (tools) => {
    const socket = await connected(open(tools, { addTrailingSlash: false }));
    assert.deepEqual(socket.io.engine._upgrades, []);
    assert.deepEqual(await ask(socket, "echo", 1), [1]);
    assert.equal(socket.io.engine.transport.name, "polling");
    const websocket = await connected(open(tools, { addTrailingSlash: false, transports: ["websocket"] }));
    assert.deepEqual(await ask(websocket, "echo", 2), [2]);
  },

  "websocket only": async (tools) => {
    const error = await refused(open(tools));
    assert.equal(error.description, 400);
    const socket = await connected(open(tools, { tryAllTransports: true }));
    assert.equal(socket.io.engine.transport.name, "websocket");
    assert.deepEqual(await ask(socket, "echo", 1), [1]);
  },

  "polling only": async (tools) => {
    await refused(open(tools, { transports: ["websocket"] }));
    const socket = await connected(open(tools));
    assert.deepEqual(socket.io.engine._upgrades, []);
    assert.deepEqual(await ask(socket, "echo", Buffer.from([1])), [Buffer.from([1])]);
  },

  "one client": async (tools) => {
    const first = await connected(open(tools, { transports: ["websocket"] }));
    assert.equal((await refused(open(tools))).description, 503);
    await refused(open(tools, { transports: ["websocket"] }));
    assert.deepEqual(await ask(first, "echo", 1), [1]);
  },

  "cookie": async (tools) => {
    const socket = await connected(open(tools, { withCredentials: true, transports: ["polling"] }));
    const [told] = await ask(socket, "whoami");
    assert.equal(socket.io.engine._cookieJar._cookies.get("node")?.value, told.engine);
  },
};

check(mode, cases[mode]);
await run();
