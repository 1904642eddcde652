const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };
const MAX_VALUE = 99_999_999;

/** The ms of a grpc-timeout (gRPC's PROTOCOL-HTTP2.md); undefined where it is malformed. */
export function grpcTimeoutMs(value: string): number | undefined {
  const [, digits = "", unit = ""] = /^([0-9]{1,8})([HMSmun])$/.exec(value) ?? [];
  const unitMs = UNIT_MS[unit];
  return unitMs === undefined ? undefined : Number(digits) * unitMs;
}

/** `ms` as a grpc-timeout, rounded down to what it can say. */
export function grpcTimeoutOf(ms: number): string {
  const whole = Math.max(0, Math.floor(ms));
  return whole <= MAX_VALUE ? `${whole}m` : `${Math.min(MAX_VALUE, Math.floor(whole / 1_000))}S`;
}
