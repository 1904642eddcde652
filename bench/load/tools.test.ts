import assert from "node:assert/strict";
import { parseH2load, parseH2loadLog } from "./h2load.ts";
import { parseSTime } from "./handshakes.ts";
import { parseWrk } from "./wrk.ts";

const WRK = `Running 2s test @ http://127.0.0.1:39607/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.73ms    2.52ms  26.38ms   70.85%
    Req/Sec    15.84k     2.50k   20.31k    60.00%
  32012 requests in 2.03s, 33.31MB read
Requests/sec:  15735.29
Transfer/sec:     16.37MB
`;

describe("parseWrk()", () => {
  it("parseWrk() reads requests and seconds", () => {
    assert.deepEqual(parseWrk(WRK), { requests: 32_012, seconds: 2.03, errors: 0 });
    assert.equal(parseWrk(WRK.replace("in 2.03s", "in 1.50m")).seconds, 90);
  });

  it("parseWrk() counts socket errors and refused requests", () => {
    const more = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 100\n";
    assert.equal(parseWrk(WRK + more).errors, 110);
  });

  it("parseWrk() refuses anything else", () => {
    assert.throws(() => parseWrk("unable to connect to 127.0.0.1:1 Connection refused"), /unable to connect/);
  });
});

describe("parseSTime()", () => {
  it("parseSTime() reads the connections in real time, not those of CPU time", () => {
    const text =
      "Collecting connection statistics for 2 seconds\n***\n\n1500 connections in 0.51s; 2941.18 connections/user sec, bytes read 0\n1500 connections in 3 real seconds, 0 bytes read per connection\n";
    assert.equal(parseSTime(text), 1_500);
    assert.throws(() => parseSTime("connect: refused"), /refused/);
  });
});

describe("parseH2load()", () => {
  const text = `finished in 2.03s, 30661.58 req/s, 4.97MB/s
requests: 62242 total, 62306 started, 62242 done, 62240 succeeded, 2 failed, 0 errored, 1 timeout
status codes: 62240 2xx, 0 3xx, 0 4xx, 2 5xx
traffic: 10.09MB (10582000) total
`;

  it("parseH2load() reads requests, seconds and what went wrong", () => {
    assert.deepEqual(parseH2load(text), { requests: 62_240, seconds: 2.03, errors: 3 });
    assert.equal(parseH2load(text.replace("in 2.03s", "in 512.5ms")).seconds, 0.5125);
    assert.throws(() => parseH2load("Could not connect"), /Could not connect/);
  });

  it("parseH2load() does not count a status that came before the end of its request", () => {
    const cut = text
      .replace("62240 2xx", "62241 2xx")
      .replace("2 failed", "0 failed")
      .replace("1 timeout", "0 timeout");
    assert.deepEqual(parseH2load(cut), { requests: 62_240, seconds: 2.03, errors: 0 });
  });
});

describe("parseH2loadLog()", () => {
  const rows = Array.from({ length: 300 }, (_, i) => `${1_795_467_417_000_000 + i * 10_000}\t200\t${100 + i}`);

  it("parseH2loadLog() reads latencies after the warm-up", () => {
    const got = parseH2loadLog(`${rows.join("\n")}\n`, 100, 3, 1);
    assert.equal(got.errors, 0);
    assert.ok(Math.abs(got.p50Us - 299) < 4 && Math.abs(got.p99Us - 397) < 4, JSON.stringify(got));
  });

  it("parseH2loadLog() counts what was refused, and what was not sent, as errors", () => {
    const refused = rows.map((row, i) => (i === 200 ? row.replace("\t200", "\t503") : row));
    assert.equal(parseH2loadLog(refused.join("\n"), 100, 3, 1).errors, 1);
    assert.equal(parseH2loadLog(rows.slice(0, 200).join("\n"), 100, 3, 1).errors, 90);
    assert.throws(() => parseH2loadLog("", 100, 3, 1), /logged no request/);
  });
});
