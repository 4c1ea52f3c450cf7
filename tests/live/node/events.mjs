// Events, acks, binary, calls, order.
import assert from "node:assert/strict";
import { ask, check, next, note, sleep } from "./checks.mjs";

const bytes = (value) => Buffer.from(value.buffer ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value));

check("several arguments there and back", async (tools) => {
  const socket = await tools.connect();
  const args = [1, "two", { three: [3, null, true] }, [], {}, "", 1.5, -0.25, "Zoë ✓ \u{1f600} \u2028 \u0000"];
  const back = next(socket, "message-back");
  socket.emit("message", ...args);
  assert.deepEqual(await back, args);
  assert.deepEqual(await ask(socket, "echo", ...args), args);
});

check("binary there and back, alone, deep and large", async (tools) => {
  const socket = await tools.connect();
  const [alone] = await ask(socket, "echo", Buffer.from([1, 2, 3]));
  assert.deepEqual([...bytes(alone)], [1, 2, 3]);
  const [first, deep, last] = await ask(socket, "echo", "text", { a: [Buffer.from("x"), { b: new Uint8Array([0, 255]) }] }, Buffer.alloc(0));
  assert.equal(first, "text");
  assert.equal(bytes(deep.a[0]).toString(), "x");
  assert.deepEqual([...bytes(deep.a[1].b)], [0, 255]);
  assert.equal(bytes(last).length, 0);
  const large = Buffer.alloc(300_000, "abc");
  assert.ok(bytes((await ask(socket, "echo", large))[0]).equals(large));
});

check("a large text", async (tools) => {
  const socket = await tools.connect();
  const text = "é".repeat(200_000);
  assert.deepEqual(await ask(socket, "echo", text), [text]);
});

check("acks of none, one and several values", async (tools) => {
  const socket = await tools.connect();
  assert.deepEqual(await ask(socket, "answer with", "none"), []);
  assert.deepEqual(await ask(socket, "answer with", "empty"), []);
  assert.deepEqual(await ask(socket, "answer with", "null"), [null]);
  assert.deepEqual(await ask(socket, "answer with", "one"), ["one"]);
  assert.deepEqual(await ask(socket, "answer with", "false"), [false]);
  assert.deepEqual(await ask(socket, "answer with", "zero"), [0]);
  assert.deepEqual(await ask(socket, "answer with", "list"), [[1, 2, 3]]);
  const [a, b, c] = await ask(socket, "answer with", "several");
  assert.deepEqual([a, b, [...bytes(c)]], ["a", { b: [true, null] }, [1, 2]]);
  assert.equal(await socket.emitWithAck("answer with", "one"), "one");
});

check("of several handlers the first result that is not None is the ack", async (tools) => {
  assert.deepEqual(await ask(await tools.connect(), "two answers"), ["second"]);
});

check("late acks, and only the first", async (tools) => {
  const socket = await tools.connect();
  const order = [];
  const late = ask(socket, "late ack", 0.3, "a", 1).then((response) => (order.push("late"), response));
  const early = ask(socket, "echo", 1).then(() => order.push("early"));
  assert.deepEqual(await late, ["a", 1]);
  await early;
  assert.deepEqual(order, ["early", "late"]);
  assert.deepEqual(await ask(socket, "native ack", "from a thread"), ["from a thread"]);
});

check("a handler is told whether the client waits for an ack", async (tools) => {
  const socket = await tools.connect();
  assert.deepEqual(await ask(socket, "ack requested"), [true]);
  socket.emit("ack requested");
  await ask(socket, "echo");
  assert.deepEqual(await note(socket.id, "requested"), ["requested", true]);
});

check("an event without a handler is never acknowledged", async (tools) => {
  const socket = await tools.connect();
  await assert.rejects(socket.timeout(200).emitWithAck("nobody handles this"));
});

check("the server emits with an ack", async (tools) => {
  const socket = await tools.connect();
  socket.on("question", (value, answer) => answer(value + 1, Buffer.from("b")));
  const acked = next(socket, "acked");
  socket.emit("emit with ack", "question", 5);
  const [value, binary] = await acked;
  assert.deepEqual([value, bytes(binary).toString()], [6, "b"]);
});

