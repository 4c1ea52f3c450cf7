// node jsonp_page.cjs URL CHROMIUM FLAGS CLIENT: a page whose client of Socket.IO v2 polls with scripts and forms. Prints what came back, as JSON.
"use strict";
const { chromium } = require("playwright-core");
const [url, executablePath, flags, client] = process.argv.slice(2);

(async () => {
  const browser = await chromium.launch({ executablePath, args: JSON.parse(flags) });
  const page = await browser.newPage();
  await page.goto(`${url}/plain`);
  await page.addScriptTag({ path: client });
  const said = await page.evaluate(async () => {
    const socket = io({ transports: ["polling"], forceJSONP: true, forceNew: true });
    const texts = ["Zoë \u{1f600} \u2028 & = + %", "a\nb\\nc\\\\n", "</script>"];
    const bytes = new Uint8Array([0, 1, 255]).buffer;
    const [back, binary] = await new Promise((resolve) => socket.emit("echo", texts, bytes, (...all) => resolve(all)));
    const script = [...document.scripts].filter((each) => /[?&]j=\d/.test(each.src)).length;
    socket.close();
    return [back.every((text, at) => text === texts[at]), [...new Uint8Array(binary)], script];
  });
  console.log(JSON.stringify(said));
  await browser.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
