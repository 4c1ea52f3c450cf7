// Many at once, and everything that must survive an upgrade.
import assert from "node:assert/strict";
import { ask, check, connected, mode, next, sleep } from "./checks.mjs";

const upgraded = async (socket) => {
  if (mode === "upgrade" && socket.io.engine.transport.name !== "websocket") await next(socket.io.engine, "upgrade");
};

for (const pause of ["", "0.002"]) {
  const how = pause ? "over some time" : "at once";
  check(`300 emits from the connection handler ${how} arrive in order, upgrading or not`, async (tools) => {
    const socket = tools.open("", { query: pause ? { burst: 300, pause } : { burst: 300 } });
    const got = [];
    socket.on("burst", (number, binary) => {
      got.push(number);
      if (number % 10 === 9) assert.equal(binary.byteLength, 2 * ((number % 7) + 1));
    });
    while (got.length < 300) await sleep(10);
    await upgraded(socket);
    await ask(socket, "echo");
    assert.deepEqual(got, [...Array(300).keys()]);
  });
}

check("300 emits of the client arrive in order, upgrading or not", async (tools) => {
  const socket = tools.open();
  for (let number = 0; number < 300; number++) {
    socket.emit("count", number);
    if (number % 20 === 19) await sleep(5);
  }
  await upgraded(socket);
  const [counted] = await ask(socket, "counted");
  assert.deepEqual(counted, [...Array(300).keys()]);
});

check("acks and calls survive the upgrade", async (tools) => {
  const socket = tools.open();
  socket.on("question", (value, answer) => setTimeout(answer, 5, value));
  for (let number = 0; number < 60; number++) {
    assert.deepEqual(await ask(socket, "call back", "question", number), [number]);
    assert.deepEqual(await ask(socket, "echo", Buffer.from([number])).then(([data]) => [...new Uint8Array(data)]), [number]);
  }
  await upgraded(socket);
});

check(
  "100 clients at once",
  async (tools) => {
    const room = "hundred" + Math.random();
    const sockets = Array.from({ length: 100 }, () => tools.open());
    const got = sockets.map(() => 0);
    sockets.forEach((socket, number) => socket.on("news", () => got[number]++));
    await Promise.all(sockets.map(connected));
    assert.equal(new Set(sockets.map(({ id }) => id)).size, 100);
    await Promise.all(
      sockets.map(async (socket, number) => {
        await ask(socket, "join", room);
        for (let round = 0; round < 5; round++) assert.deepEqual(await ask(socket, "echo", number, round), [number, round]);
      }),
    );
    await ask(sockets[0], "tell", { to: room }, "news");
    await Promise.all(sockets.map((socket) => ask(socket, "echo")));
    assert.deepEqual(got, Array(100).fill(1));
  },
  { alone: true },
);

check(
  "100 clients that come and go",
  async (tools) => {
    await Promise.all(
      Array.from({ length: 100 }, async (_, number) => {
        const socket = tools.open(number % 3 ? "" : "/custom");
        await connected(socket);
        assert.deepEqual(await ask(socket, "echo", number), [number]);
        socket.disconnect();
      }),
    );
  },
  { alone: true },
);
