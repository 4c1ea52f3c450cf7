// Dynamic namespaces and catch-all listeners: node dynamic.mjs URL MODE. The server is dynamic_app.py.
import assert from "node:assert/strict";
import { ask, check, connected, mode, next, page, refused, run, sleep } from "./checks.mjs";

let counter = 0;
/** A name of this run alone that the pattern matches. */
const numbered = () => `/numbered-${process.pid}0${++counter}`;

/** Ask the server's page until what it says is wanted. */
async function until(wanted) {
  for (;;) {
    if (wanted(await page("/"))) return;
    await sleep(10);
  }
}

/** Connect and wait for the event of the connection handler, too. */
async function join(tools, name, options) {
  const socket = tools.open(name, options);
  const [welcome] = await Promise.all([next(socket, "welcome"), connected(socket)]);
  return { socket, welcome };
}

check("a pattern makes a namespace for the first client that asks, and new_namespace is told", async (tools) => {
  const name = numbered();
  const one = await join(tools, name);
  const two = await join(tools, name);
  assert.equal(one.welcome[0], name);
  assert.deepEqual(await ask(two.socket, "where"), [name]);
  const { made, children } = await page("/");
  assert.equal(made.filter((each) => each === name).length, 1);
  assert(children.includes(name));
});

check("what nobody makes is an invalid namespace, and the connection goes on", async (tools) => {
  const { socket } = await join(tools, numbered());
  for (const name of ["/numbered-", "/numbered-1x", "/other", "/_0", "/_1"]) {
    const error = await refused(socket.io.socket(name));
    assert.equal(error.message, "Invalid namespace");
  }
  assert.equal((await ask(socket, "where")).length, 1);
});

check("a function decides by name, auth and request; what it raises is told to nobody", async (tools) => {
  const name = `/room/${process.pid}${mode}`;
  const token = name.slice("/room/".length);
  for (const auth of [{}, { token: "wrong" }, { token: "fail" }]) {
    assert.equal((await refused(tools.open(name, { auth }))).message, "Invalid namespace");
  }
  const socket = await tools.connect(name, { auth: { token } });
  assert.deepEqual(await ask(socket, "where"), [name]);
  // the second client needs no leave: the namespace is there
  await tools.connect(name, { auth: {} });
});

check("a client is in as many namespaces as it may and in no more, and one that it leaves makes room", async (tools) => {
  const name = numbered();
  const { socket } = await join(tools, name);
  const others = Array.from({ length: 7 }, () => socket.io.socket(numbered()));
  await Promise.all(others.map(connected));
  const wanted = numbered();
  const late = socket.io.socket(wanted);
  assert.equal((await refused(late)).message, "Too many namespaces on one connection");
  assert(!(await page("/")).made.includes(wanted));
  assert.deepEqual(await ask(others[6], "where"), [others[6].nsp]);
  // another client is not concerned
  await join(tools, name);
  others[0].disconnect();
  await connected(late.connect());
  assert.deepEqual(await ask(late, "where"), [wanted]);
  assert.deepEqual(await ask(socket, "where"), [name]);
});

check("children share the middleware and handlers of their parent, those added later too", async (tools) => {
  const [early, late] = [numbered(), numbered()];
  const { socket, welcome } = await join(tools, early);
  assert.equal(welcome[1][0], "first");
  const word = `word ${process.pid} ${mode}`;
  socket.emit("later", word);
  assert.deepEqual(await ask(socket, word), [[word, early]]);
  const after = await join(tools, late);
  assert(after.welcome[1].includes(word));
  assert.deepEqual(await ask(after.socket, word), [[word, late]]);
  assert((await join(tools, early)).welcome[1].includes(word));
  const error = await refused(tools.open(early, { auth: { refuse: true } }));
  assert.deepEqual([error.message, error.data], ["not here", { namespace: early }]);
});

