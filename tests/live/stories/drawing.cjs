// Two people draw, see each other's pointers and strokes, take strokes back, and lose nothing of what they draw while the server is away.
"use strict";

const assert = require("node:assert");
const { PHONE, ask, folder, open, picture, run, seen } = require("./browser.cjs");

// Draw through points of the board, given from 0 to 1.
async function draw(page, points) {
  const { x, y, width, height } = await page.locator("#board").boundingBox();
  const place = ([left, top]) => [x + left * width, y + top * height];
  await page.mouse.move(...place(points[0]));
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...place(point));
  await page.mouse.up();
}

const curve = (count, f) => Array.from({ length: count + 1 }, (_, n) => f(n / count));
const smooth = folder ? 80 : 9; // steps of a curve: a picture wants to be smooth
const circle = (x, y, size) => curve(smooth, (t) => [x + 0.75 * size * Math.cos(6.4 * t), y + size * Math.sin(6.4 * t)]);
const waves = (y, phase) => curve(smooth, (t) => [0.06 + 0.88 * t, y + 0.02 * Math.sin(30 * t + phase)]);
// Is there a colour at this point of the page's board?
const isPainted = (page, [x, y]) =>
  page.evaluate(([x, y]) => document.querySelector("canvas").getContext("2d").getImageData(x * 1600, y * 1200, 1, 1).data[3] > 0, [x, y]);
const painted = (page, point, isThere = true) =>
  page.waitForFunction(
    ([x, y, isThere]) => document.querySelector("canvas").getContext("2d").getImageData(x * 1600, y * 1200, 1, 1).data[3] > 0 === isThere,
    [...point, isThere],
  );

run(async (browser) => {
  const desk = await open(browser, "desk");
  await seen(desk, "#state", "websocket");
  await seen(desk, "#people .me", "Otter");
  await draw(desk, [[0.2, 0.62], [0.28, 0.76], [0.62, 0.76], [0.7, 0.62], [0.2, 0.62]]);
  await draw(desk, [[0.44, 0.62], [0.44, 0.2], [0.62, 0.52], [0.44, 0.54]]);

  // Who comes later sees what there is, and who is there; and from then on both see what both do.
  const phone = await open(browser, "phone", PHONE);
  await seen(phone, "#state", "websocket");
  await seen(phone, "#people li:not(.me)", "Otter");
  await seen(desk, "#people li:not(.me)", "Heron");
  await painted(phone, [0.44, 0.3]);
  await phone.click("#hues button:nth-child(2)");
  await phone.click("#widths button:nth-child(3)");
  await draw(phone, circle(0.82, 0.2, 0.09));
  await painted(desk, [0.82 + 0.75 * 0.09, 0.2]);
  await desk.click("#hues button:nth-child(5)");
  for (const [n, y] of [0.8, 0.86, 0.92].entries()) await draw(desk, waves(y, n));
  await painted(phone, [0.06, 0.92 + 0.02 * Math.sin(2)]);
  await seen(phone, "#pointers span:visible", "Otter");
  await seen(desk, "#pointers span:visible", "Heron");
  await picture(browser, "drawing", desk, phone);

  // Taken back: one's own last stroke, everywhere.
  await phone.click("#undo");
  await painted(desk, [0.82 + 0.75 * 0.09, 0.2], false);
  assert.ok(await isPainted(desk, [0.44, 0.3]));

  // What is drawn while the server is away goes out when it is back, also to one that knows nothing.
  await desk.click("#clear");
  await painted(phone, [0.44, 0.3], false);
  await ask("stop");
  for (const page of [desk, phone]) await seen(page, "#state", "offline");
  await draw(desk, [[0.1, 0.1], [0.5, 0.1]]);
  assert.ok(await isPainted(desk, [0.3, 0.1]));
  assert.ok(!(await isPainted(phone, [0.3, 0.1])));
  await ask("start");
  await painted(phone, [0.3, 0.1]);
  await desk.close();
  await phone.locator("#people li:not(.me)").waitFor({ state: "detached" });
});
