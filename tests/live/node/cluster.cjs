// A server of a cluster that does what its clients say: `node cluster.cjs ADAPTER URL NAME`; see tests/live/cluster_app.py.
"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { createClient } = require("redis");

const [adapter, url, name] = process.argv.slice(2);
const BYTES = Buffer.from([1, 2, 255]);

function withBytes(value) {
  if (value === "<bytes>") return BYTES;
  if (Array.isArray(value)) return value.map(withBytes);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withBytes(item)]));
}

async function main() {
  const client = createClient({ url, socket: { reconnectStrategy: 100 } });
  const other = client.duplicate();
  client.on("error", () => {});
  other.on("error", () => {});
  await Promise.all([client.connect(), other.connect()]);
  const makers = {
    RedisAdapter: () => require("@socket.io/redis-adapter").createAdapter(client, other, { requestsTimeout: 2000 }),
    ShardedRedisAdapter: () => require("@socket.io/redis-adapter").createShardedAdapter(client, other),
    RedisStreamsAdapter: () => require("@socket.io/redis-streams-adapter").createAdapter(client),
  };
  const http = createServer();
  const recovery = process.env.LIVE_RECOVERY ? { connectionStateRecovery: {} } : {};
  const io = new Server(http, { adapter: makers[adapter](), ...recovery });
  const team = io.of("/team");
  const heard = [];

  const those = (who) => {
    let found = team;
    if (who.rooms) found = found.to(who.rooms);
    if (who.except) found = found.except(who.except);
    return who.local ? found.local : found;
  };
  const answer = (error, answers) => (error ? { error: String(error), answers: error.responses || answers || [] } : { answers });

  team.on("connection", (socket) => {
    const on = (event, fn) =>
      socket.on(event, async (...args) => {
        const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
        ack(await fn(...args));
      });
    on("join", (room) => void socket.join(room));
    on("rooms", () => [...socket.rooms].filter((room) => room !== socket.id).sort());
    on("data", (data) => void Object.assign(socket.data, withBytes(data)));
    on("emit", (who, ...args) => void those(who).emit(...withBytes(args)));
    on("broadcast", (...args) => void socket.broadcast.emit(...args));
    on("call", (who, ...args) =>
      new Promise((resolve) => those(who).timeout((who.timeout || 5) * 1000).emit(...withBytes(args), (error, answers) => resolve(answer(error, answers)))));
    on("fetch", async (who) => {
      try {
        const found = await those(who).fetchSockets();
        return { answers: found.map(({ id, rooms, data, handshake }) => ({ id, rooms: [...rooms].sort(), data, query: handshake.query })) };
      } catch (error) {
        return answer(error);
      }
    });
    on("sockets_join", (who, rooms) => void those(who).socketsJoin(rooms));
    on("sockets_leave", (who, rooms) => void those(who).socketsLeave(rooms));
    on("disconnect_sockets", (who, close) => void those(who).disconnectSockets(close));
    on("side_emit", (...args) => void team.serverSideEmit(...withBytes(args)));
    on("side_call", (...args) =>
      new Promise((resolve) => team.serverSideEmit(...withBytes(args), (error, answers) => resolve(answer(error, answers)))));
    on("recovered", () => [socket.recovered, socket.data]);
    on("to_me", (...args) => void socket.emit(...withBytes(args)));
    on("volatile", (...args) => void team.volatile.emit(...args));
    on("heard", () => heard);
    on("nodes", () => team.adapter.serverCount());
    on("name", () => name);
  });
  team.on("news", (...args) => {
    const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
    heard.push(args);
    ack([name, ...args]);
  });
  http.listen(0, "127.0.0.1", () => console.log(http.address().port));
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
}

process.on("unhandledRejection", () => {}); // of what is published while Redis is gone: nobody waits for it
main();
