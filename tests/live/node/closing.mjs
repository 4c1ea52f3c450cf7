// What a client sees of a server that closes, and of the next one on its port: node closing.mjs URL MODE.
import { io, transports, url } from "./checks.mjs";

const socket = io(url, { transports, reconnectionDelay: 20, reconnectionDelayMax: 50 });
socket.once("connect", () => {
  const { id } = socket;
  socket.emit("close the server");
  socket.once("disconnect", (reason) => console.log(JSON.stringify({ reason, active: socket.active })));
  socket.once("connect", () => console.log(JSON.stringify({ back: true, new: socket.id !== id })));
});
