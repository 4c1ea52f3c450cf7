// The Node server with as much of the acceptance application as the wire tests use: LIVE_SERVER=reference runs them against it.
// It needs `npm install socket.io@4` in the folder that LIVE_REFERENCE_MODULES names.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(process.env.LIVE_REFERENCE_MODULES + "/");
const { Server } = require("socket.io");
const { Server: EngineServer } = require("engine.io");

const names = {
  ping_interval: "pingInterval", ping_timeout: "pingTimeout", upgrade_timeout: "upgradeTimeout", connect_timeout: "connectTimeout",
  max_http_buffer_size: "maxHttpBufferSize", cookie: "cookie", initial_packet: "initialPacket", transports: "transports",
  allow_upgrades: "allowUpgrades", http_compression: "httpCompression", per_message_deflate: "perMessageDeflate",
};
const times = ["ping_interval", "ping_timeout", "upgrade_timeout", "connect_timeout"];
const options = { allowRequest };
for (const [name, value] of Object.entries(JSON.parse(process.env.LIVE_OPTIONS || "{}"))) {
  if (name === "cors_allowed_origins") options.cors = { origin: value, credentials: value !== "*" };
  if (names[name]) options[names[name]] = times.includes(name) ? value * 1000 : value;
}
if (typeof options.cookie === "string") options.cookie = { name: options.cookie };
const hooks = (process.env.LIVE_HOOKS || "").split(" ");
const journals = {};
const note = (key, ...entry) => (journals[key] ||= []).push(entry);
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

function queryOf(request) {
  return Object.fromEntries(new URL(request.url, "http://x").searchParams);
}

function allowRequest(request, decide) {
  const query = queryOf(request);
  note("gate", request.method, query.mark || "", "sid" in query);
  if ("refuse" in query) decide(query.refuse, false);
  else decide(null, !("deny" in query));
}

function watchEngine(server) {
  server.on("connection", (connection) => {
    note(connection.id, "open", connection.transport.name);
    connection.on("upgrade", (transport) => note(connection.id, "upgrade", transport.name));
    connection.on("close", (reason, description) => note(connection.id, "close", reason, String(description)));
  });
  server.on("connection_error", ({ req, code, message, context }) => note("errors", queryOf(req).mark || "", code, message, context));
  if (hooks.includes("headers")) {
    server.on("initial_headers", (headers) => {
      headers["X-Initial"] = "once";
      headers["set-cookie"] = ["first=1", "second=2"];
    });
    server.on("headers", (headers, request) => (headers["x-each"] = request.method));
  }
  if (hooks.includes("generate_id")) server.generateId = (request) => queryOf(request).id;
}

const http = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://x");
  let body = "{}";
  if (pathname === "/plain") body = "plain";
  else if (pathname === "/journal") body = JSON.stringify(journals[searchParams.get("id")] || []);
  else if (pathname === "/emit") io.to(searchParams.get("to")).emit(searchParams.get("event"), JSON.parse(searchParams.get("value")));
  else if (pathname === "/audit") body = "[]";
  else if (pathname === "/stats") body = JSON.stringify({ clients: io.engine.clientsCount, pid: process.pid });
  else response.statusCode = 404;
  response.end(body);
});

const io = new Server(http, options);
const { allowRequest: _, ...shared } = options;
const engine = new EngineServer({ ...shared, allowRequest });
engine.attach(http, { path: "/engine.io" });
watchEngine(io.engine);
watchEngine(engine);

engine.on("connection", (connection) => {
  connection.on("message", (data = "") => {
    note(connection.id, "message", typeof data === "string" ? data : [...data.subarray(0, 64)]);
    if (data === "please close" || data === "close from a thread") connection.close();
    else if (data === "send and close") {
      connection.send("last words");
      connection.close();
    } else if (typeof data === "string" && data.startsWith("send ")) {
      for (let number = 0; number < +data.slice(5); number++) connection.send(String(number));
    } else if (typeof data === "string" && data.startsWith("drip ")) {
      (async () => {
        for (let number = 0; number < +data.slice(5); number++) {
          connection.send(`drip ${number}`);
          await sleep(0.002);
        }
      })();
    } else if (typeof data === "string" && data.startsWith("size ")) connection.send("x".repeat(+data.slice(5)));
    else if (data === "which transport") connection.send(connection.transport.name);
    else if (data !== "quiet") connection.send(data);
    note(connection.id, "worked");
  });
});

function watchSocket(socket) {
  note(socket.id, "connection", socket.nsp.name, socket.conn.id);
  socket.on("disconnecting", (reason) => note(socket.id, "disconnecting", reason, [...socket.rooms].sort(), socket.connected));
  socket.on("disconnect", (reason) => note(socket.id, "disconnect", reason, [...socket.rooms].sort(), socket.connected));
  socket.on("error", (error) => note(socket.id, "error", error.name, error.message));
}

