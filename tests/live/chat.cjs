// Two people talk in examples/chat, one at a desk and one with a phone:  node chat.cjs URL CHROMIUM FLAGS FOLDER
// FLAGS is a JSON list; with a FOLDER that is not empty the pictures for the docs are taken. Reads "gone" and "back" from its input, when the
// server has been stopped and started again, and prints a line when it wants that: "stop" and "start". Ends with "done".
"use strict";

const assert = require("node:assert");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const [url, executablePath, flags, folder] = process.argv.slice(2);
const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const ask = async (what, expected) => {
  console.log(what);
  assert.equal((await answers.next()).value, expected);
};

const seen = (page, selector, text) => page.locator(selector, { hasText: text }).first().waitFor({ timeout: 10_000 });
const say = async (page, text) => {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
  await seen(page, ".line.mine p", text);
};
const errors = [];

async function comeIn(browser, name, options) {
  const context = await browser.newContext({ locale: "en-GB", reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(`${name}: ${error}`));
  page.on("console", (message) => {
    // A server that is away is part of the story; the browser logs each failed attempt.
    if (message.type() === "error" && !message.text().includes("ERR_CONNECTION")) errors.push(`${name}: ${message.text()}`);
  });
  await page.goto(url);
  await page.fill("#name", name);
  await page.press("#name", "Enter");
  await seen(page, "#title", "lobby");
  await seen(page, "#state", "websocket"); // the upgrade has happened
  return page;
}

async function talk(ada, lin) {
  await seen(ada, ".note", "Lin came in");
  await seen(ada, "#who", "2 people here");
  await seen(ada, "#people li.mine", "Ada");
  await seen(ada, "#people li", "Lin");

  await say(ada, "Morning! Did the night build come through?");
  await seen(lin, ".line:not(.mine) p", "Did the night build come through?");
  await say(lin, "It did, all green, both runtimes");
  await seen(ada, ".line:not(.mine) p", "all green");
  await say(ada, "Lovely. Then I'll put the kettle on.");
  await say(ada, "Tea or coffee?");
  await seen(lin, ".line p", "Tea or coffee?");
  await say(lin, "Coffee, please. I'm on the train,\ntwo stops away.");
  await seen(ada, ".line p", "two stops away.");

  // Typing is told, and forgotten when the line comes.
  await ada.locator("#text").pressSequentially("One coff");
  await seen(lin, "#typing", "Ada is typing");
}

async function rooms(ada, lin) {
  await say(ada, "One <b>coffee</b> it is");
  await seen(lin, ".line p", "One <b>coffee</b> it is"); // as text, never as markup
  await lin.waitForFunction(() => document.querySelector("#typing").textContent === "");

  // Lin goes to another room: told, counted, and out of earshot.
  await lin.click("#menu");
  await lin.click("#rooms button:has-text('kitchen')");
  await seen(lin, "#title", "kitchen");
  await seen(lin, ".empty", "Nothing has been said here yet.");
  await seen(ada, ".note", "Lin left");
  await seen(ada, "#who", "only you are here");
  await seen(ada, "#rooms button:has-text('kitchen') small", "1");
  await say(ada, "Only for the lobby");
  await say(lin, "Only for the kitchen");
  assert.equal(await lin.getByText("Only for the lobby").count(), 0);
  assert.equal(await ada.getByText("Only for the kitchen").count(), 0);

  // A room of one's own exists while somebody is in it, and what was said is there for whoever comes in later.
  await ada.fill("#new-room input", "Garden");
  await ada.press("#new-room input", "Enter");
  await seen(ada, "#title", "garden");
  await say(ada, "Hello, tomatoes");
  await lin.click("#menu");
  await lin.click("#rooms button:has-text('garden')");
  await seen(lin, ".line:not(.mine) p", "Hello, tomatoes");
}

async function breaks(ada, lin) {
  await ask("stop", "gone");
  for (const page of [ada, lin]) {
    await seen(page, "#notice", "Trying again");
    await seen(page, "#state", "offline");
  }
  await ada.fill("#text", "Still there?");
  await ada.press("#text", "Enter"); // offline: nothing is lost and nothing is sent
  assert.equal(await ada.inputValue("#text"), "Still there?");
  await ask("start", "back");
  // Both at once: the notice goes away by itself.
  await Promise.all([ada, lin].map(async (page) => {
    await seen(page, "#notice.good", "Back online");
    await seen(page, "#title", "garden"); // the room was kept
    await seen(page, "#who", "2 people here");
  }));
  await ada.press("#text", "Enter");
  await seen(lin, ".line:not(.mine) p", "Still there?");
}

// One picture of both, for the README: the desk in light, the phone in dark.
async function picture(browser, ada, lin) {
  const [desk, phone] = [await ada.screenshot(), await lin.screenshot()].map((png) => `data:image/png;base64,${png.toString("base64")}`);
  const page = await browser.newPage({ viewport: { width: 1456, height: 760 } });
  await page.setContent(`<style>
    body { margin: 0; height: 760px; background: linear-gradient(135deg, #cfe6dd, #e9e0cf); position: relative; overflow: hidden }
    img { position: absolute; display: block }
    #desk { left: 44px; top: 60px; width: 1020px; border-radius: 14px; box-shadow: 0 24px 60px rgb(20 40 35 / .28) }
    #phone { right: 44px; top: 48px; width: 292px; border-radius: 34px; border: 9px solid #101413; box-shadow: 0 24px 60px rgb(20 40 35 / .4) }
  </style><img id="desk" src="${desk}"><img id="phone" src="${phone}">`);
  await page.waitForFunction(() => [...document.images].every((image) => image.complete));
  await page.screenshot({ path: `${folder}/chat.png` });
}

(async () => {
  const browser = await chromium.launch({ executablePath, args: JSON.parse(flags) });
  try {
    const ada = await comeIn(browser, "Ada", { viewport: { width: 1180, height: 720 }, colorScheme: "light" });
    const lin = await comeIn(browser, "Lin", { viewport: { width: 390, height: 780 }, colorScheme: "dark", isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
    await talk(ada, lin);
    if (folder) await picture(browser, ada, lin);
    await rooms(ada, lin);
    await breaks(ada, lin);
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
