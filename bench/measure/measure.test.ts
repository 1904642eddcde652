import assert from "node:assert/strict";
import { parseCpuList } from "./cores.ts";
import { median } from "./median.ts";
import { cpuSeconds, family, memoryMib, parseMib, parseStat } from "./process-cost.ts";

describe("median()", () => {
  it("median() is the middle, or between the two middle ones", () => {
    assert.equal(median([9, 1, 5]), 5);
    assert.equal(median([4, 1, 2, 9]), 3);
    assert.ok(Number.isNaN(median([])));
    assert.equal(median([Number.NaN, 2]), 2);
  });
});

describe("parseCpuList()", () => {
  it("parseCpuList() reads single cores and ranges", () => {
    assert.deepEqual(parseCpuList("0-2,5\n"), [0, 1, 2, 5]);
    assert.deepEqual(parseCpuList(""), []);
  });
});

describe("the cost of processes", () => {
  const line =
    "4242 (a) b (c) S 17 4242 4242 0 -1 4194560 1000 0 0 0 250 125 0 0 20 0 11 0 5678 1000000 900 18446744073709551615 0";

  it("parseStat() reads parent and CPU time, whatever the program is called", () => {
    assert.deepEqual(parseStat(line), { pid: 4242, parent: 17, userSeconds: 2.5, systemSeconds: 1.25 });
    assert.equal(parseStat(""), undefined);
    assert.equal(parseStat("12 (cut"), undefined);
  });

  it("parseMib() adds up the lines that are asked for", () => {
    const text =
      "VmPeak:\t 900000 kB\nVmHWM:\t  2048 kB\nPrivate_Clean:  512 kB\nPrivate_Dirty:    512 kB\nName:\tnode\n";
    assert.equal(parseMib(text, ["VmHWM"]), 2);
    assert.equal(parseMib(text, ["Private_Clean", "Private_Dirty"]), 1);
    assert.equal(parseMib("", ["VmHWM"]), 0);
  });

  it("family() has children and their children, and nobody else", () => {
    const process = (pid: number, parent: number) => ({ pid, parent, userSeconds: 0, systemSeconds: 0 });
    const all = [process(4, 3), process(1, 0), process(2, 1), process(3, 2), process(9, 0)];
    assert.deepEqual(
      family([2], all).map(({ pid }) => pid),
      [4, 2, 3],
    );
  });

  it("cpuSeconds() and memoryMib() find this process", () => {
    assert.ok(cpuSeconds([process.pid]).user > 0);
    const { peakRss, private: own } = memoryMib([process.pid]);
    assert.ok(peakRss >= own && own > 0);
    assert.deepEqual(cpuSeconds([]), { user: 0, system: 0 });
  });
});
