// Two people sign up, log in and talk, as docs/django.md has it:  node tutorial.cjs URL CHROMIUM FLAGS. Ends with "done".
"use strict";

const assert = require("node:assert");
const { chromium } = require("playwright-core");

const [url, executablePath, flags] = process.argv.slice(2);
const errors = [];

async function comeIn(browser, name) {
  const context = await browser.newContext();
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(`${name}: ${error}`));
  await page.goto(`${url}accounts/signup/`);
  await page.fill("[name=username]", name);
  await page.fill("[name=password1]", "a-long-password-7");
  await page.fill("[name=password2]", "a-long-password-7");
  await page.click("button");
  await page.fill("[name=username]", name);
  await page.fill("[name=password]", "a-long-password-7");
  await page.click("button");
  await page.locator("button", { hasText: `Log out ${name}` }).waitFor();
  await page.waitForFunction(() => typeof socket !== "undefined" && socket.connected && socket.io.engine.transport.name === "websocket");
  return page;
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: JSON.parse(flags) });
  const mark = String(process.pid);
  const ada = await comeIn(browser, `ada${mark}`);
  const lin = await comeIn(browser, `lin${mark}`);
  const sees = (page, text) => page.locator("#lines li", { hasText: text }).first().waitFor();
  const say = async (page, text) => {
    await page.fill("#text", text);
    await page.press("#text", "Enter");
  };
  await sees(ada, `lin${mark} came in`);
  await say(ada, `Hello ${mark}`);
  await sees(lin, `ada${mark}: Hello ${mark}`);
  await say(lin, "Hello yourself");
  await sees(ada, `lin${mark}: Hello yourself`);
  await lin.click("text=Log out");
  await sees(ada, `lin${mark} left`);
  await ada.reload();
  await sees(ada, `ada${mark}: Hello ${mark}`);    // it was in the database
  await browser.close();
  assert.deepEqual(errors, []);
  console.log("done");
}

main().catch((error) => {
  console.error(error, errors);
  process.exit(1);
});