const answers = {
  none: [], empty: [], null: [null], one: ["one"], false: [false], zero: [0], list: [[1, 2, 3]],
  several: ["a", { b: [true, null] }, Buffer.from([1, 2])],
  binary: [{ deep: [Buffer.from([0, 255]), { deeper: Buffer.from("abc") }], view: Buffer.from("view") }],
};

function talk(socket) {
  watchSocket(socket);
  socket.emit("auth", socket.handshake.auth);
  const counted = [];
  const on = (name, fn) => socket.on(name, fn);
  on("message", (...args) => socket.emit("message-back", ...args));
  on("message-with-ack", (...args) => args.pop()(...args));
  on("echo", (...args) => typeof args.at(-1) === "function" && args.pop()(...args));
  on("answer with", (kind, ack) => ack(...answers[kind]));
  on("please emit", (name, ...args) => socket.emit(name, ...args));
  on("emit with ack", (name, ...args) => socket.emit(name, ...args, (...response) => socket.emit("acked", ...response)));
  on("please emit many", (name, count) => {
    for (let number = 0; number < count; number++) socket.emit(name, number);
  });
  on("join", (rooms, ack) => (socket.join(rooms), ack?.()));
  on("leave", (room, ack) => (socket.leave(room), ack?.()));
  on("rooms", (ack) => ack([...socket.rooms].sort()));
  on("count", (number) => counted.push(number));
  on("counted", (ack) => ack(counted));
  on("quit", (close) => {
    socket.emit("farewell");
    socket.disconnect(close === true);
  });
  on("close connection", () => socket.conn.close());
  on("tell", (whom, name, ...args) => {
    const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
    let operator = { socket, broadcast: socket.broadcast }[whom.from] ?? io;
    if (whom.to) operator = [].concat(whom.to).length ? operator.to(whom.to) : operator.to("nobody at all");
    if (whom.in) operator = operator.in(whom.in);
    if (whom.except) operator = operator.except(whom.except);
    operator.emit(name, ...args);
    ack();
  });
  on("late ack", (delay, ...rest) => setTimeout(() => rest.pop()(...rest), delay * 1000));
  on("native ack", (value, ack) => ack(value));
  on("call back", (name, ...rest) => {
    const ack = rest.pop();
    socket.emit(name, ...rest, ack);
  });
  let turn = Promise.resolve();
  on("slow", (number, seconds, ack) => {
    turn = turn.then(() => sleep(seconds)).then(() => (socket.emit("slow done", number), ack?.(number)));
  });
  on("slow concurrent", (number, seconds, ack) => sleep(seconds).then(() => ack(number)));
  on("block", (seconds, ack) => sleep(seconds).then(() => ack("awake")));
  on("spawned", (value) => socket.emit("from spawn", value));
  socket.once("just once", (ack) => ack("the only time"));
  const { burst = 0, pause } = socket.handshake.query;
  (async () => {
    for (let number = 0; number < +burst; number++) {
      if (number % 10 === 9) socket.emit("burst", number, Buffer.from("00ff".repeat((number % 7) + 1), "hex"));
      else socket.emit("burst", number);
      if (pause) await sleep(+pause);
    }
  })();
  on("whoami", (ack) => {
    const { headers, query, auth, time, issued, url, address, xdomain, secure } = socket.handshake;
    const connected = [socket.connected, socket.disconnected];
    const { id: engineId, protocol, transport } = socket.conn;
    ack({ id: socket.id, headers, query, auth, time, issued, url, address, xdomain, secure, connected, transport: transport.name, engine: engineId, protocol });
  });
}

io.on("connection", talk);
io.of("/custom").on("connection", talk);
io.of("/refusing").use((socket, next) => {
  if (socket.handshake.auth.token === "let me in") return next();
  const error = new Error("not authorized");
  error.data = { content: "Please retry later" };
  next(error);
});
io.of("/slow").use((socket, next) => setTimeout(next, (socket.handshake.auth.seconds ?? 0.2) * 1000));
io.of("/slow").on("connection", watchSocket);
io.of("/silent").use(() => {});
io.of("/early").use((socket, next) => {
  socket.join("lounge");
  socket.emit("early", 1);
  next("refuse" in socket.handshake.auth ? new Error("too early") : undefined);
});

io.of("/early").on("connection", (socket) => socket.on("knock", () => io.of("/early").to("lounge").emit("knocked")));
io.of("/later").use((socket, next) => setTimeout(() => next("refuse" in socket.handshake.auth ? new Error("no, after all") : undefined), 50));
io.of("/leaving").on("connection", (socket) => socket.disconnect());
io.of("/failing").on("connection", (socket) => socket.on("echo", (...args) => args.pop()(...args)));
io.of("/admin").on("connection", (socket) => {
  socket.emit("hello", "admin");
  socket.on("kick", (user, ack) => ack(["kicked", user]));
  socket.on("chat message", (text, ack) => ack(text.toUpperCase()));
});

http.listen(+process.argv[2], "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
