// Opens pages in headless Chromium, at three widths, light and dark, with scripts and without, and
// prints what a person should not meet, as JSON:
//
//     MODULES=<folder of node_modules> node look.mjs <folder for pictures or ""> <page>...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const WIDTHS = [360, 800, 1440]; // pixels: a phone, half a screen, a screen
const SERIOUS = ["serious", "critical"];
const installed = createRequire(`${process.env.MODULES}/`);
const puppeteer = installed("puppeteer-core");
const axe = readFileSync(installed.resolve("axe-core/axe.min.js"), "utf8");
const [pictures, ...pages] = process.argv.slice(2);

async function look(browser, page, width, scheme, scripts) {
  const tab = await browser.newPage();
  const errors = [];
  const requests = [];
  tab.on("console", (each) => ["error", "warn"].includes(each.type()) && errors.push(each.text()));
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("dialog", (dialog) => { errors.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  tab.on("request", (each) => /^(file|data|blob):/.test(each.url()) || requests.push(each.url()));
  await tab.setViewport({ width, height: 900 });
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await tab.setJavaScriptEnabled(scripts);
  const begun = Date.now();
  await tab.goto(pathToFileURL(page).href, { waitUntil: "load" });
  const loaded_s = (Date.now() - begun) / 1000;
  await new Promise((done) => setTimeout(done, scripts ? 400 : 50));
  const found = {
    page, width, scheme, scripts, loaded_s, requests, errors,
    overflow: await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth),
    words: await tab.evaluate(() => document.body.innerText.split(/\s+/).length),
    faults: [],
  };
  if (scripts) {
    await tab.evaluate(axe);
    const { violations } = await tab.evaluate(() => axe.run(document, { preload: false }));
    found.faults = violations
      .filter(({ impact }) => SERIOUS.includes(impact))
      .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((each) => each.html.slice(0, 160)).join(" | ")}`);
  }
  if (pictures) {
    const name = `${page.replaceAll(/\W+/g, "_").slice(-40)}_${width}_${scheme}_${scripts ? "js" : "static"}.png`;
    await tab.screenshot({ path: `${pictures}/${name}`, fullPage: true });
  }
  await tab.close();
  return found;
}

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const all = [];
for (const page of pages)
  for (const width of WIDTHS)
    for (const scheme of ["light", "dark"])
      for (const scripts of [true, false]) all.push(await look(browser, page, width, scheme, scripts));
await browser.close();
console.log(JSON.stringify(all));
