// Two people watch a server; who comes later sees what was, a mark is everybody's, and a restart is survived.
"use strict";

const assert = require("node:assert");
const { PHONE, ask, folder, open, picture, run, seen } = require("./browser.cjs");

const count = (page) => page.$eval("#load .line", (line) => (line.getAttribute("d") || "").split("L").length);
const has = (page, least) => page.waitForFunction((n) => (document.querySelector("#load .line").getAttribute("d") || "").split("L").length >= n, least, { timeout: 150_000 });

run(async (browser) => {
  const desk = await open(browser, "desk");
  await seen(desk, "#state", "websocket");
  await has(desk, folder ? 100 : 3); // a picture has more to show

  // What was comes at once, before a second has brought anything new.
  const phone = await open(browser, "phone", PHONE);
  await seen(phone, "#since", "seconds, live");
  assert.ok((await count(phone)) >= 3);
  await seen(desk, "#pages b", "2");
  await desk.waitForFunction(() => Number(document.querySelector("#trip b").textContent) > 0);

  await phone.fill("#mark input", "deployed <b>1.2</b>");
  await phone.click("#mark button");
  await seen(desk, "#load .marks span", "deployed <b>1.2</b>"); // as text, never as markup
  await seen(phone, "#trip .marks span", "deployed");
  await desk.reload();
  await seen(desk, "#load .marks span", "deployed");
  await picture(browser, "dashboard", desk, phone);

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
