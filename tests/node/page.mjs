// A report's page in a real browser. node page.mjs axe|time PAGE BROWSER [PICTURES]: prints JSON.
//   axe   the rules of accessibility that it breaks, light and dark, wide and narrow
//   time  how long it takes to open until its charts stand still, and to act on a filter
// PICTURES is a folder for what it looks like in each.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [, , mode, page, executablePath, pictures] = process.argv;
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });

async function opened({ width, colorScheme }) {
  const tab = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  const problems = [], session = await tab.context().newCDPSession(tab);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const cpu = async () => 1000 * (await session.send("Performance.getMetrics")).metrics.find(one => one.name === "TaskDuration").value;
  tab.on("pageerror", error => problems.push(String(error)));
  tab.on("console", message => message.type() === "error" && problems.push(message.text()));
  tab.on("request", request => /^(file|blob|data):/.test(request.url()) || problems.push(`asked for ${request.url()}`));
  await tab.goto(pathToFileURL(page).href);
  await tab.waitForFunction(() => document.documentElement.dataset.ready === "yes", null, { timeout: 120_000 });
  return { tab, problems, cpu };  // cpu: what its main thread took so far, ms, whatever else the machine does
}

// Until when the page was busy, ms since it began to load: the last frame that took long, with two quiet seconds after it.
const still = () => new Promise(resolve => {
  let last = performance.now(), busy = last, frame = 0;
  const next = () => {
    const now = performance.now();
    if (now - last > 40 || frame++ < 2) busy = now;
    last = now;
    now - busy > 2000 ? resolve(busy) : requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
});

async function rules() {
  const found = {};
  for (const [colorScheme, width] of [["light", 1400], ["dark", 420]]) {  // each scheme and each width once
    const { tab, problems } = await opened({ width, colorScheme });
    await tab.evaluate(() => document.querySelectorAll("details").forEach(part => part.open = true));
    await tab.waitForFunction(() => document.documentElement.dataset.drawn !== "no", null, { timeout: 120_000 });
    await tab.evaluate(`(${still})()`);
    await tab.addScriptTag({ path: axe });
    const { violations } = await tab.evaluate(() => axe.run());
    found[`${colorScheme} ${width}`] = problems.concat(violations.map(({ id, help, nodes }) =>
      `${id}: ${help}: ${nodes.slice(0, 3).map(node => `${node.html.slice(0, 200)} ${node.any[0]?.message ?? ""}`).join(" | ")}`));
    if (pictures) await tab.screenshot({ path: `${pictures}/${colorScheme}-${width}.png`, fullPage: true });
    await tab.close();
  }
  return found;
}

// How long a filter takes until the tables and the charts in sight show it: two frames, the second after they were painted.
const filtered = async facet => {
  const begun = performance.now();
  document.querySelector(`fieldset[data-facet="${facet}"] input`).click();
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
  await new Promise(resolve => setTimeout(resolve, 0));
  return Math.round(performance.now() - begun);
};

async function times() {
  const { tab, problems, cpu } = await opened({ width: 1400, colorScheme: "light" });
  const drawn = await tab.evaluate(`(${still})()`), drawnCpu = await cpu();  // what is out of sight waits longer than this
  const facets = await tab.$$eval("#filters fieldset[data-facet]", sets => sets.map(set => set.dataset.facet));
  const filters = {}, filtersCpu = {};
  for (const section of await tab.$$eval("section", all => all.filter(one => one.querySelector(".chart")).map(one => one.id))) {
    await tab.evaluate(id => document.getElementById(id).scrollIntoView(), section);
    for (const facet of facets) for (const way of ["out", "in"]) {
      await tab.evaluate(`(${still})()`);
      const before = await cpu();
      filters[`${section}: ${facet} ${way}`] = await tab.evaluate(`(${filtered})(${JSON.stringify(facet)})`);
      filtersCpu[`${section}: ${facet} ${way}`] = Math.round(await cpu() - before);
    }
  }
  await tab.waitForFunction(() => document.documentElement.dataset.drawn !== "no", null, { timeout: 120_000 });
  return { problems, charts: await tab.$$eval(".chart", all => all.length), drawn_ms: Math.round(drawn),
    drawn_cpu_ms: Math.round(drawnCpu), filters_ms: filters, filters_cpu_ms: filtersCpu };
}

console.log(JSON.stringify(await (mode === "axe" ? rules : times)()));
await browser.close();
