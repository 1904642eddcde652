import { clientHello } from "../load/client-hello.ts";
import { startEnvoyRelay } from "../subjects/envoy.ts";
import { startHaproxyRelay } from "../subjects/haproxy.ts";
import { startNginxRelay } from "../subjects/nginx.ts";
import { startOursRelay } from "../subjects/ours.ts";
import { SERVER_NAME, type Subject, startDirect } from "../subjects/subject.ts";
import { type Bench, costOf, LATENCY_SLICE_SECONDS, type Phase, pacedRate, type Suite } from "./run-suite.ts";

const BODY_BYTES = 128;
const CONNECTIONS = 64;
const PACED_WARM_UP_SECONDS = 0.2;
const PROBE_SECONDS = 0.2;
const NEW_AT_ONCE = 32;
const BULK_CONNECTIONS = 4;
/** CPU time is counted per 100,000 of what `costOf` is told. */
const COUNTED = 100_000;

const REQUEST = Buffer.from("GET / HTTP/1.1\r\nHost: web\r\n\r\n", "latin1");
const BULK_REQUEST = Buffer.from("GET /bulk HTTP/1.1\r\nHost: web\r\n\r\n", "latin1");

/**
 * A relay looks at the ClientHello alone: what follows here is in clear, so that neither load nor app pays for TLS.
 * A real one, the same for all.
 */
const HELLO = clientHello(SERVER_NAME);

async function requests({ port }: Subject) {
  return {
    kind: "http",
    port,
    prologue: (await HELLO).toString("base64"),
    request: REQUEST.toString("base64"),
    bodyBytes: BODY_BYTES,
    connections: CONNECTIONS,
  } as const;
}

const small: Phase = {
  title: "small requests",
  async measure(subject, { load, seconds }: Bench) {
    const base = await requests(subject);
    let rps = 0;
    let errors = 0;
    const cost = await costOf(subject, async () => {
      const got = await load.ask({ ...base, seconds, warmUpSeconds: 0, rate: 0 });
      rps = got.requests / got.seconds;
      errors = got.errors;
      return got.requests;
    });
    return { rps, errors, ...(cost === undefined ? {} : { cpuPer100k: cost.cpu, systemPer100k: cost.system }) };
  },
};

const latency: Phase = {
  title: "latency",
  sliceSeconds: LATENCY_SLICE_SECONDS,
  async measure(subject, { load, seconds, soFar }) {
    const rate = pacedRate(soFar);
    const base = await requests(subject);
    const got = await load.ask({ ...base, seconds, warmUpSeconds: PACED_WARM_UP_SECONDS, rate });
    const { errors, p50Us, p99Us, p999Us } = got;
    return { errors, p50Us, p99Us, p999Us };
  },
};

const connections: Phase = {
  title: "new connections",
  async measure(subject, { load, seconds }) {
    const opening = Buffer.concat([await HELLO, REQUEST]).toString("base64");
    let perSecond = 0;
    let errors = 0;
    const cost = await costOf(subject, async () => {
      const asked = { port: subject.port, opening, bodyBytes: BODY_BYTES, concurrency: NEW_AT_ONCE, seconds } as const;
      const got = await load.ask({ kind: "connections", ...asked });
      perSecond = got.connections / got.seconds;
      errors = got.errors;
      return got.connections;
    });
    return {
      connectionsPerSecond: perSecond,
      errors,
      ...(cost === undefined ? {} : { cpuPer100kConnections: cost.cpu }),
    };
  },
};

const bulk: Phase = {
  title: "bulk",
  async measure(subject, { load, seconds }) {
    const opening = Buffer.concat([await HELLO, BULK_REQUEST]).toString("base64");
    let megabytes = 0;
    let perSecond = 0;
    const cost = await costOf(subject, async () => {
      const asked = { port: subject.port, opening, connections: BULK_CONNECTIONS, seconds } as const;
      const got = await load.ask({ kind: "bulk", ...asked });
      megabytes = got.bytes / 1e6;
      perSecond = megabytes / got.seconds;
      return COUNTED;
    });
    return {
      bulkMbPerSecond: perSecond,
      ...(cost === undefined ? {} : { cpuPerGb: (cost.cpu * 1_000) / megabytes }),
    };
  },
};

/** TLS passed on by SNI: small requests over kept connections, new connections, and bulk. */
export const RELAY: Suite = {
  name: "relay",
  bodyBytes: BODY_BYTES,
  async probe(subject, { load }) {
    const base = await requests(subject);
    const got = await load.ask({ ...base, connections: 1, seconds: PROBE_SECONDS, warmUpSeconds: 0, rate: 0 });
    if (got.requests === 0) throw new Error("a probe was not answered");
  },
  subjects: [
    { name: "direct", start: startDirect },
    { name: "causeway", start: startOursRelay },
    { name: "haproxy", start: startHaproxyRelay },
    { name: "nginx", start: startNginxRelay },
    { name: "envoy", start: startEnvoyRelay },
  ],
  phases: [small, latency, connections, bulk],
};
