// Connecting: ids, handshake, namespaces, middleware, refusals.
import assert from "node:assert/strict";
import { ask, check, connected, mode, next, note, refused, sleep, url, Manager, parsing, transports } from "./checks.mjs";

check("each socket has an id of its own that the server knows", async (tools) => {
  const [a, b] = await Promise.all([tools.connect(), tools.connect()]);
  assert.match(a.id, /^[\w-]{20}$/);
  assert.notEqual(a.id, b.id);
  assert.notEqual(a.id, a.io.engine.id);
  const [told] = await ask(a, "whoami");
  assert.equal(told.id, a.id);
  assert.equal(told.engine, a.io.engine.id);
});

check("the transport is the one that was asked for", async (tools) => {
  const socket = await tools.connect();
  if (mode === "upgrade" && socket.io.engine.transport.name !== "websocket") await next(socket.io.engine, "upgrade");
  assert.equal(socket.io.engine.transport.name, mode === "polling" ? "polling" : "websocket");
  const [told] = await ask(socket, "whoami");
  assert.equal(told.transport, mode === "polling" ? "polling" : "websocket");
});

check("the handshake carries auth, query and headers", async (tools) => {
  const options = { auth: { token: "abc", deep: [1] }, query: { room: "5 6" }, extraHeaders: { "X-Mark": "m" } };
  const [told] = await ask(await tools.connect("", options), "whoami");
  assert.deepEqual(told.auth, options.auth);
  assert.equal(told.query.room, "5 6");
  assert.equal(told.query.EIO, "4");
  assert.equal(told.headers["x-mark"], "m");
  assert.deepEqual(told.connected, [true, false]);
});

check("auth may be a function, and comes back in the first event", async (tools) => {
  const socket = tools.open("", { auth: (answer) => answer({ token: "late" }) });
  assert.deepEqual(await next(socket, "auth"), [{ token: "late" }]);
});

check("namespaces share one connection", async (tools) => {
  const main = await tools.connect();
  const custom = main.io.socket("/custom", { auth: { who: "custom" } });
  const admin = main.io.socket("/admin");
  const greeting = next(admin, "hello");
  assert.deepEqual(await next(custom, "auth"), [{ who: "custom" }]);
  assert.deepEqual(await greeting, ["admin"]);
  assert.equal(new Set([main.id, custom.id, admin.id]).size, 3);
  assert.deepEqual(await ask(custom, "echo", 1), [1]);
  assert.deepEqual(await ask(admin, "kick", "bob"), [["kicked", "bob"]]);
  assert.deepEqual(await ask(admin, "chat message", "loud"), ["LOUD"]);
  assert.equal((await ask(main, "whoami"))[0].engine, (await ask(custom, "whoami"))[0].engine);
});

check("namespaces may have a connection each", async (tools) => {
  const [main, custom] = await Promise.all([tools.connect(), tools.connect("/custom")]);
  assert.notEqual((await ask(main, "whoami"))[0].engine, (await ask(custom, "whoami"))[0].engine);
});

check("a namespace alone, without the main one", async (tools) => {
  const custom = await tools.connect("/custom");
  assert.deepEqual(await ask(custom, "echo", "x", { y: 1 }), ["x", { y: 1 }]);
});

check("many namespaces joined at once", async (tools) => {
  const manager = new Manager(url, { transports, reconnection: false, ...parsing });
  tools.managers.push(manager);
  const sockets = ["/", "/custom", "/admin", "/later", "/slow", "/early"].map((name) => manager.socket(name));
  await Promise.all(sockets.map(connected));
  assert.equal(new Set(sockets.map(({ id }) => id)).size, 6);
});

check("an unknown namespace is refused, the others go on", async (tools) => {
  const main = await tools.connect();
  const error = await refused(main.io.socket("/nowhere"));
  assert.equal(error.message, "Invalid namespace");
  assert.deepEqual(await ask(main, "echo", 1), [1]);
});

check("middleware refuses with a message and data", async (tools) => {
  const error = await refused(tools.open("/refusing"));
  assert.equal(error.message, "not authorized");
  assert.deepEqual(error.data, { content: "Please retry later" });
});

check("a refused client may try again with other credentials", async (tools) => {
  const socket = tools.open("/refusing");
  await refused(socket);
  socket.auth = { token: "let me in" };
  socket.connect();
  await connected(socket);
});

check("after a refusal no other middleware runs", async (tools) => {
  const mark = `second-${Math.random()}`;
  await refused(tools.open("/refusing", { auth: { mark } }));
  assert.equal(await Promise.race([note(mark, "second middleware"), sleep(100)]), undefined);
  await tools.connect("/refusing", { auth: { mark, token: "let me in" } });
  await note(mark, "second middleware");
});

check("an exception in middleware tells the client nothing of itself", async (tools) => {
  const error = await refused(tools.open("/broken"));
  assert.equal(error.message, "internal server error");
  assert.equal(error.data, undefined);
});

check("middleware may return False", async (tools) => {
  assert.equal(typeof (await refused(tools.open("/false"))).message, "string");
});

check("middleware may decide later, from elsewhere", async (tools) => {
  await tools.connect("/later");
  assert.equal((await refused(tools.open("/later", { auth: { refuse: true } }))).message, "no, after all");
});

check("while middleware runs the socket is not connected", async (tools) => {
  const mark = `slow-${Math.random()}`;
  await tools.connect("/slow", { auth: { mark } });
  assert.deepEqual(await note(mark, "in middleware"), ["in middleware", false, true]);
});

check("a client that leaves during middleware is never announced", async (tools) => {
  const mark = `leaver-${Math.random()}`;
  const socket = tools.open("/slow", { auth: { mark, seconds: 0.5 } });
  await note(mark, "in middleware");
  socket.io.engine.close();
  assert.equal(await Promise.race([note(mark, "connected"), sleep(900)]), undefined);
});

check("an emit in middleware arrives, a join in middleware holds", async (tools) => {
  const socket = tools.open("/early");
  assert.deepEqual(await next(socket, "early"), [1]);
  await connected(socket);
  socket.emit("knock");
  await next(socket, "knocked");
});

check("a join in middleware that refuses is undone", async (tools) => {
  const outside = tools.open("/early", { auth: { refuse: 1 } });
  let knocked = 0;
  outside.on("knocked", () => knocked++);
  await refused(outside);
  const inside = await tools.connect("/early");
  inside.emit("knock");
  await next(inside, "knocked");
  assert.equal(knocked, 0);
});

check("a connection handler that raises leaves the client connected", async (tools) => {
  assert.deepEqual(await ask(await tools.connect("/failing"), "echo", 5), [5]);
});

check("a client may be disconnected by its connection handler", async (tools) => {
  const socket = tools.open("/leaving");
  assert.equal((await next(socket, "disconnect"))[0], "io server disconnect");
});

check("events sent before the connection handlers are through are not lost", async (tools) => {
  const socket = tools.open("", { query: { tardy: "0.2" } });
  assert.deepEqual(await ask(socket, "local", 7), [["local", 7]]);
});

check("a namespace can be left and joined again", async (tools) => {
  const main = await tools.connect();
  const custom = main.io.socket("/custom");
  await connected(custom);
  const { id } = custom;
  custom.disconnect();
  assert.equal((await note(id, "disconnect"))[1], "client namespace disconnect");
  custom.connect();
  await connected(custom);
  assert.notEqual(custom.id, id);
  assert.deepEqual(await ask(custom, "echo", 1), [1]);
  assert.deepEqual(await ask(main, "echo", 2), [2]);
});
