// What the stories of the examples share: a browser, people at a desk and with a phone, words with the test, a picture.
// A story is run as:  node STORY.cjs URL CHROMIUM FLAGS FOLDER …  where FLAGS is a JSON list, and FOLDER is empty without pictures.
"use strict";

const assert = require("node:assert");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const [url, executablePath, flags, folder, ...rest] = process.argv.slice(2);
const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const errors = [];

const DESK = { viewport: { width: 1100, height: 720 }, colorScheme: "light" };
const PHONE = { viewport: { width: 390, height: 800 }, colorScheme: "dark", isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

// Have the test stop the server, or start it again.
async function ask(what) {
  console.log(what);
  assert.equal((await answers.next()).value, { stop: "gone", start: "back" }[what]);
}

const seen = (page, selector, text) => page.locator(selector, { hasText: text }).first().waitFor();

// Which errors of the browser's log are part of the story. A server that is away is; and who is refused hangs up, and asks for more
// in the same moment: what comes second finds no session.
const AWAY = /ERR_CONNECTION/;
const REFUSED = /ERR_CONNECTION|400 \(Bad Request\)/;

function watch(page, name, expected = AWAY) {
  page.setDefaultTimeout(10_000);
  // Seconds between attempts are for people. A page that is left in this moment needs none.
  page.on("domcontentloaded", () => page.evaluate("socket.io.reconnectionDelay(100).reconnectionDelayMax(300)").catch(() => {}));
  page.on("pageerror", (error) => errors.push(`${name}: ${error}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !expected.test(message.text())) errors.push(`${name}: ${message.text()}`);
  });
  return page;
}

async function open(browser, name, options = DESK, expected = undefined) {
  const context = await browser.newContext({ locale: "en-GB", reducedMotion: "reduce", ...options });
  const page = watch(await context.newPage(), name, expected);
  await page.goto(url);
  return page;
}

// One picture of both for the docs: a desk and a phone. Plain colours keep the file small.
async function picture(browser, name, desk, phone) {
  if (!folder) return;
  const [one, other] = await Promise.all([desk, phone].map(async (page) => `data:image/png;base64,${(await page.screenshot()).toString("base64")}`));
  const page = await browser.newPage({ viewport: { width: 1200, height: 600 } });
  await page.setContent(`<style>
    body { margin: 0; height: 600px; background: #dfe3e6; position: relative; overflow: hidden }
    img { position: absolute; display: block; border: 1px solid #b9c0c6 }
    #desk { left: 28px; top: 28px; width: 832px; border-radius: 10px }
    #phone { right: 28px; top: 24px; width: 264px; border-radius: 28px; border: 8px solid #101413 }
  </style><img id="desk" src="${one}"><img id="phone" src="${other}">`);
  await page.waitForFunction(() => [...document.images].every((image) => image.complete));
  await page.screenshot({ path: `${folder}/${name}.png` });
  await page.close();
}

async function story(tell) {
  const browser = await chromium.launch({ executablePath, args: JSON.parse(flags) });
  try {
    await tell(browser);
    assert.deepEqual(errors, []);
    console.log("done");
  } finally {
    await browser.close();
  }
}

const run = (tell) =>
  story(tell).then(
    () => process.exit(0),
    (error) => {
      console.error(errors.join("\n"));
      console.error(error);
      process.exit(1);
    },
  );

module.exports = { DESK, PHONE, REFUSED, ask, folder, open, picture, rest, run, seen, url, watch };
