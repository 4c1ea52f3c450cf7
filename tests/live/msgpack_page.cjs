// node msgpack_page.cjs URL CHROMIUM FLAGS: a page with the bundle that speaks msgpack, over each transport. Prints what came back, as JSON.
"use strict";
const { chromium } = require("playwright-core");
const [url, executablePath, flags] = process.argv.slice(2);

(async () => {
  const browser = await chromium.launch({ executablePath, args: JSON.parse(flags) });
  const page = await browser.newPage();
  await page.goto(`${url}/plain`);
  await page.addScriptTag({ url: `${url}/socket.io/socket.io.msgpack.min.js` });
  for (const transport of ["polling", "websocket"]) {
    const said = await page.evaluate(async (transport) => {
      const socket = io({ transports: [transport], forceNew: true });
      const bytes = new Uint8Array([0, 1, 255]).buffer;
      const args = ["Zoë \u{1f600}", { deep: [bytes] }, undefined, new Date(0), -1.5];
      const [text, binary, nothing, when, number] = await new Promise((resolve) => socket.emit("echo", ...args, (...all) => resolve(all)));
      socket.close();
      return [text, [...new Uint8Array(binary.deep[0])], nothing, when, number];
    }, transport);
    console.log(JSON.stringify(said));
  }
  await browser.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
