/** What one peer may take of this cluster: over a limit the resource is refused, the rest goes on. */
export const LIMITS = {
  services: 20_000,
  endpoints: 200_000,
  endpointsPerService: 100,
  portsPerService: 100,
  bundles: 1,
  gateways: 16,
  /** A gRPC message, received. */
  messageBytes: 1_048_576,
  /** An update, sent; one value, received. */
  updateBytes: 524_288,
  /** Updates sent and not yet answered. */
  window: 8,
  /** Parts of one snapshot. */
  snapshotParts: 4_000,
  /** Updates applied a second; more wait, and with them their answers. */
  updatesPerSecond: 200,
  /** Messages of any sort in one second before the stream is cut. */
  messagesPerSecond: 2_000,
  /** Refusals kept for people to read. */
  refusals: 20,
} as const;

/** Times of the Sync stream. */
export const SYNC = {
  helloTimeoutMs: 5_000,
  digestMs: 10_000,
  /** An acknowledged digest is worth this long. */
  digestFreshMs: 35_000,
  /** What a peer refused is offered again after this long. */
  retryRefusedMs: 30_000,
  /** Changes wait this long for company. */
  gatherMs: 2,
  /** A peer that says nothing at all for this long has lost its stream, whatever TCP believes. */
  silenceMs: 10_000,
  /** An update without an answer for this long ends the stream. */
  ackTimeoutMs: 30_000,
} as const;
