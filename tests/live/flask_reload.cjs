// Clients that wait for a new version of their server:  node flask_reload.cjs URL COUNT
// Prints "COUNT see version N" whenever all of them have been told of the next one.
"use strict";

const { io } = require("socket.io-client");

const [url, count] = [process.argv[2], Number(process.argv[3])];
const versions = new Map();
let next = 1;
for (let client = 0; client < count; client++) {
  const socket = io(url, { forceNew: true, transports: ["websocket"], reconnectionDelay: 100, reconnectionDelayMax: 200 });
  socket.on("version", (version) => {
    versions.set(client, version);
    if ([...versions.values()].filter((each) => each === next).length === count) console.log(`${count} see version ${next++}`);
  });
}
