import assert from "node:assert/strict";
import type { ClientHttp2Session } from "node:http2";
import { systemClock } from "../../core/clock.ts";
import { parseTrustDomain } from "../../core/identity.ts";
import { silentLog } from "../../core/log.ts";
import { seededRandom } from "../../core/random.ts";
import { eventually } from "../../test/support/eventually.ts";
import { ask2, type Http2App, http2Client, startHttp2App } from "../../test/support/http2-peers.ts";
import { createTransport } from "../../transport/create-transport.ts";
import { MuxContext } from "../../transport/mux/mux-context.ts";
import type { Listener, Transport } from "../../transport/transport.ts";
import { Detections } from "../detect/detections.ts";
import { ConnectionPool } from "../http1/connection-pool.ts";
import { createEngine, DEFAULT_LIMITS, type Engine } from "../http1/engine.ts";
import { createHttp2Engine } from "../http2/engine.ts";
import { DEFAULT_FLOOD_LIMITS } from "../http2/flood-guard.ts";
import { Http2Pool } from "../http2/http2-pool.ts";
import { Interception } from "../interception.ts";
import { Families } from "../observe/families.ts";
import { Metrics } from "../observe/metrics.ts";
import { addMetrics } from "../observe/metrics-text.ts";
import { Admission } from "./admission.ts";
import { AppAddresses } from "./app-addresses.ts";
import { InboundHandler } from "./inbound-handler.ts";
import { InboundLimits } from "./inbound-limits.ts";
import { divertPlain } from "./plain.ts";

const OWN = parseTrustDomain("east.mesh");
const FIRST_BYTES = 20;

describe("divertPlain()", () => {
  let transport: Transport;
  let engine: Engine;
  let metrics: Metrics;
  let admission: Admission;
  let limits: InboundLimits;
  let app: Http2App;
  let pool: Http2Pool;
  let listener: Listener;
  let session: ClientHttp2Session;

  beforeEach(async () => {
    transport = await createTransport({ adapter: "auto", log: silentLog });
    app = await startHttp2App((stream, headers) => {
      stream.respond({ ":status": 200 });
      stream.end(`for ${headers["x-causeway-client-id"]} with ${headers["x-causeway-retries-left"]} left`);
    });
    engine = createEngine({ clock: systemClock, log: silentLog, transport, limits: DEFAULT_LIMITS });
    metrics = new Metrics();
    admission = new Admission(OWN, []);
    limits = new InboundLimits({ clock: systemClock, random: seededRandom(1), metrics, admission });
    pool = new Http2Pool();
    const deps = {
      engine,
      transport,
      clock: systemClock,
      metrics,
      mux: new MuxContext({ wheel: transport.wheel, log: silentLog }),
      admission,
      apps: new AppAddresses({ host: "127.0.0.1" }, "web-0"),
      limits,
      connectMs: 1_000,
      pool: () => new ConnectionPool(systemClock, seededRandom(1)),
      http2Pool: () => pool,
      floods: DEFAULT_FLOOD_LIMITS,
    };
    const originals = {
      mode: "redirect",
      prepare() {},
      of: () => ({ address: "10.0.0.9", port: app.port }),
    } as const;
    const options = {
      interception: new Interception(originals, []),
      detections: new Detections("inbound", metrics, silentLog),
      detectMs: 1_000,
      plain: "allow",
      trustDomain: OWN,
    } as const;
    const diversion = divertPlain(deps, options, new InboundHandler(deps), createHttp2Engine(engine));
    listener = await transport.listenTcp({ host: "127.0.0.1", port: 0 }, (stream) => {
      let first = Buffer.alloc(0);
      return {
        onRead(b, length) {
          first = Buffer.concat([first, b.subarray(0, length)]);
          if (first.length >= FIRST_BYTES) stream.user = diversion.onStream(stream, first, false);
        },
        onEnd() {},
        onDrain() {},
        onClose() {},
      };
    });
    session = await http2Client(listener.port);
  });
  afterEach(async () => {
    session.destroy();
    for (const connection of [...engine.connections]) connection.destroy();
    pool.destroy();
    limits.close();
    await listener.close();
    await app.close();
  });

  const request = () =>
    ask2(session, {
      ":path": "/",
      ":authority": "web",
      "x-causeway-client-id": "spiffe://forged/ns/a/sa/b",
      "x-causeway-retries-left": "9",
      "x-causeway-deadline-ms": "0",
    });
  const counted = () => {
    const families = new Families();
    addMetrics(families, "", metrics);
    return families.text().includes(`request_total{direction="inbound",authority="shop/web:${app.port}",client_id=""`);
  };

  function apply(more: object = {}): void {
    const port = { peerTrustDomains: [], namespace: "shop", service: "web", appSocket: "", appProtocol: "" };
    const none = { rateLimit: 0, rateBurst: 0, maxInFlight: 0 };
    admission.apply({ cluster: "east", trustDomain: OWN, ports: [{ ...port, ...none, port: app.port, ...more }] });
  }

  it("reads HTTP/2 by request, of callers who are nobody and have no say in budgets", async () => {
    apply();
    const answer = await request();
    assert.deepEqual([answer.status, answer.body.toString()], [200, "for undefined with undefined left"]);
    await eventually(counted);
  });

  it("holds such requests to the limits of the port", async () => {
    apply({ rateLimit: 1, rateBurst: 1 });
    assert.equal((await request()).status, 200);
    const refused = await request();
    assert.deepEqual([refused.status, refused.headers["x-causeway-error"]], [429, "PROXY_RATE_LIMITED"]);
  });
});
