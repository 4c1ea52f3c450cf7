// What the checks share: `check(name, fn)` registers one, `run()` works them all, several at a time, and prints one JSON line each.
// node run.mjs URL MODE [PARSER]   MODE: polling | websocket | upgrade; PARSER: an npm package; NODE_PATH says where socket.io-client is.
import { createRequire } from "node:module";

export const require = createRequire(import.meta.url);
export const { io, Manager } = require("socket.io-client");
export const [, , url, mode, parser] = process.argv;
export const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] }[mode];
export const parsing = parser ? { parser: require(parser) } : {};
const AT_ONCE = 8;
const TIMEOUT = 20_000;

const all = [];

/** Register a check; those that are `alone` run after the others, one by one. */
export const check = (name, fn, { alone = false } = {}) => all.push({ name, fn, alone });
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Each check gets tools of its own, which know what to close when it is over. */
class Tools {
  managers = [];

  /** A socket on a connection of its own, not yet connected for sure. */
  open(namespace = "", options = {}) {
    const socket = io(url + namespace, { transports, forceNew: true, reconnection: false, ...parsing, ...options });
    this.managers.push(socket.io);
    return socket;
  }

  async connect(namespace = "", options = {}) {
    const socket = this.open(namespace, options);
    await connected(socket);
    return socket;
  }

  close() {
    for (const manager of this.managers) {
      manager.reconnection(false);
      for (const socket of Object.values(manager.nsps)) socket.disconnect();
      manager._close();
    }
  }
}

export const connected = (socket) =>
  new Promise((resolve, reject) => {
    if (socket.connected) return resolve(socket);
    socket.once("connect", () => resolve(socket));
    socket.once("connect_error", (error) => reject(Object.assign(new Error(`connect_error: ${error.message}`), { data: error.data })));
  });

export const refused = (socket) =>
  new Promise((resolve, reject) => {
    socket.once("connect_error", resolve);
    socket.once("connect", () => reject(new Error("it was let in")));
  });

/** The arguments of the next such event. */
export const next = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));

/** Emit and get the ack's arguments. */
export const ask = (socket, name, ...args) => new Promise((resolve) => socket.emit(name, ...args, (...response) => resolve(response)));

export const page = async (path) => (await fetch(url + path)).json();

export async function note(id, word) {
  for (;;) {
    const found = (await page(`/journal?id=${encodeURIComponent(id)}`)).find((entry) => entry[0] === word);
    if (found) return found;
    await sleep(20);
  }
}

async function work({ name, fn }) {
  const tools = new Tools();
  const started = Date.now();
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not done after ${TIMEOUT} ms`)), TIMEOUT)));
  const line = { check: name, ok: true };
  try {
    await Promise.race([fn(tools), late]);
  } catch (error) {
    Object.assign(line, { ok: false, error: String(error.stack || error) });
  }
  clearTimeout(timer);
  tools.close();
  console.log(JSON.stringify({ ...line, ms: Date.now() - started }));
}

export async function run() {
  const waiting = all.filter(({ alone }) => !alone);
  const worker = async () => {
    for (let one = waiting.shift(); one; one = waiting.shift()) await work(one);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  for (const one of all) if (one.alone) await work(one);
  console.log(JSON.stringify({ done: all.length }));
  setTimeout(() => process.exit(0), 100);
}
