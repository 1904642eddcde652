// Renders docs/http1-verdicts.md from the corpus; with --check it only says whether the page is current.
import { readFileSync, writeFileSync } from "node:fs";
import { tsImport } from "tsx/esm/api";

const page = new URL("../docs/http1-verdicts.md", import.meta.url);
const { verdictPage } = await tsImport("../test/support/corpus/verdict-page.ts", import.meta.url);
const text = verdictPage();
if (!process.argv.includes("--check")) writeFileSync(page, text);
else if (readFileSync(page, "utf8") !== text) {
  console.error("docs/http1-verdicts.md is stale. Run node scripts/http1-verdicts.mjs.");
  process.exit(1);
}