check("a call inside a handler: none, one and several values", async (tools) => {
  const socket = await tools.connect();
  socket.on("sum", (a, b, answer) => answer(a + b));
  socket.on("nothing", (answer) => answer());
  socket.on("several", (answer) => answer(1, "two", [3]));
  socket.on("binary", (data, answer) => answer({ back: data }));
  assert.deepEqual(await ask(socket, "call back", "sum", 2, 3), [5]);
  assert.deepEqual(await ask(socket, "call back", "nothing"), []);
  assert.deepEqual(await ask(socket, "call back", "several"), [1, "two", [3]]);
  assert.equal(bytes((await ask(socket, "call back", "binary", Buffer.from("xyz")))[0].back).toString(), "xyz");
});

check("a call whose answer takes a while does not hold up other clients", async (tools) => {
  const [slow, quick] = await Promise.all([tools.connect(), tools.connect()]);
  const asked = new Promise((resolve) => slow.on("wait", resolve));
  const answer = ask(slow, "call back", "wait");
  const give = await asked;
  for (let round = 0; round < 10; round++) await ask(quick, "echo", round);
  give("at last");
  assert.deepEqual(await answer, ["at last"]);
});

check("a call's time-out", async (tools) => {
  const [{ error, after }] = await ask(await tools.connect(), "call timeout", 0.3);
  assert.equal(error, "AckTimeout");
  assert.ok(after >= 0.29 && after < 1.5, after);
});

check("a call ends at once when the client goes", async (tools) => {
  const socket = await tools.connect();
  const { id } = socket;
  const asked = next(socket, "never answered");
  socket.emit("call until gone");
  await asked;
  socket.disconnect();
  const [, reason, after] = await note(id, "call ended");
  assert.match(reason, /^(client namespace disconnect|transport close)$/);
  assert.ok(after < 3, after);
});

check("a call ends at once when the connection breaks", async (tools) => {
  const socket = await tools.connect();
  const { id } = socket;
  const asked = next(socket, "never answered");
  socket.emit("call until gone");
  await asked;
  socket.io.engine.close();
  const [, reason, after] = await note(id, "call ended");
  assert.match(reason, /^transport (close|error)$/);
  assert.ok(after < 3, after);
});

check("a call ends at once when the server disconnects the client", async (tools) => {
  const socket = await tools.connect();
  const { id } = socket;
  socket.emit("quit while calling");
  const [, reason] = await note(id, "call ended");
  assert.equal(reason, "server namespace disconnect");
});

check("events of one client are handled one at a time, in order, however slow", async (tools) => {
  const socket = await tools.connect();
  const done = [];
  socket.on("slow done", (number) => done.push(number));
  const pauses = [0.2, 0.01, 0.1, 0, 0.05, 0, 0];
  await Promise.all(pauses.map((pause, number) => ask(socket, "slow", number, pause)));
  assert.deepEqual(done, [0, 1, 2, 3, 4, 5, 6]);
});

check("a slow handler does not hold up other clients", async (tools) => {
  const [slow, quick] = await Promise.all([tools.connect(), tools.connect()]);
  const blocked = ask(slow, "block", 0.8);
  const started = Date.now();
  for (let round = 0; round < 5; round++) await ask(quick, "echo", round);
  assert.ok(Date.now() - started < 700, `${Date.now() - started} ms`);
  assert.deepEqual(await blocked, ["awake"]);
});

check("concurrent handlers do not wait for each other", async (tools) => {
  const socket = await tools.connect();
  const order = [];
  await Promise.all([0.4, 0.01].map((pause, number) => ask(socket, "slow concurrent", number, pause).then(([n]) => order.push(n))));
  assert.deepEqual(order, [1, 0]);
});

check("an exception in a handler is its own affair", async (tools) => {
  const socket = await tools.connect();
  let answered = false;
  socket.emit("raise", () => (answered = true));
  socket.emit("sys exit");
  assert.deepEqual(await ask(socket, "echo", "still"), ["still"]);
  assert.equal(answered, false);
  assert.deepEqual(await note(socket.id, "error"), ["error", "RuntimeError", "on purpose"]);
});

