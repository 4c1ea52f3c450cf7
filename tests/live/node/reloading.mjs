// Clients that stay while a server reloads: node reloading.mjs URL COUNT. Says when all have asked for the version, each time anew.
import { createRequire } from "node:module";

const { io } = createRequire(import.meta.url)("socket.io-client");
const [, , url, count] = process.argv;
const versions = new Map();
let said = 0;

for (let number = 0; number < Number(count); number++) {
  const socket = io(url, { forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 200 });
  socket.on("connect", async () => {
    versions.set(number, await socket.emitWithAck("version"));
    const values = [...versions.values()];
    if (values.length === Number(count) && values[0] !== said && values.every((value) => value === values[0])) {
      said = values[0];
      console.log(`${count} have version ${said}`);
      if (said === 2) process.exit(0);
    }
  });
}
