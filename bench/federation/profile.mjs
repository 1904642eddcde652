// Imported first by every process of the clusters (NODE_OPTIONS, which takes no --cpu-prof): a CPU profile per process.
import { writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { basename, join } from "node:path";

const folder = process.env.BENCH_PROFILE_FOLDER;
const [, main = "", ...words] = process.argv;
const roles = words.indexOf("--roles");
const cluster = words.indexOf("--cluster");
if (folder !== undefined && basename(main) === "mesh" && (roles > 0 || words[1] === "apiserver")) {
  const name = `${words[cluster + 1]}-${roles > 0 ? words[roles + 1] : words[1]}-${process.pid}`;
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.setSamplingInterval", { interval: 1_000 });
  const stop = (what) =>
    session.post("Profiler.stop", (_, { profile }) => {
      writeFileSync(join(folder, `${name}-${what}.cpuprofile`), JSON.stringify(profile));
    });
  session.post("Profiler.start");
  // What has been so far is one profile, what comes another: the parent marks where a part begins.
  let part = 0;
  process.on("SIGUSR2", () => {
    stop(part++);
    session.post("Profiler.start");
  });
  process.on("exit", () => stop(part));
}
