// Looks at a server through the Admin UI:  node admin.cjs URL CHROMIUM FLAGS [FOLDER]
// FLAGS is a JSON list; with a FOLDER the picture for the docs is taken. Ends with "done".
"use strict";

const assert = require("node:assert");
const { chromium } = require("playwright-core");
const { io } = require("socket.io-client");

const [url, executablePath, flags, folder] = process.argv.slice(2);
const errors = [];
const clients = [];

async function comeIn(name, options) {
  const socket = io(`${url}?name=${name}`, { forceNew: true, reconnection: false, ...options });
  clients.push(socket);
  await new Promise((resolve, reject) => (socket.once("connect", resolve), socket.once("connect_error", reject)));
  socket.was = socket.id; // it has none when it has gone
  return socket;
}

// The page's fonts and icons are on other servers, which a test does not ask: signs that every font has stand for the icons.
const ICONS = { "home-outline": "⌂", "ray-start-arrow": "→", "tag-outline": "#", "account-circle-outline": "☺", "calendar-text-outline": "≡",
  server: "▤", "dots-horizontal": "…", logout: "✕", "tag-off-outline": "–", "chevron-down": "⌄", "chevron-up": "⌃", "menu-down": "▾", "arrow-up": "↑" };
const css = Object.entries(ICONS).map(([name, sign]) => `.mdi-${name}::before { content: "${sign}"; font-style: normal }`).join("\n");

async function open(browser) {
  const context = await browser.newContext({ locale: "en-GB", viewport: { width: 1280, height: 720 }, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.route((address) => !address.href.startsWith(url), (route) => route.fulfill({ contentType: "text/css", body: css }));
  await page.goto(`${url}/ui/`);
  return page;
}

async function logIn(page, password) {
  await page.getByLabel("Server URL").fill(url);
  await page.getByLabel("Username").fill("admin");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Connect" }).click();
}

async function go(page, where) {
  await page.getByRole("navigation").getByText(where, { exact: true }).click();
  await page.waitForFunction((name) => { // the old view slides out while the new one slides in
    const titles = [...document.querySelectorAll(".v-breadcrumbs")].map((each) => each.textContent.trim());
    return titles.length === 1 && titles[0] === name;
  }, where);
}
const row = (page, ...texts) => texts.reduce((rows, hasText) => rows.filter({ hasText }), page.locator("tbody tr"));
const seen = (page, ...texts) => row(page, ...texts).first().waitFor();
const gone = (page, ...texts) => row(page, ...texts).first().waitFor({ state: "detached" });

async function comesIn(page) {
  await logIn(page, "wrong");
  await page.getByText("Invalid credentials").waitFor();
  await logIn(page, "let me in");
  await page.getByText(/^\s*connected\s*$/i).first().waitFor();
}

async function looks(page, ada, lin) {
  await seen(page, "WebSocket", "2"); // Ada, and the page itself once it has been upgraded
  await seen(page, "HTTP long-polling", "1");
  await seen(page, "HEALTHY", "1");

  await go(page, "Sockets");
  await seen(page, ada.id, "127.0.0.1", "WebSocket");
  await seen(page, lin.id, "127.0.0.1", "HTTP long-polling");
  const guest = await comeIn("Guest"); // polls first, and is upgraded
  await seen(page, guest.was, "WebSocket");
  guest.disconnect();
  await gone(page, guest.was);

  await go(page, "Rooms");
  ada.emit("join", "lobby");
  await seen(page, "lobby", "Public", "1");
  lin.emit("join", "lobby");
  await seen(page, "lobby", "Public", "2");
  lin.emit("leave", "lobby");
  await seen(page, "lobby", "Public", "1");

  await go(page, "Events");
  await lin.emitWithAck("join", "lobby");
  ada.emit("say", "lobby", "Good morning", { tea: true });
  await seen(page, ada.id, "Event received", "say");
  await seen(page, ada.id, "Event sent", "said");
  await seen(page, lin.id, "Event sent", "said");
  await row(page, lin.id, "Event sent", "said").getByRole("button").click();
  await page.getByText("Good morning").waitFor();
  if (folder) await page.screenshot({ path: `${folder}/admin.png` });

  await go(page, "Sockets");
  await row(page, lin.id).click();
  await page.getByText('"name": "Lin"').waitFor();
  lin.emit("remember", "name", "Linda"); // (a key that is new is shown by the next render only: so is Vue)
  await page.getByText('"name": "Linda"').waitFor();
}

async function acts(page, ada, lin) {
  await go(page, "Sockets");
  const kicked = new Promise((resolve) => ada.once("disconnect", resolve));
  await row(page, ada.id).getByRole("button").click();
  assert.equal(await kicked, "io server disconnect");
  await go(page, "Sockets"); // a click on the button is one on the row, too
  await gone(page, ada.was);
  await seen(page, lin.id);

  await go(page, "Rooms");
  await row(page, "lobby").getByRole("button").first().click(); // out of the room, not out of the house
  await go(page, "Rooms");
  await gone(page, "lobby");
  assert.ok(lin.connected);
}

(async () => {
  const browser = await chromium.launch({ executablePath, args: JSON.parse(flags) });
  try {
    const ada = await comeIn("Ada", { transports: ["websocket"] });
    const page = await open(browser);
    await comesIn(page);
    const lin = await comeIn("Lin", { transports: ["polling"] });
    await looks(page, ada, lin);
    await acts(page, ada, lin);
    await page.reload(); // it has a session, and is asked for no password
    await page.getByText(/^\s*connected\s*$/i).first().waitFor();
    await go(page, "Sockets");
    await seen(page, lin.id);
    assert.deepEqual(errors, []);
    console.log("done");
  } finally {
    for (const client of clients) client.disconnect();
    await browser.close();
  }
  process.exit(0);
})().catch((error) => {
  console.error(errors.join("\n"));
  console.error(error);
  process.exit(1);
});
