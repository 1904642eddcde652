// npm run demo: all of its own set-up, then the main job on two local clusters, in a home of its own.
import { setUp } from "./setup.mjs";

setUp({
  "redis-server": { from: "redis-server", without: "the clusters use the embedded registry" },
  dig: { from: "bind9-dnsutils", without: "DNS is not asked" },
  curl: { from: "curl", without: "the call through the mirrored name is skipped" },
  kubectl: { from: "kubernetes-client", without: "kubectl is not shown" },
});
const { runDemo } = await import("../dist/cli/demo.js");
process.exitCode = await runDemo(process.argv.slice(2));
