// Reads a shop page by page, follows its links, and leaves what is for sale as a table.
//
// Without an argument it reads the pages of ./site, which travel with the job: there is no network. Told an address, and
// given the network, it reads that one:  workerctl run --network job -- https://shop.example/

const fs = require("node:fs");
const path = require("node:path");
const { pathToFileURL } = require("node:url");

const MOST_PAGES = 200; // A shop may link to new pages for ever.
const PAUSE_MS = 50; // Between two pages, so that the shop does not mind.
const LONGEST_ANSWER_MS = 10_000;

async function crawl(start) {
  const folder = new URL(".", start).href; // Nothing outside of it is followed.
  const pages = [start.href];
  const products = [];
  let missing = 0;

  for (let n = 0; n < pages.length; n += 1) {
    // The number of pages is known only at the end. Until then the bar tells of those that are known.
    progress((100 * n) / pages.length, `page ${n + 1} of ${pages.length}`);
    let html;
    try {
      html = await load(new URL(pages[n]));
    } catch (error) {
      if (n === 0) throw error; // Without the first page there is no result.
      console.error(`${path.basename(pages[n])}: skipped, ${error.code ?? error.message}`);
      missing += 1;
      continue;
    }
    const here = productsOf(html);
    products.push(...here);
    console.log(`${path.basename(pages[n])}: ${here.length} for sale`);
    for (const link of linksOf(html, pages[n])) {
      if (link.startsWith(folder) && !pages.includes(link) && pages.length < MOST_PAGES) pages.push(link);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  progress(100, "done");
  return { pages: pages.length - missing, missing, products };
}

async function load(url) {
  if (url.protocol === "file:") return fs.promises.readFile(url, "utf8");
  const answer = await fetch(url, { signal: AbortSignal.timeout(LONGEST_ANSWER_MS) });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.text();
}

// Enough for these pages. For others put a parser into job/node_modules: the folder goes as a whole.
function productsOf(html) {
  const found = html.matchAll(/<li class="product" data-cents="(\d+)">([^<]+)<\/li>/g);
  return [...found].map(([, cents, name]) => ({ name, price: Number(cents) / 100 }));
}

function linksOf(html, base) {
  return [...html.matchAll(/<a href="([^"#]+)/g)].map(([, href]) => new URL(href, base).href);
}

// The daemon's end of the channel understands two messages, `progress` and `result`. Run by hand, there is no channel.
function progress(percentage, message) {
  process.send?.({ type: "progress", percentage, stage: "reading", message });
}

/** What is written into JOB_OUTPUT_DIR is kept when the job is over: its artifacts. */
function keep(name, text) {
  fs.writeFileSync(path.join(process.env.JOB_OUTPUT_DIR ?? ".", name), text);
}

async function main() {
  const { pages, missing, products } = await crawl(
    process.argv[2] ? new URL(process.argv[2]) : pathToFileURL(path.join(__dirname, "site", "index.html")),
  );
  products.sort((one, other) => one.price - other.price);
  const row = ({ name, price }) => `"${name.replaceAll('"', '""')}",${price.toFixed(2)}\n`;
  keep("products.csv", `name,price\n${products.map(row).join("")}`);
  keep("products.json", `${JSON.stringify(products, null, 2)}\n`);
  process.send?.({ type: "result", value: { pages, missing, products: products.length, cheapest: products[0] ?? null } });
}

// A job fails by its exit code, and is tried again if it was submitted with --retries.
main().catch((error) => {
  console.error(`${error.message}: ${error.cause?.message ?? "no more is known"}`);
  process.exitCode = 1;
});
