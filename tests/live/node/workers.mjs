// Many clients as they are by default: node workers.mjs URL COUNT. Each line on stdin is a command: "round NAME" has every client say who
// serves it and shout, and tells when each has heard all; "lost COUNT" tells when so many have been disconnected; "state" tells how each is.
// What happens is told in JSON lines.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { io } = createRequire(import.meta.url)("socket.io-client");
const [, , url, count] = process.argv;
const say = (event, value) => console.log(JSON.stringify([event, value]));
const clients = [];
let lost = Infinity;
const checkLost = () => {
  if (clients.filter((client) => client.disconnects).length < lost) return;
  lost = Infinity;
  say("lost", []);
};

for (let number = 0; number < Number(count); number++) {
  const socket = io(url, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, timeout: 30000 });
  const client = { number, socket, heard: new Set(), errors: [], disconnects: 0, worker: 0, ready: null, settled: null };
  // "open" comes before the probe begins, whose end may come before the namespace's "connect"
  socket.io.on("open", () => {
    const { engine } = socket.io;
    client.settled = new Promise((resolve) => {
      if (engine.transport.name === "websocket") resolve();
      for (const event of ["upgrade", "upgradeError", "close"]) engine.once(event, resolve);
    });
  });
  client.begin = () => (client.ready = new Promise((resolve) => socket.once("connect", () => client.settled.then(resolve))));
  client.begin();
  socket.on("connect_error", (error) => client.errors.push(error.message));
  socket.on("disconnect", () => {
    client.disconnects++;
    client.begin();
    checkLost();
  });
  socket.on("heard", (value) => {
    client.heard.add(value);
    client.check?.();
  });
  clients.push(client);
}

// Wait until each client is connected, and has been upgraded or has failed to be.
const settle = async () => {
  for (let all = []; clients.some((client, place) => client.ready !== all[place]); ) {
    all = clients.map((client) => client.ready);
    await Promise.all(all);
  }
};

const ask = async (client) => {
  try {
    client.worker = await client.socket.timeout(20000).emitWithAck("who");
  } catch (error) {
    throw new Error(`${error.message}: ${state(client)}`);
  }
};

const round = async (name) => {
  await settle();
  await Promise.all(clients.map(ask));
  const all = clients.map((client) => {
    client.heard.clear();
    return new Promise((resolve) => (client.check = () => client.heard.size === clients.length && resolve()));
  });
  for (const client of clients) client.socket.emit("shout", `${name} ${client.number}`);
  await Promise.all(all);
  say(name, clients.map(({ worker, disconnects, errors, socket }) => [worker, disconnects, errors, socket.io.engine.transport.name]));
};

const state = ({ number, socket, heard, worker }) => {
  const { engine } = socket.io;
  return [number, socket.connected, engine.readyState, engine.transport?.name, engine.id, heard.size, worker];
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const [command, name] = line.split(" ");
  if (command === "state") say("state", clients.map(state));
  else if (command === "round") round(name).catch((error) => say("failed", String(error)));
  else {
    lost = Number(name);
    checkLost();
  }
}).on("close", () => process.exit(0));
