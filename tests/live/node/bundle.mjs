// node bundle.mjs URL NAME: load {URL}/socket.io/NAME as a page would, connect with it over both transports, and print their names.
// A page's globals are lent by the packages that the client itself uses under Node; tests/live/test_chat.py has a true browser.
import assert from "node:assert/strict";
import vm from "node:vm";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const [, , url, name] = process.argv;
const engineRequire = createRequire(require.resolve("engine.io-client"));
const { XMLHttpRequest } = engineRequire("xmlhttprequest-ssl");
const WebSocket = require("ws");

const source = await (await fetch(`${url}/socket.io/${name}`)).text();
const { hostname, port, protocol } = new URL(url);
const page = {
  XMLHttpRequest, WebSocket, setTimeout, clearTimeout, setInterval, clearInterval, console, ArrayBuffer, Uint8Array, TextDecoder, TextEncoder,
  Blob, Promise, URL, btoa, atob, queueMicrotask, location: { hostname, port, protocol, host: `${hostname}:${port}`, href: url }, document: { cookie: "" }, navigator: {},
  addEventListener() {}, removeEventListener() {}, dispatchEvent() {},
};
page.window = page.self = page;
Object.assign(globalThis, name.includes("esm") ? { XMLHttpRequest, WebSocket, location: page.location, document: page.document } : {});
globalThis.addEventListener ??= () => {};
globalThis.removeEventListener ??= () => {};

let io;
if (name.includes("esm")) ({ io } = await import(`data:text/javascript;base64,${Buffer.from(source).toString("base64")}`));
else {
  vm.runInContext(source, vm.createContext(page));
  io = page.io;
}

for (const transport of ["polling", "websocket"]) {
  // No address is given: a page connects to where it came from.
  const socket = io({ transports: [transport], forceNew: true, reconnection: false });
  await new Promise((resolve, reject) => (socket.on("connect", resolve), socket.on("connect_error", reject)));
  assert.deepEqual(await socket.emitWithAck("echo", "Zoë"), "Zoë");
  console.log(socket.io.engine.transport.name);
  socket.disconnect();
}
setTimeout(() => process.exit(0), 50);
