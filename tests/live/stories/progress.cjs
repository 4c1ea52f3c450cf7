// A visitor starts a long job, loads the page again, opens it in another tab, and cancels; another one sees nothing of it.
"use strict";

const assert = require("node:assert");
const { DESK, PHONE, REFUSED, ask, open, picture, run, seen, watch } = require("./browser.cjs");

const done = (page) => page.$eval("#jobs li[data-state=running] progress", (bar) => bar.value);

run(async (browser) => {
  const desk = await open(browser, "desk", DESK, REFUSED);
  await seen(desk, "#state", "websocket");
  await seen(desk, "#empty", "No jobs yet");
  await desk.click("text=json");
  await seen(desk, "#jobs li[data-state=done] .file", /\d+ lines: \w+\(\) in json\/\w+\.py/);

  // What is running goes on while the page is away, and is found again.
  await desk.click("text=everything");
  await seen(desk, "#jobs li[data-state=running] .file", ".py");
  const before = await done(desk);
  await desk.reload();
  await seen(desk, "#jobs li[data-state=running] .is", "%");
  assert.ok((await done(desk)) > before);
  assert.deepEqual(await desk.locator("#jobs h2").allTextContents(), ["everything", "json"]);

  // Another tab of the same visitor shows the same; another visitor, on a phone, has jobs of their own.
  const tab = watch(await desk.context().newPage(), "tab", REFUSED);
  await tab.goto(desk.url());
  const phone = await open(browser, "phone", PHONE, REFUSED);
  await tab.click("text=email");
  await seen(desk, "#jobs li[data-state=waiting]", "email");
  await phone.click("text=unittest");
  await seen(phone, "#jobs li[data-state=waiting] .file", "busy with another");
  assert.equal(await phone.locator("#jobs li").count(), 1);
  await picture(browser, "progress", desk, phone);
  await desk.click("#jobs li[data-state=running] button");
  await seen(tab, "#jobs li[data-state=cancelled]", "everything");
  await seen(tab, "#jobs li[data-state=done]", "email");
  await seen(phone, "#jobs li[data-state=done] .file", "in unittest/");
  await tab.click("text=json");
  await seen(desk, "#jobs li:first-child[data-state=done] h2", "json");

  // A server that was started again knows neither the jobs nor the session: the pages fetch a new one by themselves.
  await ask("stop");
  await seen(desk, "#state", "offline");
  await ask("start");
  await seen(desk, "#empty", "No jobs yet");
  await desk.click("text=json");
  await seen(desk, "#jobs li[data-state=done]", "json");
});
