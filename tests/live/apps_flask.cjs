// Three applications in the style of Flask-SocketIO, in a browser:  node apps_flask.cjs CHROMIUM FLAGS CHAT DESK TICKER
// FLAGS is a JSON list, the rest are URLs. Ends with "done".
"use strict";

const assert = require("node:assert");
const { chromium } = require("playwright-core");

const [executablePath, flags, chatUrl, deskUrl, tickerUrl] = process.argv.slice(2);
const errors = [];

async function open(browser, url) {
  const context = await browser.newContext();
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(`${url}: ${error}`));
  page.on("console", (message) => message.type() === "error" && errors.push(`${url}: ${message.text()}`));
  await page.goto(url);
  return page;
}

const seen = (page, text) => page.locator("#log li", { hasText: text }).first().waitFor();
const lines = (page) => page.locator("#log li").allTextContents();

async function chat(browser) {
  const comeIn = async (name, room) => {
    const page = await open(browser, chatUrl);
    await page.fill("#name", name);
    await page.fill("#room", room);
    await page.click("#go");
    await seen(page, `${name} has entered the room.`);
    return page;
  };
  const say = async (page, text) => {
    await page.fill("#text", text);
    await page.press("#text", "Enter");
  };
  const ada = await comeIn("Ada", "kitchen");
  const bob = await comeIn("Bob", "kitchen");
  const cid = await comeIn("Cid", "garden");
  await seen(ada, "Bob has entered the room.");
  await say(ada, "Tea?");
  await seen(bob, "Ada: Tea?");
  await say(ada, "With milk?");
  await seen(bob, "Ada: With milk?");
  await ada.waitForFunction(() => document.title === "2 sent"); // the session of the connection
  await say(bob, "Yes");
  await seen(ada, "Bob: Yes");
  await say(cid, "Anybody?");
  await seen(cid, "Cid: Anybody?");
  await bob.click("#leave");
  await seen(ada, "Bob has left the room.");
  await seen(ada, "Bob is gone.");
  assert.deepEqual((await lines(cid)).filter((line) => !line.includes("Cid") && line !== "* connected"), []);
  assert.equal((await lines(ada))[0], "* connected"); // what `connect` emits
}

async function desk(browser) {
  const ink = await open(browser, `${deskUrl}?pen=ink`);
  await seen(ink, '["desk","strokes",0]');
  await seen(ink, '["desk","came","ink"]');
  await seen(ink, '["refused","no pen",{"sold":"next door"}]');
  const lead = await open(browser, `${deskUrl}?pen=lead`);
  await seen(ink, '["desk","came","lead"]');
  await seen(lead, '["refused"');
  await ink.evaluate("ask(desk, 'draw', [1, 2])");
  await seen(ink, '["answer",1,"strokes"]');
  await seen(lead, '["desk","drawn",[1,2]]');
  await ink.evaluate("ask(desk, 'sheet', 5)");
  await seen(ink, '["desk","sheet",{"number":5,"mine":true}]');
  await ink.evaluate("ask(desk, 'tidy', 5)");
  await seen(ink, '["answer","tidy"]');
  await ink.evaluate("desk.emit('picture', new Uint8Array([1, 2, 3]), (back) => log('picture', [...new Uint8Array(back)]))");
  await seen(ink, '["picture",[3,2,1]]');
  await ink.evaluate("ask(desk, 'break')");
  await seen(ink, '["answer","broken: the pen"]');
  await ink.evaluate("desk.emit('ready')");
  await seen(ink, '["desk","answered","ready","and steady"]');
  await ink.evaluate("ask(lamp, 'switch', true)");
  await seen(ink, '["answer","/lamp"]');
  await seen(lead, '["lamp","message",{"on":true}]');
  await ink.evaluate("ask(main, 'shine', 1, 2)");
  await seen(ink, '["answer","shine",[1,2]]');
  await ink.evaluate("fetch('/ring')");
  await seen(lead, '["lamp","ring","from a page"]');
  await ink.evaluate("desk.emit('leave')");
  await seen(ink, '["desk","message","bye"]');
  await seen(ink, '["gone","io server disconnect"]');
  await seen(lead, '["desk","left","server disconnect"]');
  assert.equal((await lines(lead)).filter((line) => line.includes("nobody hears") || line.includes("sheet")).length, 0);
}

async function ticker(browser) {
  const page = await open(browser, tickerUrl);
  const other = await open(browser, tickerUrl);
  await seen(page, "0: Connected");
  await seen(page, "1: I'm connected!");
  const ticks = (each) => each.waitForFunction(() => Number(document.querySelector("#count").textContent) > 5);
  await Promise.all([ticks(page), ticks(other)]);
  await page.evaluate("socket.emit('my_broadcast_event', { data: 'to all' })");
  await seen(other, "2: to all");
  await page.evaluate("socket.emit('my_ping')");
  await seen(page, "pong");
  await page.evaluate("socket.emit('disconnect_request')");
  await seen(page, "3: Disconnected!");
  await seen(page, "io server disconnect");
  return page.textContent("#mode");
}

(async () => {
  const browser = await chromium.launch({ executablePath, args: JSON.parse(flags) });
  try {
    await Promise.all([chat(browser), desk(browser)]);
    console.log(await ticker(browser));
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
