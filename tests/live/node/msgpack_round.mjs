// node msgpack_round.mjs: for each line of standard input, a packet as hex, one line: what npm's parser reads (as JSON, bytes as {"bin": hex})
// and what it writes for that, as hex. Then what it writes for values that only JavaScript has.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { Encoder, Decoder } = createRequire(import.meta.url)("socket.io-msgpack-parser");
const encoder = new Encoder();
const hex = (buffer) => Buffer.from(buffer).toString("hex");
const seen = (value) => {
  if (Buffer.isBuffer(value)) return { bin: hex(value) };
  if (Array.isArray(value)) return value.map(seen);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, seen(item)]));
  return value;
};
const say = (packet) => console.log(JSON.stringify({ packet: seen(packet), hex: hex(encoder.encode(packet)[0]) }));

const decoder = new Decoder();
decoder.on("decoded", say);
for await (const line of createInterface({ input: process.stdin })) decoder.add(Buffer.from(line, "hex"));

const one = new Uint8Array([7]).buffer;
const data = ["e", undefined, new Date(1700000000123), new Date(-1), one, new ArrayBuffer(8), new Uint8Array([1, 2, 3]).buffer, NaN, { u: undefined }];
console.log(JSON.stringify({ hex: hex(encoder.encode({ type: 2, nsp: "/", data, id: undefined, options: { compress: true } })[0]) }));
console.log(JSON.stringify({ hex: hex(encoder.encode({ type: 0, nsp: "/", data: undefined })[0]) }));
