import assert from "node:assert/strict";
import { Families } from "./families.ts";
import { Metrics } from "./metrics.ts";
import { addMetrics } from "./metrics-text.ts";

const PEER = { direction: "outbound", authority: "web:80", peer: "spiffe://a.mesh/ns/n/sa/s", cluster: "a" } as const;

function textOf(...sources: readonly (readonly [labels: string, metrics: Metrics])[]): string {
  const families = new Families();
  for (const [labels, metrics] of sources) addMetrics(families, labels, metrics);
  return families.text();
}

describe("Metrics", () => {
  it("counts answers by status, and gRPC's by its own", () => {
    const metrics = new Metrics();
    const row = metrics.row(PEER);
    metrics.request(row, 200, 1.5);
    metrics.request(row, 503, 1);
    metrics.request(row, 418, 1);
    metrics.request(row, 0, 1);
    metrics.request(row, 200, 1, 0);
    metrics.request(row, 200, 1, 14);
    metrics.request(row, 200, 1, 5);
    const text = textOf(["", metrics]);
    for (const [labels, count] of [
      ['classification="success",status_code="200",grpc_status_code=""', 1],
      ['classification="failure",status_code="503",grpc_status_code=""', 1],
      ['classification="success",status_code="4xx",grpc_status_code=""', 1],
      ['classification="failure",status_code="",grpc_status_code=""', 1],
      ['classification="success",status_code="200",grpc_status_code="0"', 1],
      ['classification="failure",status_code="200",grpc_status_code="14"', 1],
      ['classification="success",status_code="200",grpc_status_code="5"', 1],
    ]) {
      assert.ok(text.includes(`,${labels}} ${count}\n`), `${labels} is missing in\n${text}`);
    }
    assert.match(text, /\nrequest_total\{[^}]*\} 7\n|^# TYPE request_total counter\nrequest_total\{[^}]*\} 7\n/);
  });

  it("puts latencies into cumulative buckets", () => {
    const metrics = new Metrics();
    const row = metrics.row(PEER);
    for (const ms of [0.5, 1, 1.01, 60_000]) metrics.request(row, 200, ms);
    const text = textOf(["", metrics]);
    const bucket = (le: string) => Number(text.match(new RegExp(`le="${le.replace("+", "\\+")}"\\} (\\d+)`))?.[1]);
    assert.deepEqual(["1", "2", "50000", "+Inf"].map(bucket), [2, 3, 3, 4]);
    assert.match(text, /response_latency_ms_count\{[^}]*\} 4\n/);
  });

  it("names each metric once, however many workloads there are", () => {
    const [one, two] = [new Metrics(), new Metrics()];
    for (const metrics of [one, two]) {
      metrics.request(metrics.row(PEER), 200, 1);
      metrics.counter("shed_total", 'why="lag"').value++;
    }
    const text = textOf(['pod="a"', one], ['pod="b"', two]);
    assert.equal(text.match(/# TYPE request_total /g)?.length, 1);
    assert.match(text, /shed_total\{pod="a",why="lag"\} 1\nshed_total\{pod="b",why="lag"\} 1\n/);
  });

  it("gathers what would be more rows than there may be", () => {
    const metrics = new Metrics();
    for (let i = 0; i < 5_000; i++) metrics.request(metrics.row({ ...PEER, authority: `h${i}:80` }), 200, 1);
    const text = textOf(["", metrics]);
    assert.match(text, /request_total\{direction="outbound",authority="overflow"[^}]*\} 905\n/);
    assert.ok(text.split("\n").filter((line) => line.startsWith("request_total")).length <= 4_096);
  });
});
