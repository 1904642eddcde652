import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "mocha";
import { systemClock } from "../../core/clock.ts";
import { ownedProcesses, runningRecords } from "../process-record.ts";
import { Container } from "./container.ts";

describe("Container", () => {
  let directory: string;
  let container: Container | undefined;
  let waiting: (() => void)[];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "causeway-container-"));
    waiting = [];
  });
  afterEach(async () => {
    await container?.stop(0);
    assert.deepEqual(ownedProcesses(directory), []);
    rmSync(directory, { recursive: true, force: true });
  });

  function create(script: string, restart: "Always" | "OnFailure" | "Never"): Container {
    const spec = {
      name: "app",
      recordName: "pod-1-app",
      command: ["/bin/sh", "-c", script] as const,
      env: { PATH: process.env["PATH"] ?? "" },
      directory,
      restart,
    };
    const changed = () => {
      for (const wake of waiting.splice(0)) wake();
    };
    container = new Container(spec, {
      runDirectory: join(directory, "run"),
      owner: directory,
      clock: systemClock,
      changed,
    });
    return container;
  }

  async function until(check: () => boolean): Promise<void> {
    while (!check()) await new Promise<void>((resolve) => waiting.push(resolve));
  }

  it("is started again after a crash, and says how often", async () => {
    const app = create("exit 3", "Always");
    app.start();
    await until(() => app.restarts >= 2);
    assert.equal(app.lastState?.kind, "terminated");
    assert.equal(app.lastState?.kind === "terminated" && app.lastState.exitCode, 3);
  });

  it("stays ended where its restart policy says so", async () => {
    const app = create("exit 0", "OnFailure");
    app.start();
    await until(() => app.state.kind === "terminated");
    assert.equal(app.restarts, 0);
  });

  it("ends the whole process group, and a process that ignores SIGTERM after its grace", async () => {
    const app = create("trap '' TERM; sleep 1000 & echo ready; wait; wait", "Never");
    app.start();
    await until(() => app.state.kind === "running");
    assert.equal(runningRecords(join(directory, "run")).length, 1);
    await app.stop(100);
    assert.equal(app.state.kind, "terminated");
    assert.deepEqual(readdirSync(join(directory, "run")), []);
  });

  it("keeps its output with times", async () => {
    const app = create("echo out; echo err >&2", "Never");
    app.start();
    await until(() => app.state.kind === "terminated");
    const written = () => (existsSync(app.logPath) ? readFileSync(app.logPath, "utf8").split("\n").length - 1 : 0);
    while (written() < 2) await new Promise((resolve) => setImmediate(resolve));
    const lines = readFileSync(app.logPath, "utf8").trim().split("\n");
    assert.deepEqual(lines.map((line) => line.slice(line.indexOf(" ") + 1)).sort(), ["stderr F err", "stdout F out"]);
  });
});
