// Who is it? node django.mjs URL COOKIE: over each transport, a user with that cookie, and nobody in a namespace that wants one.
import { createRequire } from "node:module";

const { io } = createRequire(import.meta.url)("socket.io-client");
const [, , url, cookie] = process.argv;
const told = {};

for (const [name, transports] of Object.entries({ polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] })) {
  const socket = io(url, { transports, forceNew: true, reconnection: false, extraHeaders: { Cookie: cookie } });
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("connect_error", reject));
  if (name === "upgrade" && socket.io.engine.transport.name !== "websocket") {
    await new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
  }
  const user = await socket.emitWithAck("whoami");
  const nobody = io(`${url}/writers`, { transports, forceNew: true, reconnection: false });
  const refusal = await new Promise((resolve) => nobody.once("connect_error", resolve));
  told[name] = [socket.io.engine.transport.name, user, refusal.message];
  socket.disconnect();
  nobody.io._close();
}
console.log(JSON.stringify(told));
