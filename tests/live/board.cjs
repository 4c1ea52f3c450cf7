// Ada and Lin at the board of examples/django_board:  node board.cjs URL CHROMIUM FLAGS [FOLDER]
// FLAGS is a JSON list; with a FOLDER the picture for the docs is taken. Ends with "done".
"use strict";

const assert = require("node:assert");
const path = require("node:path");
const { chromium } = require("playwright-core");

const [url, executablePath, flags, folder] = process.argv.slice(2);
const errors = [];

async function comeIn(browser, name, size) {
  const context = await browser.newContext({ locale: "en-GB", reducedMotion: "reduce", viewport: size, deviceScaleFactor: 2 });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  watch(page, name);
  await page.goto(url);
  await page.fill("[name=username]", name);
  await page.fill("[name=password]", "board");
  await page.click(".card button");
  await page.locator("#state", { hasText: "live" }).waitFor();
  return page;
}

function watch(page, name) {
  page.on("pageerror", (error) => errors.push(`${name}: ${error}`));
  page.on("console", (message) => message.type() === "error" && errors.push(`${name}: ${message.text()}`));
}

const byText = async (page, text) => {
  const handle = await page.waitForFunction((text) => [...document.querySelectorAll(".note")].find((each) => each.querySelector("textarea").value === text), text);
  return handle.asElement();
};
const left = (element) => element.evaluate((each) => each.style.left);

async function main() {
  const browser = await chromium.launch({ executablePath, args: JSON.parse(flags) });
  const ada = await comeIn(browser, "ada", { width: 1100, height: 640 });
  const lin = await comeIn(browser, "lin", { width: 900, height: 640 });
  await ada.locator("#people li").nth(1).waitFor();
  await byText(lin, "Ship the board");

  // A new note, written by one and read by the other while it is written.
  await ada.locator("#board").dblclick({ position: { x: 640, y: 430 } });
  await ada.locator(".note textarea:focus").waitFor();
  await ada.keyboard.type("Ring the printer <b>today</b>");
  const seen = await byText(lin, "Ring the printer <b>today</b>");
  assert.equal(await seen.$("button"), null, "only its author may remove it");

  // It is dragged by the other, and goes along here.
  const before = await left(await byText(ada, "Ring the printer <b>today</b>"));
  const box = await seen.boundingBox();
  await lin.mouse.move(box.x + 90, box.y + box.height - 12);
  await lin.mouse.down();
  await lin.mouse.move(box.x + 20, box.y + 20, { steps: 8 });
  await lin.mouse.up();
  const mine = await byText(ada, "Ring the printer <b>today</b>");
  const where = (await left(seen)).slice(0, 11);
  assert.notEqual(where, before.slice(0, 11));
  await ada.waitForFunction(([each, where]) => each.style.left.startsWith(where), [mine, where]);
  if (folder) await ada.screenshot({ path: path.join(folder, "board.png") });

  // What is on the board is in the database.
  await ada.reload();
  const again = await byText(ada, "Ring the printer <b>today</b>");
  assert.equal((await left(again)).slice(0, 11), where);

  // Its author removes it, and all is removed by who may.
  await again.hover();
  await (await again.$("button")).click();
  await lin.waitForFunction(() => document.querySelectorAll(".note").length === 3);
  assert.equal(await lin.locator("#clear").count(), 0);
  await ada.click("#clear");
  await lin.waitForFunction(() => document.querySelectorAll(".note").length === 0);

  // Who logs out in one window is out in all.
  const second = await lin.context().newPage();
  watch(second, "lin again");
  await second.goto(url);
  await second.locator("#state", { hasText: "live" }).waitFor();
  await second.click("header form button");
  await lin.locator(".card [name=password]").waitFor();
  await ada.waitForFunction(() => document.querySelectorAll("#people li").length === 1);

  // Somebody new joins.
  await second.click("text=I am new here");
  await second.fill("[name=username]", "mia");
  await second.fill("[name=password1]", "a-long-password-7");
  await second.fill("[name=password2]", "a-long-password-7");
  await second.click(".card button");
  await second.locator("#state", { hasText: "live" }).waitFor();
  await ada.locator("#people li[title=mia]").waitFor();

  await browser.close();
  assert.deepEqual(errors, []);
  console.log("done");
}

main().catch((error) => {
  console.error(error, errors);
  process.exit(1);
});