check("a namespace made by hand is a child of the pattern that it matches", async (tools) => {
  const name = numbered();
  assert.deepEqual(await ask((await join(tools, numbered())).socket, "by hand", name), [name]);
  const { socket, welcome } = await join(tools, name);
  assert.equal(welcome[0], name);
  assert.deepEqual(await ask(socket, "where"), [name]);
  assert.equal((await page("/")).made.filter((each) => each === name).length, 1);
});

check("an event or a question of the parent reaches the clients of all children once", async (tools) => {
  const joined = await Promise.all([join(tools, numbered()), join(tools, numbered()), join(tools, numbered())]);
  const sockets = joined.map(({ socket }) => socket);
  const mark = `mark ${process.pid} ${mode}`;
  const heard = sockets.map(() => []);
  sockets.forEach((socket, number) => {
    for (const name of ["told", "told in a room"]) socket.on(name, (...args) => args[0] === mark && heard[number].push([name, ...args]));
    socket.on("question", (ack) => ack(socket.id));
  });
  sockets[0].emit("tell all children", mark, Buffer.from([1, 2]));
  const [{ responses, ids }] = await ask(sockets[0], "ask all children");
  for (const [number, socket] of sockets.entries()) {
    assert.deepEqual(heard[number], [["told", mark, Buffer.from([1, 2])], ["told in a room", mark, Buffer.from([1, 2])]]);
    assert(responses.includes(socket.id) && ids.includes(socket.id));
  }
}, { alone: true });

check("a child is let go when its last client has left or was refused, and made anew", async (tools) => {
  const name = numbered();
  const one = await join(tools, name);
  const two = await join(tools, name);
  one.socket.disconnect();
  assert.deepEqual(await ask(two.socket, "where"), [name]);
  two.socket.disconnect();
  await until(({ children }) => !children.includes(name));
  assert.equal((await refused(tools.open(name, { auth: { refuse: true } }))).message, "not here");
  await until(({ children }) => !children.includes(name));
  const { socket, welcome } = await join(tools, name);
  assert.equal(welcome[0], name);
  socket.io.engine.close();
  await until(({ children }) => !children.includes(name));
  assert.equal((await page("/")).made.filter((each) => each === name).length, 3);
});

// -- catch-all listeners

/** What the server's listeners have seen of this client; to ask is seen as well. */
async function journal(socket) {
  const [found] = await ask(socket, "journal");
  return { ...found, heard: found.heard.filter(([, event]) => event !== "journal") };
}

check("catch-all listeners see what comes, before middleware and handlers, refused events too", async (tools) => {
  const socket = await tools.connect();
  await ask(socket, "echo", 1, Buffer.from([2, 3]));
  socket.emit("forbidden", "x");
  socket.emit("nobody listens");
  const { heard, listeners } = await journal(socket);
  assert.deepEqual(listeners, [2, 1]);
  assert.deepEqual(heard, [
    ["before", "echo"], ["any", "echo", 1, [2, 3]], ["middleware", "echo"],
    ["before", "forbidden"], ["any", "forbidden", "x"], ["middleware", "forbidden"],
    ["before", "nobody listens"], ["any", "nobody listens"], ["middleware", "nobody listens"],
  ]);
  socket.emit("stop");
  socket.emit("after");
  const after = await journal(socket);
  assert.deepEqual(after.listeners, [1, 0]);
  assert.deepEqual(after.heard.slice(-2), [["any", "after"], ["middleware", "after"]]);
});

check("outgoing listeners see emits and the broadcasts that reach their client, binary too, and no acknowledgements", async (tools) => {
  const [one, two] = await Promise.all([tools.connect(), tools.connect()]);
  one.on("question", (n, ack) => ack("answer"));
  assert.deepEqual(await ask(one, "ask"), ["answer"]);
  await ask(one, "echo", Buffer.from([1]));
  one.emit("broadcast", one.id, "to myself");
  const news = next(two, "news of another");
  one.emit("broadcast", two.id, 5, Buffer.from([6]));
  await news;
  assert.deepEqual((await journal(one)).sent, [["question", 1], ["echoed", [1]], ["news", "to myself"]]);
  assert.deepEqual((await journal(two)).sent, [["news", 5, [6]], ["news of another", 5, [6]]]);
});

await run();
