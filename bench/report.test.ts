import assert from "node:assert/strict";
import { parseOptions } from "./options.ts";
import { ratiosOf, tableOf } from "./report.ts";
import { summarise } from "./suites/measured.ts";

const memory = { rssMb: 60, privateMb: 12 };
const ours = { name: "causeway", rps: 900, cpuPer100k: 1.2, p99Us: 200, ...memory };
const haproxy = { name: "haproxy", rps: 1_000, cpuPer100k: 1.5, p99Us: 400, rssMb: 15, privateMb: 5 };
const nginx = { name: "nginx", rps: 500, cpuPer100k: 2, p99Us: 100, rssMb: 20, privateMb: 5 };
const direct = { name: "direct", rps: 9_000, p99Us: 1, rssMb: null, privateMb: null };

describe("ratiosOf()", () => {
  it("ratiosOf() compares with the best peer of each figure, never with no proxy at all", () => {
    assert.deepEqual(ratiosOf([direct, ours, haproxy, nginx]), { rps: 0.9, cpu: 0.8, p99: 2, rss: 4 });
  });

  it("ratiosOf() says null where there is nobody to compare with", () => {
    assert.deepEqual(ratiosOf([direct, ours]), { rps: null, cpu: null, p99: null, rss: null });
    assert.equal(ratiosOf([haproxy])["rps"], null);
  });
});

describe("tableOf()", () => {
  it("tableOf() has a row per subject, and names what is missing", () => {
    const missing = [{ name: "envoy", reason: "envoy is not installed" }];
    const table = tableOf({ subjects: [direct, ours], ratios: { rps: 0.9, cpu: null }, missing });
    assert.match(table, /^\| {2}\| requests\/s \|/);
    assert.match(table, /^\| direct \| 9,000 \|/m);
    assert.match(table, /Ours to the best peer: rps 0\.9, cpu –\./);
    assert.match(table, /Missing: envoy \(envoy is not installed\)\./);
  });
});

describe("summarise()", () => {
  it("summarise() takes medians, and the sum of errors", () => {
    const samples = [{ rps: 3, errors: 1 }, { rps: 1, errors: 0 }, { rps: 2, errors: 1 }, { p99Us: 9 }];
    assert.deepEqual(summarise(samples), { rps: 2, errors: 2, p99Us: 9 });
  });
});

describe("parseOptions()", () => {
  it("parseOptions() reads suite, seconds and flags", () => {
    assert.deepEqual(parseOptions(["http1", "--json", "--seconds", "1"], ["http1"]), {
      suite: "http1",
      json: true,
      save: false,
      more: false,
      seconds: 1,
      rounds: 5,
      services: [10, 1_000, 10_000],
      peers: [2, 16, 64, 256],
    });
  });

  it("parseOptions() takes sizes that rise, and nothing else", () => {
    const { services } = parseOptions(["federation", "--services", "10,500"], ["federation"]);
    assert.deepEqual(services, [10, 500]);
    for (const sizes of ["10,10", "0", "a", "10001", ""])
      assert.throws(() => parseOptions(["federation", "--services", sizes], ["federation"]), /rising whole numbers/);
  });

  it("parseOptions() says how it is called", () => {
    for (const argv of [[], ["other"], ["http1", "x"], ["http1", "--seconds", "0"], ["http1", "--what"]]) {
      assert.throws(() => parseOptions(argv, ["http1"]), /npm run bench -- <http1>/);
    }
  });
});
