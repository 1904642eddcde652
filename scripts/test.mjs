// npm test: all of its own set-up, then every test; ends with "N passed, N failed".
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { stripVTControlCharacters } from "node:util";
import { setUp } from "./setup.mjs";

setUp({
  "redis-server": { from: "redis-server", without: "the tests of the Redis registry are skipped" },
  dig: { from: "bind9-dnsutils", without: "the tests that ask DNS with dig are skipped" },
  curl: { from: "curl", without: "the tests that call with curl are skipped" },
  h2load: { from: "nghttp2-client", without: "the tests of HTTP/2 with nghttp2's client are skipped" },
  haproxy: { from: "haproxy", without: "the comparison of HTTP/1 with haproxy is skipped" },
  ip: { from: "iproute2", without: "the tests in network namespaces are skipped" },
  nghttpd: { from: "nghttp2-server", without: "the tests of HTTP/2 with nghttp2's server are skipped" },
  nginx: { from: "nginx-light", without: "the comparison of HTTP/1 with nginx is skipped" },
  nft: { from: "nftables", without: "the tests in network namespaces are skipped" },
  openssl: { from: "openssl", without: "the tests with a foreign CA are skipped" },
});

const mocha = createRequire(import.meta.url).resolve("mocha/bin/mocha.js");
const own = process.argv.slice(2);
const suites = [
  { title: "unit tests", args: [...own] },
  { title: "end to end, over real processes", args: ["--config", "test/.mocharc.json", ...own] },
];

let passed = 0;
let failed = 0;
let skipped = 0;
let broken = false;
for (const { title, args } of suites) {
  console.log(`\n== ${title}`);
  const { code, output } = await new Promise((resolve) => {
    const child = spawn(process.execPath, [mocha, ...args], { stdio: ["inherit", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
      process.stdout.write(chunk);
    });
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
  const plain = stripVTControlCharacters(output);
  const count = (word) => Number(plain.match(new RegExp(`^\\s*(\\d+) ${word}`, "m"))?.[1] ?? 0);
  passed += count("passing");
  failed += count("failing");
  skipped += count("pending");
  // A runner that dies without a summary is a failure, whatever it counted.
  if (code !== 0 && count("failing") === 0) broken = true;
}
if (broken) failed++;
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
