import { request } from "node:http";
import { runHandshakes } from "../load/handshakes.ts";
import { runWrk, type Throughput } from "../load/wrk.ts";
import { programOnPath } from "../measure/programs.ts";
import { startEnvoy, startEnvoyPair } from "../subjects/envoy.ts";
import { startHaproxy, startHaproxyPair } from "../subjects/haproxy.ts";
import { startNginx, startNginxPair } from "../subjects/nginx.ts";
import { startOurs, startOursPair } from "../subjects/ours.ts";
import { AUTHORITY, type Subject, startDirect } from "../subjects/subject.ts";
import type { Sample } from "./measured.ts";
import { type Bench, costOf, LATENCY_SLICE_SECONDS, type Phase, pacedRate, type Suite } from "./run-suite.ts";

const BODY_BYTES = 1_024;
const CONNECTIONS = 64;
const PACED_WARM_UP_SECONDS = 0.2;
const PROBE_MS = 5_000;

const REQUEST = Buffer.from(
  `GET / HTTP/1.1\r\nHost: ${AUTHORITY}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n`,
  "latin1",
);

/** One request; anything but the app's answer is an error. */
async function probe({ port }: Subject): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const options = { host: "127.0.0.1", port, headers: { host: AUTHORITY }, agent: false, timeout: PROBE_MS };
    const outgoing = request(options, (response) => {
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200 && bytes === BODY_BYTES) resolve();
        else reject(new Error(`a probe was answered with ${response.statusCode} and ${bytes} bytes`));
      });
    });
    outgoing.on("timeout", () => outgoing.destroy(new Error("a probe was not answered in 5 s")));
    outgoing.on("error", reject);
    outgoing.end();
  });
}

const throughput: Phase = {
  title: "throughput",
  async measure(subject, { cores, load, seconds }) {
    const wrk = programOnPath("wrk");
    let got: Throughput = { requests: 0, seconds: 0, errors: 0 };
    const cost = await costOf(subject, async () => {
      got =
        wrk === undefined
          ? await load.ask({ ...http(subject), seconds, warmUpSeconds: 0, rate: 0 })
          : await runWrk(cores.load, wrk, { port: subject.port, connections: CONNECTIONS, seconds });
      return got.requests;
    });
    return {
      rps: got.requests / got.seconds,
      errors: got.errors,
      ...(cost === undefined ? {} : { cpuPer100k: cost.cpu, systemPer100k: cost.system }),
    };
  },
};

const latency: Phase = {
  title: "latency",
  sliceSeconds: LATENCY_SLICE_SECONDS,
  async measure(subject, { load, seconds, soFar }) {
    const rate = pacedRate(soFar);
    const got = await load.ask({ ...http(subject), seconds, warmUpSeconds: PACED_WARM_UP_SECONDS, rate });
    const { errors, p50Us, p99Us, p999Us } = got;
    return { errors, p50Us, p99Us, p999Us } satisfies Sample;
  },
};

function http({ port }: Subject) {
  return {
    kind: "http",
    port,
    prologue: "",
    request: REQUEST.toString("base64"),
    bodyBytes: BODY_BYTES,
    connections: CONNECTIONS,
  } as const;
}

/** New connections with a full handshake, at the proxy that takes them. */
const handshakes: Phase = {
  title: "handshakes",
  async measure(subject: Subject, { cores, seconds }: Bench) {
    const target = subject.handshakes;
    if (target === undefined || programOnPath("openssl") === undefined) return undefined;
    let count = 0;
    const wholeSeconds = Math.max(1, Math.round(seconds));
    const cost = await costOf(subject, async () => {
      count = await runHandshakes(cores.load, target, wholeSeconds);
      return count;
    });
    return {
      handshakesPerSecond: count / wholeSeconds,
      ...(cost === undefined ? {} : { cpuPer100kHandshakes: cost.cpu }),
    };
  },
};

/** Client, one proxy, plain app: 1 KiB over 64 kept connections. */
export const HTTP1: Suite = {
  name: "http1",
  bodyBytes: BODY_BYTES,
  probe,
  subjects: [
    { name: "direct", start: startDirect },
    { name: "causeway", start: startOurs },
    { name: "haproxy", start: startHaproxy },
    { name: "nginx", start: startNginx },
    { name: "envoy", start: startEnvoy },
  ],
  phases: [throughput, latency],
};

/** Client, proxy, mutual TLS 1.3, proxy, app. */
export const HTTP1_MTLS: Suite = {
  name: "http1-mtls",
  bodyBytes: BODY_BYTES,
  probe,
  subjects: [
    { name: "direct", start: startDirect },
    { name: "causeway", start: startOursPair },
    { name: "haproxy", start: startHaproxyPair },
    { name: "nginx", start: startNginxPair },
    { name: "envoy", start: startEnvoyPair },
  ],
  phases: [throughput, latency, handshakes],
};
