import assert from "node:assert/strict";
import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import type { ServiceState } from "../protos/gen/causeway/discovery/v1/ServiceState.ts";
import { eventually } from "../test/support/eventually.ts";
import { ask2, type Http2App, http2Client, startHttp2App } from "../test/support/http2-peers.ts";
import { createProxyWorld, type ProxyWorld } from "../test/support/proxy-world.ts";
import type { RunningProxy } from "./start-proxy.ts";

interface Seen {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: IncomingHttpHeaders;
}

describe("an HTTP/2 request that a rule mirrors", () => {
  let world: ProxyWorld;
  let server: RunningProxy;
  let client: RunningProxy;
  let session: ClientHttp2Session;
  let copied: Seen[] = [];
  /** What becomes of the copies. */
  let trouble: "none" | "hang" | "reset" | "endless" = "none";

  before(async () => {
    world = await createProxyWorld();
    const first = await startHttp2App((stream) => {
      stream.on("data", () => {});
      stream.on("end", () => {
        stream.respond({ ":status": 200 });
        stream.end("first");
      });
    });
    const second = await startHttp2App((stream, headers) => {
      let body = "";
      let trailers: IncomingHttpHeaders = {};
      stream.on("data", (chunk: Buffer) => {
        body += chunk.toString("latin1");
      });
      stream.on("trailers", (got) => {
        trailers = got;
      });
      stream.on("end", () => {
        copied.push({ headers, body, trailers });
        if (trouble === "reset") stream.close(2);
        if (trouble === "none" || trouble === "endless") stream.respond({ ":status": 200 });
        if (trouble === "none") stream.end("second");
        const more = () => {
          while (!stream.destroyed && stream.write(Buffer.alloc(65_536)));
        };
        stream.on("drain", more);
        if (trouble === "endless") more();
      });
    });
    world.later(async () => {
      await first.close();
      await second.close();
    });
    server = await world.proxy("web");
    client = await world.proxy("client");
    world.control.service({ authority: "second.shop:80", kind: "KIND_SERVICE", ...groupsOf(second) });
    const filters = [{ mirror: { authority: "second.shop:80", numerator: 1, denominator: 1 } }];
    world.control.service({
      authority: "first.shop:80",
      kind: "KIND_SERVICE",
      ...groupsOf(first),
      routes: [{ name: "mirrored", filters }],
    });
    session = await http2Client(client.outboundPort);
    world.later(async () => session.destroy());
    // The first request that names a mirror has the proxy ask control what that is.
    await eventually(async () => {
      await post("warm");
      return copied.length > 0;
    });
    await eventually(async () => (await copies("sent")) > 0);
  });
  after(() => world.close());
  beforeEach(() => {
    copied = [];
    trouble = "none";
  });

  function groupsOf({ port }: Http2App): Partial<ServiceState> {
    const identity = world.control.mesh.identity("shop", "web");
    const at = { address: "127.0.0.1", port, proxyPort: server.inboundPort };
    return { groups: [{ trustDomain: "east.mesh", endpoints: [{ id: `w${port}`, identity, ready: true, ...at }] }] };
  }

  const to = (path: string) => ({ ":method": "POST", ":path": path, ":authority": "first.shop" });
  const post = async (body: string | Buffer) => (await ask2(session, to("/a"), body)).body.toString();

  async function copies(result: string): Promise<number> {
    const body = await (await fetch(`http://127.0.0.1:${client.adminPort}/metrics`)).text();
    const line = new RegExp(`^outbound_http_mirror_total\\{result="${result}"\\} (\\d+)$`, "m").exec(body);
    return Number(line?.[1] ?? 0);
  }

  it("is copied with its body and trailers, and answered by the one that it was for", async () => {
    const before = await copies("sent");
    const stream = session.request(to("/b"), { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "17" }));
    stream.write("in ");
    stream.end("parts");
    let answer = "";
    for await (const chunk of stream) answer += String(chunk);
    assert.equal(answer, "first");
    await eventually(() => copied.length === 1);
    const [copy] = copied;
    assert.deepEqual([copy?.headers[":path"], copy?.body, copy?.trailers["x-sum"]], ["/b", "in parts", "17"]);
    assert.equal(copy?.headers[":authority"], "first.shop");
    assert.equal(copy?.headers["x-causeway-retries-left"], "0");
    await eventually(async () => (await copies("sent")) === before + 1);
  });

  it("neither waits for its copy nor learns what became of it", async () => {
    const before = await copies("failed");
    trouble = "hang";
    assert.equal(await post("one"), "first");
    await eventually(() => copied.length === 1);
    trouble = "reset";
    assert.equal(await post("two"), "first");
    await eventually(async () => (await copies("failed")) === before + 1);
    assert.equal(copied.length, 2, "a copy is sent once");
  });

  it("has no more than a bound of its copy's answer read", async () => {
    const before = await copies("sent");
    trouble = "endless";
    assert.equal(await post("one"), "first");
    await eventually(async () => (await copies("sent")) === before + 1);
  });

  it("is not copied where its body is larger than what is held", async () => {
    const before = await copies("skipped");
    assert.equal(await post(Buffer.alloc(200_000)), "first");
    await eventually(async () => (await copies("skipped")) === before + 1);
    assert.equal(copied.length, 0);
  });
});
