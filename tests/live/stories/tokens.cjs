// Two users log in, write to each other's tabs, and lose their tokens in every way there is.
"use strict";

const assert = require("node:assert");
const { DESK, PHONE, REFUSED, ask, open, picture, run, seen, watch } = require("./browser.cjs");

async function logIn(page, name, password) {
  await page.fill("#login [name=name]", name);
  await page.fill("#login [name=password]", password);
  await page.click("#login button");
}

run(async (browser) => {
  // Who has none, and who has made one up, hears why.
  const ada = await open(browser, "ada", DESK, new RegExp(`${REFUSED.source}|403`));
  await logIn(ada, "ada", "wrong");
  await seen(ada, "#reason", "wrong name or password");
  await ada.evaluate("sessionStorage.token = 'made.up.one'; socket.connect()");
  await seen(ada, "#reason", "no token of ours");
  await ada.evaluate("socket.connect()");
  await seen(ada, "#reason", "please log in");

  await logIn(ada, "ada", "engine");
  await seen(ada, "#name", "ada");
  await seen(ada, "#state", "websocket");
  const lin = await open(browser, "lin", PHONE, REFUSED);
  await logIn(lin, "lin", "kernel");
  await seen(lin, "#state", "websocket");

  // A note reaches all tabs of both, once. A token is good for any number of connections, and found by a page that is loaded again.
  const tab = watch(await lin.context().newPage(), "tab", REFUSED);
  await tab.goto(lin.url());
  await tab.evaluate((token) => { sessionStorage.token = token; socket.connect(); }, await lin.evaluate("sessionStorage.token"));
  await seen(tab, "#state", "websocket");
  const write = async (page, text) => {
    await page.fill("#write input", text);
    await page.click("#write button");
  };
  await write(ada, "Does the key still fit?");
  await seen(lin, "#notes li:not(.mine) p", "Does the key still fit?");
  await write(lin, "For a minute, it does.");
  for (const page of [ada, lin, tab]) await seen(page, "#notes p", "For a minute, it does.");
  for (const page of [ada, lin, tab]) assert.equal(await page.locator("#notes li").count(), 2);
  await picture(browser, "tokens", ada, lin);
  await write(ada, "In <b>bold</b>, too?");
  await seen(lin, "#notes li:not(.mine) p", "In <b>bold</b>, too?"); // as text, never as markup
  await ada.reload();
  await seen(ada, "#name", "ada");

  // Renewed, and taken with the next connection.
  const old = await ada.evaluate("sessionStorage.token");
  await ada.click("#renew");
  await ada.waitForFunction((old) => sessionStorage.token !== old, old);

  // Logged out everywhere: both tabs, and their tokens are worth nothing; the other user stays.
  const token = await lin.evaluate("sessionStorage.token");
  await tab.click("#everywhere");
  for (const page of [lin, tab]) await seen(page, "#reason", "logged out everywhere");
  await lin.evaluate((token) => { sessionStorage.token = token; socket.connect(); }, token);
  await seen(lin, "#reason", "logged out everywhere");
  await logIn(lin, "lin", "kernel");
  await seen(lin, "#name", "lin");
  await seen(ada, "#state", "websocket");

  // The server is started again, with the same key, and gives tokens that live for a second: who has an older one is back at once.
  await ask("stop");
  await seen(ada, "#state", "offline");
  await ask("start");
  await seen(ada, "#state", "websocket");
  // A new one ends, and the connection with it; and it does not open another.
  const [answer] = await Promise.all([tab.waitForResponse("**/login"), logIn(tab, "lin", "kernel")]);
  const short = (await answer.json()).token;
  await seen(tab, "#reason", "token has expired");
  await tab.evaluate((token) => { sessionStorage.token = token; $("reason").textContent = ""; socket.connect(); }, short);
  await seen(tab, "#reason", "token has expired");
});
