// npm run bench -- <suite>: all of its own set-up, then side-by-side measurements of what is built in dist/.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { setUp } from "./setup.mjs";

setUp(
  {
    haproxy: { from: "haproxy", without: "HAProxy is not compared with" },
    nginx: { from: "nginx-light libnginx-mod-stream", without: "nginx is not compared with" },
    nghttpx: { from: "nghttp2-proxy", without: "nghttpx is not compared with" },
    h2load: { from: "nghttp2-client", without: "HTTP/2 is not measured" },
    wrk: { from: "wrk", without: "our own generator makes the HTTP/1.1 load" },
    openssl: { from: "openssl", without: "handshakes are not measured, nor peers under TLS" },
  },
  // Standard output is the report's alone.
  console.error,
);
const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
const main = fileURLToPath(new URL("../bench/main.ts", import.meta.url));
const { status } = spawnSync(process.execPath, ["--import", tsx, main, ...process.argv.slice(2)], { stdio: "inherit" });
process.exit(status ?? 1);
