// Files go up: whole, with a break in the middle, with the server away for a while, twice, too large, and with the wrong digest.
// Its arguments are files: some megabytes, a few megabytes, one that is too large.
"use strict";

const assert = require("node:assert");
const { PHONE, ask, open, picture, rest, run, seen } = require("./browser.cjs");

const [large, small, tooLarge] = rest;
const MEGABYTE = 1024 * 1024;

// Note the offsets of the chunks that the page sends, and do something right before one of them goes out.
const before = (page, offset, what) =>
  page.evaluate(([offset, what]) => {
    window.offsets = [];
    socket.offAnyOutgoing().onAnyOutgoing((event, digest, at) => {
      if (event !== "chunk") return;
      window.offsets.push(at);
      if (at === offset) {
        if (what === "pause") document.querySelector("#uploads button").click();
        else setTimeout(() => socket.io.engine.close()); // the connection breaks with chunks on their way
      }
    });
  }, [offset, what]);

run(async (browser) => {
  const desk = await open(browser, "desk");
  await seen(desk, "#state", "websocket");
  await seen(desk, "#limits", "up to 64.0 MB");

  // Paused in the middle; meanwhile the server is started again: it goes on at the byte that it had come to.
  await before(desk, 9 * MEGABYTE, "pause");
  await desk.setInputFiles("#files", large);
  await seen(desk, "#uploads .is", "paused");
  assert.equal(await desk.locator("#uploads .here").count(), 9 * 4 + 1); // what was on its way has arrived
  const phone = await open(browser, "phone", PHONE);
  await phone.setInputFiles("#files", small);
  await seen(phone, "#uploads [data-state=done] .is", "stored");
  await seen(desk, "#stored li", "seeds.pdf");
  await picture(browser, "upload", desk, phone);
  await ask("stop");
  await seen(desk, "#state", "offline");
  await desk.click("#uploads button");
  await seen(desk, "#uploads .is", "waiting for the server");
  await ask("start");
  await seen(desk, "#uploads [data-state=done] .is", "stored");
  const offsets = await desk.evaluate("offsets");
  assert.deepEqual(offsets, [...offsets.keys()].map((n) => n * MEGABYTE / 4)); // each chunk once

  // A break with chunks on their way: nobody has to do anything.
  await desk.reload();
  await seen(desk, "#limits", "up to");
  await before(desk, MEGABYTE, "break");
  await desk.evaluate(() => { // another file: the same one would be there already
    const data = new Uint8Array(3 * 1024 * 1024).fill(7);
    take([new File([data], "sevens.bin")]);
  });
  await seen(desk, "#stored li", "sevens.bin");
  await seen(desk, "#uploads [data-state=done] b", "sevens.bin");

  // What is there already is not sent again.
  await desk.evaluate("offsets = []");
  await desk.setInputFiles("#files", small);
  await seen(desk, "#uploads [data-state=done] b", "seeds.pdf");
  assert.deepEqual(await desk.evaluate("offsets"), []);

  // What is refused: by the page, and by the server, which trusts no page.
  await desk.setInputFiles("#files", tooLarge);
  await seen(desk, "#uploads [data-state=failed] .is", "larger than 64.0 MB");
  const tell = (...event) => desk.evaluate((event) => socket.timeout(5000).emitWithAck(...event), event);
  const digest = "0".repeat(64);
  assert.match((await tell("begin", "x", 64 * MEGABYTE + 1, digest)).error, /may have 64 MB/);
  assert.match((await tell("begin", "x", 5, "../../passwd")).error, /no SHA-256/);
  assert.match((await tell("chunk", digest, 0, "x")).error, /has not begun/);
  assert.deepEqual(await tell("begin", "x", 5, digest), { received: 0 });
  const send = (offset, size) => desk.evaluate(([d, o, n]) => socket.timeout(5000).emitWithAck("chunk", d, o, new Uint8Array(n)), [digest, offset, size]);
  assert.deepEqual(await send(3, 2), { received: 0 }); // not the next one
  assert.deepEqual(await send(0, 6), { received: 0 }); // more than it may have
  assert.deepEqual(await send(0, 3), { received: 3 });
  assert.match((await send(3, 2)).error, /SHA-256 is another/);
  assert.deepEqual(await tell("begin", "x", 5, digest), { received: 0 }); // nothing of it was kept
});
