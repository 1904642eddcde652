// How a request ended, as columns of a row: by HTTP status, for gRPC by its status, and a histogram of latency.

/** Upper bounds in ms, as Linkerd's. */
export const LATENCY_BOUNDS_MS = Float64Array.of(
  1,
  2,
  3,
  4,
  5,
  10,
  20,
  30,
  40,
  50,
  100,
  200,
  300,
  400,
  500,
  1_000,
  2_000,
  3_000,
  4_000,
  5_000,
  10_000,
  20_000,
  30_000,
  40_000,
  50_000,
);

/** Statuses with a column of their own; others are counted by class, 0 is no answer at all. */
const STATUSES: readonly number[] = [
  0, 101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 421,
  422, 429, 431, 499, 500, 501, 502, 503, 504, 505,
];
const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx"] as const;

/** Names of the status columns, and those of gRPC's 17 statuses (HTTP 200), in their order. */
const STATUS_NAMES: readonly string[] = [...STATUSES.map((status) => (status === 0 ? "" : String(status))), ...CLASSES];
const GRPC_STATUSES = 17;
/** gRPC statuses that are a server's failure, as Linkerd classifies: unknown, deadline, internal, unavailable, data loss. */
const GRPC_FAILURES = (1 << 2) | (1 << 4) | (1 << 13) | (1 << 14) | (1 << 15);

const COLUMN_OF_STATUS = Uint8Array.from({ length: 600 }, (_, status) => {
  const own = STATUSES.indexOf(status);
  return own >= 0 ? own : STATUSES.length + Math.min(4, Math.max(0, Math.floor(status / 100) - 1));
});

export const RESPONSE_COLUMNS = STATUS_NAMES.length + GRPC_STATUSES + 1;

/** Whether an answer says that the endpoint failed. `grpcStatus` -1: not gRPC. */
export function isFailure(status: number, grpcStatus: number): boolean {
  if (grpcStatus >= 0) return grpcStatus >= GRPC_STATUSES || ((GRPC_FAILURES >>> grpcStatus) & 1) === 1;
  return status === 0 || status >= 500;
}

/** The column of an answer, from 0. */
export function responseColumn(status: number, grpcStatus: number): number {
  if (grpcStatus >= 0) return STATUS_NAMES.length + Math.min(grpcStatus, GRPC_STATUSES);
  return COLUMN_OF_STATUS[status] ?? STATUSES.length + 4;
}

/** Labels of a column. */
export function responseLabels(column: number): string {
  const grpc = column - STATUS_NAMES.length;
  const failed = grpc >= 0 ? isFailure(200, grpc) : statusFailed(column);
  const status = grpc >= 0 ? "200" : (STATUS_NAMES[column] ?? "");
  const grpcStatus = grpc < 0 ? "" : grpc === GRPC_STATUSES ? "other" : String(grpc);
  const classification = failed ? "failure" : "success";
  return `classification="${classification}",status_code="${status}",grpc_status_code="${grpcStatus}"`;
}

function statusFailed(column: number): boolean {
  const status = STATUSES[column];
  return status === undefined ? column === STATUS_NAMES.length - 1 : isFailure(status, -1);
}

export const LATENCY_COLUMNS = LATENCY_BOUNDS_MS.length + 2;

/** The bucket of a latency, from 0; the last one has no bound. */
export function latencyBucket(latencyMs: number): number {
  let bucket = 0;
  while (bucket < LATENCY_BOUNDS_MS.length && latencyMs > (LATENCY_BOUNDS_MS[bucket] as number)) bucket++;
  return bucket;
}