check("wrong numbers of arguments are refused, nothing more", async (tools) => {
  const socket = await tools.connect();
  socket.emit("two arguments", 1);
  socket.emit("two arguments", 1, 2, 3);
  assert.deepEqual(await ask(socket, "two arguments", 1, 2), ["two came"]);
  assert.equal((await note(socket.id, "error"))[1], "WrongArguments");
});

check("typed payloads arrive as their types, and what does not fit is answered", async (tools) => {
  const socket = await tools.connect();
  const orders = [{ item: "tea", when: new Date(0), picture: Buffer.from("abc") }, { item: "milk", count: 2 }];
  assert.deepEqual(await ask(socket, "order", orders), [[["tea", 1, 3, 1970], ["milk", 2, 0, null]]]);
  const [{ error }] = await ask(socket, "order", [{ item: "tea" }, { item: "milk", count: "many" }]);
  assert.deepEqual(error, { code: "invalid_payload", path: "[0][1].count", message: "Expected `int`, got `str`" });
  assert.equal((await ask(socket, "order"))[0].error.path, "[0]");
  assert.equal((await note(socket.id, "error"))[1], "WrongArguments");
  assert.deepEqual(await ask(socket, "order", []), [[]]);
});

check("what cannot be sent is the caller's error, and nothing is sent", async (tools) => {
  const socket = await tools.connect();
  let seen = 0;
  socket.on("never seen", () => seen++);
  const [text] = await ask(socket, "cannot be sent");
  assert.match(text, /args\[0\]\["deep"\]\[0\]/);
  await ask(socket, "echo");
  assert.equal(seen, 0);
});

check("reserved names cannot be emitted", async (tools) => {
  const [names] = await ask(await tools.connect(), "reserved");
  assert.deepEqual(names, ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]);
});

check("packet middleware keeps events away and changes them", async (tools) => {
  const socket = await tools.connect("", { query: { guard: "1" } });
  socket.emit("forbidden", 1);
  assert.deepEqual(await ask(socket, "mutate", 1), [1, "added"]);
  assert.equal((await note(socket.id, "error"))[2], "forbidden event");
});

check("once is once, per socket", async (tools) => {
  const socket = await tools.connect();
  assert.deepEqual(await ask(socket, "just once"), ["the only time"]);
  await assert.rejects(socket.timeout(200).emitWithAck("just once"));
});

check("each socket has a context of its own", async (tools) => {
  const [a, b] = await Promise.all([tools.connect(), tools.connect()]);
  assert.deepEqual(await ask(a, "remember", "alice"), ["nobody"]);
  assert.deepEqual(await ask(b, "remember", "bob"), ["nobody"]);
  assert.deepEqual(await ask(a, "remember", "x"), ["alice"]);
  assert.deepEqual(await ask(b, "remember", "y"), ["bob"]);
});

check("background work emits", async (tools) => {
  const socket = await tools.connect();
  const arrived = next(socket, "from spawn");
  socket.emit("spawned", [1]);
  assert.deepEqual(await arrived, [[1]]);
});

check("a page of the web application emits", async (tools) => {
  const socket = await tools.connect();
  const arrived = next(socket, "from a page");
  const { page } = await import("./checks.mjs");
  await page(`/emit?to=${socket.id}&event=from+a+page&value=${encodeURIComponent('{"a":[1]}')}`);
  assert.deepEqual(await arrived, [{ a: [1] }]);
});

check("a thousand events each way keep their order", async (tools) => {
  const socket = await tools.connect();
  const got = [];
  socket.on("number", (number) => got.push(number));
  for (let number = 0; number < 1000; number++) socket.emit("count", number);
  socket.emit("please emit many", "number", 1000);
  const [counted] = await ask(socket, "counted");
  assert.deepEqual(counted, [...Array(1000).keys()]);
  while (got.length < 1000) await sleep(10);
  assert.deepEqual(got, [...Array(1000).keys()]);
});

check("volatile and compressed emits of the client are events like any other", async (tools) => {
  const socket = await tools.connect();
  assert.deepEqual(await ask(socket.compress(true), "echo", 1), [1]);
  assert.equal(await socket.timeout(5000).emitWithAck("echo", "with a time-out"), "with a time-out");
});
