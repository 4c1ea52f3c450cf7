// Clients that stay: node staying.mjs URL [cookies]. One polls, one has a WebSocket, one polls first and changes over. Each event is a JSON line;
// a line on stdin is emitted to the server by all, and what it answers is told. Ends with stdin.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { io } = createRequire(import.meta.url)("socket.io-client");
const [, , url, cookies] = process.argv;
const kinds = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };
const options = { forceNew: true, withCredentials: Boolean(cookies), reconnectionDelay: 20, reconnectionDelayMax: 100 };
const say = (client, event, value) => console.log(JSON.stringify([client, event, value]));

const sockets = Object.entries(kinds).map(([name, transports]) => {
  const socket = io(url, { ...options, transports });
  socket.on("connect", () => {
    const { engine } = socket.io;
    if (name !== "upgrade" || engine.transport.name === "websocket") say(name, "connect", engine.transport.name);
    else engine.once("upgrade", () => say(name, "connect", engine.transport.name));
  });
  socket.on("disconnect", (reason) => say(name, "disconnect", reason));
  return [name, socket];
});

createInterface({ input: process.stdin })
  .on("line", (text) => sockets.forEach(([name, socket]) => socket.emit("echo", text, (answer) => say(name, "answer", answer))))
  .on("close", () => process.exit(0));
