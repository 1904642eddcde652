import { writeFile } from "node:fs/promises";
import { connect } from "node:http2";
import { join } from "node:path";
import { runH2load, runPacedH2load } from "../load/h2load.ts";
import type { Throughput } from "../load/wrk.ts";
import { Missing, programOnPath } from "../measure/programs.ts";
import { startEnvoyHttp2 } from "../subjects/envoy.ts";
import { startHaproxyHttp2 } from "../subjects/haproxy.ts";
import { startNghttpx } from "../subjects/nghttpx.ts";
import { startNginxHttp2App } from "../subjects/nginx.ts";
import { startOursHttp2 } from "../subjects/ours.ts";
import { AUTHORITY, type Subject, startDirect } from "../subjects/subject.ts";
import { costOf, type Phase, pacedRate, type Suite } from "./run-suite.ts";

const BODY_BYTES = 128;
const CONNECTIONS = 4;
const STREAMS = 16;
const PACED_WARM_UP_SECONDS = 1;
const POSTED = Buffer.alloc(64, "p");
const PROBE_MS = 5_000;

/** One POST; anything but the app's answer is an error. */
function probe({ port }: Subject): Promise<void> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${port}`);
    const done = (error?: Error) => {
      session.destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    session.on("error", done);
    session.setTimeout(PROBE_MS, () => done(new Error("a probe was not answered in 5 s")));
    const stream = session.request({ ":method": "POST", ":path": "/", ":authority": AUTHORITY });
    let status = 0;
    let bytes = 0;
    stream.on("response", (headers) => {
      status = headers[":status"] ?? 0;
    });
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.on("error", done);
    stream.on("end", () => {
      if (status === 200 && bytes === BODY_BYTES) done();
      else done(new Error(`a probe was answered with ${status} and ${bytes} bytes`));
    });
    stream.end(POSTED);
  });
}

async function prepare(folder: string) {
  const h2load = programOnPath("h2load");
  if (h2load === undefined) throw new Missing("h2load is not installed, and nothing else makes this load");
  const bodyFile = join(folder, "posted");
  await writeFile(bodyFile, POSTED);
  return { h2load, bodyFile };
}

const throughput: Phase = {
  title: "throughput",
  async measure(subject, { cores, seconds, folder }) {
    const { h2load, bodyFile } = await prepare(folder);
    let got: Throughput = { requests: 0, seconds: 0, errors: 0 };
    const cost = await costOf(subject, async () => {
      const load = { port: subject.port, connections: CONNECTIONS, streams: STREAMS, seconds, bodyFile };
      got = await runH2load(cores.load, h2load, load);
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
  async measure({ port }, { cores, seconds, folder, soFar }) {
    const { h2load, bodyFile } = await prepare(folder);
    // The same for each connection.
    const rate = Math.max(1, Math.floor(pacedRate(soFar) / CONNECTIONS)) * CONNECTIONS;
    const paced = { rate, seconds, warmUpSeconds: PACED_WARM_UP_SECONDS, logFile: join(folder, "h2load.log") };
    return await runPacedH2load(cores.load, h2load, { port, connections: CONNECTIONS, bodyFile, ...paced });
  },
};

/** Small POSTs over HTTP/2 without TLS, 4 connections of 16 streams. */
export const HTTP2: Suite = {
  name: "http2",
  bodyBytes: BODY_BYTES,
  startApp: (setting) => startNginxHttp2App(setting, BODY_BYTES),
  probe,
  subjects: [
    { name: "direct", start: startDirect },
    { name: "causeway", start: startOursHttp2 },
    { name: "haproxy", start: startHaproxyHttp2 },
    { name: "nghttpx", start: startNghttpx },
    { name: "envoy", start: startEnvoyHttp2 },
  ],
  phases: [throughput, latency],
};
