import assert from "node:assert/strict";
import { grpcTimeoutMs, grpcTimeoutOf } from "./grpc-timeout.ts";

describe("grpcTimeoutMs()", () => {
  it("reads all units, and nothing else", () => {
    assert.deepEqual(
      ["1H", "2M", "3S", "4m", "5000u", "7000000n"].map(grpcTimeoutMs),
      [3_600_000, 120_000, 3_000, 4, 5, 7],
    );
    assert.deepEqual(["", "1", "m", "1s", "123456789m", "-1m"].map(grpcTimeoutMs), new Array(6).fill(undefined));
  });
});

describe("grpcTimeoutOf()", () => {
  it("says ms, and seconds where those are too many", () => {
    assert.deepEqual([0.5, 1_500.7, 100_000_000].map(grpcTimeoutOf), ["0m", "1500m", "100000S"]);
  });
});
