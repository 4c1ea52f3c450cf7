// The official client, cut off again and again, each time coming back to another server:
// `node moving.cjs REDIS_URL ROUNDS URL…`. Prints a line for each thing that the test waits for; reads "done" and the count when all was emitted.
"use strict";

const { io } = require("socket.io-client");
const { createClient } = require("redis");
const { createInterface } = require("node:readline");

const [redisUrl, rounds, ...urls] = process.argv.slice(2);
const heard = {};
const problems = [];
let wanted = -1;

function isComplete() {
  return wanted >= 0 && Object.keys(heard).length >= 3 && Object.values(heard).every((numbers) => numbers.length >= wanted);
}

async function main() {
  const redis = createClient({ url: redisUrl });
  await redis.connect();
  const socket = io(`${urls[0]}/team`, { transports: ["websocket"], reconnection: false });
  const connected = () => new Promise((resolve) => socket.once("connect", resolve));
  socket.on("n", (server, number) => {
    const numbers = (heard[server] ||= []);
    if (number !== (numbers.at(-1) ?? -1) + 1) problems.push(`at ${socket.io.uri} ${server}: ${number} after ${numbers.at(-1)}`);
    numbers.push(number);
  });
  await connected();
  const { id } = socket;
  console.log("ready");
  createInterface({ input: process.stdin }).on("line", (line) => { wanted = Number(line); });
  const end = Date.now() + 30_000;
  for (let round = 1; round <= Number(rounds); round++) {
    const before = Object.values(heard).reduce((sum, numbers) => sum + numbers.length, 0);
    while (Object.values(heard).reduce((sum, numbers) => sum + numbers.length, 0) < before + 5 && Date.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 5));
    const pid = socket._pid;
    socket.io.engine.close();
    while (Date.now() < end && !(await redis.exists(`sio:session:${pid}`))) await new Promise((resolve) => setTimeout(resolve, 5));
    socket.io.uri = urls[round % urls.length];
    const back = connected();
    socket.connect();
    await back;
    if (!socket.recovered || socket.id !== id) problems.push(`not recovered in round ${round} at ${urls[round % urls.length]}`);
  }
  console.log("moved");
  const deadline = Date.now() + 10_000;
  while (!isComplete() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  console.log(JSON.stringify({ problems, counts: Object.fromEntries(Object.entries(heard).map(([name, numbers]) => [name, numbers.length])) }));
  process.exit(0);
}

main();
