import assert from "node:assert/strict";
import type { ClientHttp2Session } from "node:http2";
import net from "node:net";
import { http2Client, startHttp2App } from "../test/support/http2-peers.ts";
import {
  listenRaw,
  type RawHttp2,
  type RawServer,
  rawFrame,
  settingsFrame,
  uint32,
} from "../test/support/http2-wire.ts";
import { createProxyWorld, type ProxyWorld } from "../test/support/proxy-world.ts";
import { FRAME_GOAWAY, FRAME_RST_STREAM, NO_ERROR, REFUSED_STREAM } from "./http2/frames.ts";
import { SETTINGS_ENABLE_CONNECT_PROTOCOL } from "./http2/settings.ts";
import type { RunningProxy } from "./start-proxy.ts";

/** A choice between two falls on each of them in so many. */
const ROUNDS = 24;

describe("an extended CONNECT that an endpoint does not take up", () => {
  let world: ProxyWorld;
  let server: RunningProxy;
  let session: ClientHttp2Session;
  let goodPort: number;
  let next = 0;
  const apps: RawServer[] = [];

  before(async () => {
    world = await createProxyWorld();
    const good = await startHttp2App(
      (stream) => {
        stream.respond({ ":status": 200 });
        stream.on("data", (chunk: Buffer) => stream.write(`<${chunk.toString()}>`));
        stream.on("end", () => stream.end());
      },
      { settings: { enableConnectProtocol: true } },
    );
    world.later(() => good.close());
    goodPort = good.port;
    server = await world.proxy("web");
    const client = await world.proxy("client");
    session = await http2Client(client.outboundPort);
    world.later(async () => session.destroy());
  });
  after(() => world.close());
  afterEach(() => {
    for (const app of apps.splice(0)) app.close();
  });

  /** What comes of a tunnel to a service with an app that takes it, and one at `port` that does not. */
  async function tunnel(port: number, proxied: boolean): Promise<string> {
    const authority = `tunnel-${next++}.shop`;
    const identity = world.control.mesh.identity("shop", "web");
    const endpoints = [port, goodPort].map((each) => ({
      id: `w${each}`,
      address: "127.0.0.1",
      port: each,
      ready: true,
      ...(proxied ? { proxyPort: server.inboundPort, identity } : {}),
    }));
    const groups = [{ trustDomain: "east.mesh", endpoints }];
    world.control.service({ authority: `${authority}:80`, kind: "KIND_SERVICE", groups });
    const stream = session.request(
      { ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": "/", ":authority": authority },
      { endStream: false },
    );
    let text = "";
    stream.on("response", (headers) => {
      text += `${headers[":status"]} `;
      stream.end("hi");
    });
    for await (const chunk of stream) text += String(chunk);
    return text;
  }

  const refusals: Readonly<Record<string, (raw: RawHttp2, id: number) => Buffer>> = {
    "refuses the stream": (_, id) => rawFrame(FRAME_RST_STREAM, 0, id, uint32(REFUSED_STREAM)),
    "goes away": () => rawFrame(FRAME_GOAWAY, 0, 0, Buffer.concat([uint32(0), uint32(NO_ERROR)])),
  };
  for (const [what, refusal] of Object.entries(refusals)) {
    for (const proxied of [false, true]) {
      it(`goes to another one where an app ${what}, ${proxied ? "behind its proxy" : "without a proxy"}`, async () => {
        let refused = 0;
        const app = await listenRaw((raw) => {
          raw.send(settingsFrame(SETTINGS_ENABLE_CONNECT_PROTOCOL, 1));
          let seen = 0;
          const look = (): void => {
            raw
              .until(() => raw.begun.length > seen)
              .then(
                () => {
                  refused++;
                  raw.send(refusal(raw, raw.begun[seen++] as number));
                  look();
                },
                () => {},
              );
          };
          look();
        });
        apps.push(app);
        for (let i = 0; i < ROUNDS && refused === 0; i++) assert.equal(await tunnel(app.port, proxied), "200 <hi>");
        assert.ok(refused > 0);
      });
    }
  }

  it("goes to another one where no connection can be made", async () => {
    for (const proxied of [false, true]) {
      const gone = net.createServer().listen(0, "127.0.0.1");
      await new Promise((resolve) => gone.once("listening", resolve));
      const { port } = gone.address() as net.AddressInfo;
      await new Promise((resolve) => gone.close(resolve));
      for (let i = 0; i < 6; i++) assert.equal(await tunnel(port, proxied), "200 <hi>");
    }
  });
});
