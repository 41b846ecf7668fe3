// The built guides in a real browser. node guides.mjs FOLDER BROWSER [PICTURES]: prints JSON, for each page what is
// wrong with it: the rules of accessibility that it breaks, light and dark, wide and narrow; and a page wider than its window.
// PICTURES is a folder for what they look like.
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [, , folder, executablePath, pictures] = process.argv;
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const LOOKS = ["light", "dark"].flatMap(colorScheme => [1400, 420].map(width => ({ colorScheme, width })));

const broken = ({ id, help, nodes }) =>
  `${id}: ${help}: ${nodes.slice(0, 3).map(node => `${node.html.slice(0, 200)} ${node.any[0]?.message ?? ""}`).join(" | ")}`;

async function wrong(browser, page, { colorScheme, width }) {
  const tab = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  const found = [];
  tab.on("pageerror", error => found.push(String(error)));
  tab.on("request", request => /^(file|blob|data):/.test(request.url()) || found.push(`asked for ${request.url()}`));
  await tab.goto(pathToFileURL(join(folder, page)).href);
  await tab.evaluate(() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  const wide = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) found.push(`is ${wide} px wider than its window`);
  await tab.addScriptTag({ path: axe });
  found.push(...(await tab.evaluate(() => axe.run())).violations.map(broken));
  if (pictures) await tab.screenshot({ path: join(pictures, `${page}-${colorScheme}-${width}.png`), fullPage: true });
  await tab.close();
  return found.map(what => `${colorScheme} ${width}: ${what}`);
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const pages = {};
for (const page of readdirSync(folder).filter(name => name.endsWith(".html")).sort()) {
  pages[page] = [];
  for (const look of LOOKS) pages[page].push(...await wrong(browser, page, look));
}
console.log(JSON.stringify(pages));
await browser.close();
