// The same application on Socket.IO for Node, with default options: `node peer.cjs PORT`, NODE_PATH names its packages.
"use strict";
const http = require("node:http");
const { Server } = require("socket.io");

const server = http.createServer((request, response) => response.end("ok"));
const io = new Server(server);
io.on("connection", (socket) => {
  socket.on("echo", (data, answer) => answer(data));
  socket.on("bin", (data, answer) => answer(data));
  socket.on("bcast", (data) => io.emit("tick", data));
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 2048 });
