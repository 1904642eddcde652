import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { createLog, type Log, type LogLevel } from "./log.ts";

describe("createLog()", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "causeway-log-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** The lines that `say` makes, once the last of them, `end`, is there. */
  async function said(level: LogLevel, say: (log: Log) => void): Promise<Record<string, unknown>[]> {
    const path = join(folder, `${Math.random()}.log`);
    const fd = openSync(path, "w");
    const log = createLog("test", level, fd);
    say(log);
    log.error("end");
    while (!readFileSync(path, "utf8").endsWith('"msg":"end"}\n')) await new Promise(setImmediate);
    closeSync(fd);
    const lines = readFileSync(path, "utf8").trim().split("\n");
    return lines.slice(0, -1).map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  it("writes the lines that pino writes", async () => {
    const fields = { text: 'a "b" \n é ☃', list: [1, null, { deep: true }], none: undefined, date: new Date(0) };
    const own = await said("debug", (log) => {
      log.debug("one", fields);
      log.child({ cluster: "east", link: "west" }).warn("two", { count: 2 });
      log.info("three");
    });
    const lines: string[] = [];
    const theirs = pino(
      { level: "debug", base: { name: "test", pid: process.pid } },
      { write: (line: string) => void lines.push(line) },
    );
    theirs.debug(fields, "one");
    theirs.child({ cluster: "east", link: "west" }).warn({ count: 2 }, "two");
    theirs.info("three");
    const untimed = (line: Record<string, unknown>) => ({ ...line, time: typeof line["time"] });
    assert.deepEqual(
      own.map(untimed),
      lines.map((line) => untimed(JSON.parse(line) as Record<string, unknown>)),
    );
    assert.deepEqual(Object.keys(own[1] ?? {}).slice(0, 4), ["level", "time", "name", "pid"]);
  });

  it("says nothing below its level", async () => {
    const lines = await said("warn", (log) => {
      log.debug("no");
      log.child({ a: 1 }).info("no");
      log.warn("yes");
    });
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ["yes"],
    );
  });

  it("keeps secrets to itself, however deep they are", async () => {
    const lines = await said("info", (log) => {
      log.child({ token: "hidden" }).info("x", { secret: "hidden", a: { key: "hidden", b: [{ password: "hidden" }] } });
    });
    assert.equal(lines.length, 1);
    assert.doesNotMatch(JSON.stringify(lines), /hidden/);
    assert.match(JSON.stringify(lines), /redacted/);
  });

  it("outlives what cannot be written as JSON", async () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    const [big, round] = await said("info", (log) => {
      log.info("big", { size: 2n ** 60n });
      log.info("round", circle);
    });
    assert.equal(big?.["size"], String(2n ** 60n));
    assert.equal(round?.["fields"], "[unreadable]");
  });

  it("loses no line where the process exits at once", () => {
    const source = `import { createLog } from ${JSON.stringify(new URL("log.ts", import.meta.url).href)};
      const log = createLog("test", "info", 1);
      for (let n = 0; n < 2000; n++) log.info("line", { n });
      process.exit(0);`;
    const args = ["--import", "tsx", "--input-type=module", "-e", source];
    const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
    const numbers = stdout
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { n: number }).n);
    assert.equal(numbers.length, 2_000);
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      [...numbers.keys()],
    );
  });
});
