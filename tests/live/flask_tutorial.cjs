// The chat of docs/flask.md in a browser:  node flask_tutorial.cjs STEP URL CHROMIUM FLAGS
// STEP is "first" or "second"; FLAGS is a JSON list. Ends with "done".
"use strict";

const assert = require("node:assert");
const { chromium } = require("playwright-core");

const [step, url, executablePath, flags] = process.argv.slice(2);
const errors = [];

async function open(browser) {
  const context = await browser.newContext();
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(url);
  return page;
}

const seen = (page, text) => page.locator("#lines li", { hasText: text }).first().waitFor();
const say = async (page, text) => {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
};

async function first(browser) {
  const [one, two] = [await open(browser), await open(browser)];
  await two.waitForFunction("socket.connected");
  await say(one, "Hello <b>all</b>");
  await Promise.all([seen(one, "Hello <b>all</b>"), seen(two, "Hello <b>all</b>")]);
  await two.waitForFunction("socket.io.engine.transport.name === 'websocket'");
}

async function second(browser) {
  const comeIn = async (name, room) => {
    const page = await open(browser);
    await page.fill("#name", name);
    await page.fill("#room", room);
    await page.click("button");
    await seen(page, `${name} came in`);
    return page;
  };
  const ada = await comeIn("Ada", "kitchen & hall");
  const bob = await comeIn("Bob", "kitchen & hall");
  const cid = await comeIn("Cid", "garden");
  await seen(ada, "Bob came in");
  await say(ada, "Tea?");
  await seen(bob, "Ada: Tea?");
  await ada.locator("#state", { hasText: "4 characters arrived" }).waitFor();
  await ada.evaluate("fetch('/announce', { method: 'POST', body: new URLSearchParams({ text: 'closing time' }) })");
  await Promise.all([ada, bob, cid].map((page) => seen(page, "All: closing time")));
  assert.equal(await cid.getByText("Tea?").count(), 0);
  await bob.close();
  await seen(ada, "Bob left");
  const nobody = await open(browser);
  await nobody.goto(`${url}room/garden`);
  await nobody.locator("#state", { hasText: "say who you are first" }).waitFor();
}

(async () => {
  const browser = await chromium.launch({ executablePath, args: JSON.parse(flags) });
  try {
    await { first, second }[step](browser);
    assert.deepEqual(errors, []);
    console.log("done");
  } finally {
    await browser.close();
  }
  process.exit(0);
})().catch((error) => {
  console.error(errors.join("\n"));
  console.error(error);
  process.exit(1);
});
