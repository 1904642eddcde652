/** What one peer may take of this cluster: over a limit the resource is refused, the rest goes on. */
export const LIMITS = {
  services: 20_000,
  endpoints: 200_000,
  endpointsPerService: 100,
  portsPerService: 100,
  bundles: 1,
  gateways: 16,
  /** Of services or of endpoints, as the registry keeps them, in all. */
  kindBytes: 67_108_864,
  /** A gRPC message, received; and what it may be made of, so that few bytes do not become many objects. */
  messageBytes: 1_048_576,
  messageItems: 32_768,
  messageFields: 262_144,
  /** Names in one update: sent, and received. */
  updateNamesSent: 1_024,
  updateNames: 2_048,
  /** An update, sent; one value, received. */
  updateBytes: 524_288,
  /** Updates sent and not yet answered. */
  window: 8,
  /** Parts of one snapshot, and the time from its first to its last. */
  snapshotParts: 4_000,
  snapshotMs: 300_000,
  /** Updates applied a second; more wait, and with them their answers. */
  updatesPerSecond: 200,
  /** The same, of bytes. */
  updateBytesPerSecond: 8_388_608,
  updateBytesBurst: 67_108_864,
  /** The same, of updates that end in Kubernetes: bundles and gateways. */
  storedUpdatesPerSecond: 1,
  /** Messages of any sort in one second before the stream is cut. */
  messagesPerSecond: 2_000,
  /** Bytes in messages that are no updates, before the stream is cut. */
  otherBytesPerSecond: 8_388_608,
  otherBytesBurst: 16_777_216,
  /** Updates refused as a whole, one after the other, before the stream is cut. */
  nacksInRow: 32,
  /** Answers to nothing that was sent, before the stream is cut. */
  strayAnswers: 64,
  /** Messages that wait because the peer does not read; heartbeats are left out from here on. */
  backlog: 128,
  /** Streams that one peer may open one after the other, and then a second. */
  streams: 20,
  streamsPerSecond: 1,
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
  /** A peer that refused what it was sent has a clean slate again after this long. */
  forgiveMs: 60_000,
  /** An update without an answer for this long ends the stream. */
  ackTimeoutMs: 30_000,
} as const;
