// Types words into the search of a page that is opened from disk; prints the titles found, as JSON:
//
//     MODULES=<folder of node_modules> node search.mjs <page> <words>
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const puppeteer = createRequire(`${process.env.MODULES}/`)("puppeteer-core");
const [page, words] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
const tab = await browser.newPage();
await tab.goto(pathToFileURL(page).href);
await tab.type(".md-search__input", words);
await tab.waitForSelector(".md-search-result__item", { timeout: 120_000 });
console.log(JSON.stringify(await tab.$$eval(".md-search-result__item h1", (all) => all.map((each) => each.textContent))));
await browser.close();
