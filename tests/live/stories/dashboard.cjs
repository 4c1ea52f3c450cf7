// Two people watch a server; who comes later sees what was, a mark is everybody's, and a restart is survived.
"use strict";

const assert = require("node:assert");
const { PHONE, ask, folder, open, picture, run, seen } = require("./browser.cjs");

const count = (page) => page.$eval("#load .line", (line) => (line.getAttribute("d") || "").split("L").length);
const has = (page, least) => page.waitForFunction((n) => (document.querySelector("#load .line").getAttribute("d") || "").split("L").length >= n, least, { timeout: 150_000 });

// For the picture: two minutes in which more pages come and go.
async function settle(browser, desk) {
  for (const [seconds, pages] of [[30, 2], [60, 5], [85, 1], [110, 0]]) {
    const opened = await Promise.all(Array.from({ length: pages }, () => open(browser, "more")));
    await has(desk, seconds);
    await Promise.all(opened.map((page) => page.context().close()));
  }
}

run(async (browser) => {
  const desk = await open(browser, "desk");
  await seen(desk, "#state", "websocket");
  await has(desk, 3);

  // What was comes at once, before a second has brought anything new.
  const phone = await open(browser, "phone", PHONE);
  await seen(phone, "#since", "seconds, live");
  assert.ok((await count(phone)) >= 3);
  await seen(desk, "#pages b", "2");
  await desk.waitForFunction(() => Number(document.querySelector("#trip b").textContent) > 0);

  await phone.fill("#mark input", "deployed 1.2");
  await phone.click("#mark button");
  await seen(desk, "#load .marks span", "deployed 1.2");
  if (folder) await settle(browser, desk);
  await picture(browser, "dashboard", desk, phone);
  await desk.fill("#mark input", "<b>bold</b>");
  await desk.click("#mark button");
  await seen(phone, "#trip .marks span", "<b>bold</b>"); // as text, never as markup
  await desk.reload();
  await seen(desk, "#load .marks span", "deployed 1.2");

  // The pointer reads all charts at its moment.
  await desk.hover("#load .plot", { position: { x: 1, y: 40 } });
  await seen(desk, "#since", "seconds ago");
  await desk.hover("h1");
  await seen(desk, "#since", "seconds, live");

  await ask("stop");
  await seen(desk, "#state", "offline");
  await ask("start");
  await seen(desk, "#state", "websocket");
  await desk.locator("#load .marks span").waitFor({ state: "detached" }); // what a new server does not know
  await has(desk, 1);
});
