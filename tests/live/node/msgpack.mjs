// What msgpack makes different: types that JSON has no form for. Imported when the checks are run with socket.io-msgpack-parser.
import assert from "node:assert/strict";
import { ask, check, next } from "./checks.mjs";

check("bytes of every kind arrive as bytes, where they stand", async (tools) => {
  const socket = await tools.connect();
  const pooled = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
  const kinds = await ask(socket, "kinds", Buffer.from("x"), pooled, pooled.slice(0, 1), new ArrayBuffer(8), new ArrayBuffer(3), new Date(0));
  assert.deepEqual(kinds, ["bytes", "bytes", "bytes", "bytes", "bytes", "datetime"]);
  const [data] = await ask(socket, "echo", { deep: [Buffer.from([0, 255])] });
  assert.ok(Buffer.from([0, 255]).equals(data.deep[0]));
});

check("more bytes objects than attachments are allowed", async (tools) => {
  const socket = await tools.connect();
  const many = Array.from({ length: 50 }, (_, number) => Buffer.from([number]));
  const [back] = await ask(socket, "echo", many);
  assert.deepEqual(back.map(([byte]) => byte), [...Array(50).keys()]);
});

check("dates arrive as times, and undefined as null", async (tools) => {
  const socket = await tools.connect();
  const moment = new Date("2026-03-04T05:06:07.089Z");
  const [first, second, third] = await ask(socket, "echo", moment, undefined, { no: undefined, at: moment });
  assert.equal(first, "2026-03-04T05:06:07.089000+00:00");
  assert.equal(second, null);
  assert.deepEqual(third, { no: null, at: first });
});

check("numbers keep their value", async (tools) => {
  const socket = await tools.connect();
  const numbers = [0, -1, 127, 128, 255, 256, 65535, 65536, 2 ** 32, -(2 ** 31), -(2 ** 40), Number.MAX_SAFE_INTEGER, 1.5, 5e-324];
  assert.deepEqual(await ask(socket, "echo", ...numbers), numbers);
});

check("what is no packet closes the connection, and nothing else", async (tools) => {
  const [bad, good] = await Promise.all([tools.connect(), tools.connect()]);
  const gone = next(bad, "disconnect");
  bad.io.engine.write(Buffer.from([0xc1]));
  assert.match((await gone)[0], /^transport (close|error)$/);
  assert.deepEqual(await ask(good, "echo", "still here"), ["still here"]);
});
