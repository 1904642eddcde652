import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { promisify } from "node:util";
import { decode, encode } from "dns-packet";
import { ManualClock, systemClock } from "../../core/clock.ts";
import { hasCode } from "../../core/errors.ts";
import { silentLog } from "../../core/log.ts";
import { DnsServer, type DnsServerOptions } from "./dns-server.ts";
import type { Zone, ZoneService } from "./zone.ts";

const web: ZoneService = {
  kind: "address",
  ips: ["10.0.0.1"],
  ports: [{ name: "http", protocol: "tcp", port: 80 }],
  endpoints: [],
  target: "",
};
const endpoints = Array.from({ length: 300 }, (_, i) => ({
  address: `10.1.${i >> 8}.${i & 255}`,
  hostname: `h${i}`,
  cluster: "west",
  ports: [],
}));
const big: ZoneService = { kind: "headless", ips: [], ports: [], endpoints, target: "" };
const zone: Zone = {
  ready: true,
  hasNamespace: () => true,
  service: (_domain, namespace, name) =>
    new Map([
      ["shop/web", web],
      ["shop/big", big],
    ]).get(`${namespace}/${name}`),
};
const QUERY = encode({ type: "query", id: 9, questions: [{ name: "web.shop.svc.cluster.local", type: "A" }] });

function framed(bytes: Buffer): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(bytes.length);
  return Buffer.concat([head, bytes]);
}

describe("DnsServer", () => {
  const servers: DnsServer[] = [];
  const sockets: Socket[] = [];

  const listen = async (over: Partial<DnsServerOptions> = {}) => {
    const server = await DnsServer.listen({
      host: "127.0.0.1",
      port: 0,
      zone,
      clock: systemClock,
      log: silentLog,
      ...over,
    });
    servers.push(server);
    return server;
  };
  const dial = async ({ port }: DnsServer) => {
    const socket = connect({ host: "127.0.0.1", port });
    sockets.push(socket);
    socket.on("error", () => {});
    await once(socket, "connect");
    return socket;
  };
  const dig = async (server: DnsServer, ...args: string[]) => {
    const common = ["@127.0.0.1", "-p", String(server.port), "+tries=2", "+time=5"];
    const { stdout } = await promisify(execFile)("dig", [...common, ...args]);
    return stdout;
  };

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await Promise.all(servers.splice(0).map((server) => server.close()));
  });

  it("answers dig over UDP and TCP", async function () {
    const server = await listen();
    try {
      assert.equal(await dig(server, "+short", "web.shop.svc.cluster.local"), "10.0.0.1\n");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") this.skip();
      throw error;
    }
    assert.equal(await dig(server, "+short", "+tcp", "web.shop.svc.cluster.local"), "10.0.0.1\n");
    assert.match(
      await dig(server, "+short", "SRV", "_http._tcp.web.shop.svc.cluster.local"),
      /^0 100 80 web\.shop\.svc\.cluster\.local\.$/m,
    );
    assert.match(await dig(server, "nope.shop.svc.cluster.local"), /status: NXDOMAIN[\s\S]*\bSOA\b/);
    assert.match(await dig(server, "example.com"), /status: REFUSED/);
    assert.match(
      await dig(server, "+bufsize=1232", "web.shop.svc.cluster.local"),
      /EDNS: version: 0, flags:; udp: 1232/,
    );
    const all = await dig(server, "+short", "big.shop.svc.cluster.local");
    assert.equal(all.trim().split("\n").length, endpoints.length);
  });

  it("answers queries that arrive in pieces and several at once on a connection", async () => {
    const socket = await dial(await listen());
    const bytes = Buffer.concat([framed(QUERY), framed(QUERY)]);
    for (const byte of bytes) socket.write(Buffer.from([byte]));
    let received = Buffer.alloc(0);
    while (received.length < 2 || received.length < 2 * (received.readUInt16BE(0) + 2)) {
      const [chunk] = (await once(socket, "data")) as [Buffer];
      received = Buffer.concat([received, chunk]);
    }
    const length = received.readUInt16BE(0);
    assert.equal(decode(received.subarray(2, 2 + length)).answers?.length, 1);
    assert.equal(decode(received.subarray(4 + length)).answers?.length, 1);
  });

  it("closes connections that send too much or stay idle", async () => {
    const clock = new ManualClock();
    const server = await listen({ clock });
    const long = await dial(server);
    long.write(Buffer.from([0xff, 0xff, 0]));
    await once(long, "close");
    const idle = await dial(server);
    // An answer shows that the server has taken the connection.
    idle.write(framed(QUERY));
    await once(idle, "data");
    const closed = once(idle, "close");
    await clock.advance(10_000);
    await closed;
  });

  it("makes room for a new connection by closing the one idle for longest", async () => {
    const server = await listen({ limits: { connections: 1 } });
    const first = await dial(server);
    const closed = once(first, "close");
    const second = await dial(server);
    await closed;
    second.write(framed(QUERY));
    const [bytes] = (await once(second, "data")) as [Buffer];
    assert.ok(bytes.length > 2);
  });

  it("drops what one source asks beyond its rate", async () => {
    const server = await listen({ clock: new ManualClock(), limits: { perSource: 3 } });
    const client = createSocket("udp4");
    let answers = 0;
    client.on("message", () => answers++);
    try {
      for (let i = 0; i < 10; i++)
        await new Promise((resolve) => client.send(QUERY, server.port, "127.0.0.1", resolve));
      const socket = await dial(server);
      socket.write(framed(QUERY));
      await once(socket, "close");
      assert.ok(answers <= 3);
    } finally {
      client.close();
    }
  });

  it("survives garbage", async () => {
    const server = await listen();
    const client = createSocket("udp4");
    try {
      for (let size = 0; size < 40; size++) client.send(Buffer.alloc(size, size * 7), server.port, "127.0.0.1");
      const answered = new Promise<Buffer>((resolve) => {
        client.on("message", (bytes) => {
          if (bytes.readUInt16BE(0) === 9) resolve(bytes);
        });
      });
      client.send(QUERY, server.port, "127.0.0.1");
      assert.equal(decode(await answered).answers?.length, 1);
    } finally {
      client.close();
    }
  });

  it("rejects with PORT_IN_USE where another listens, on either transport", async () => {
    const { port } = await listen();
    await assert.rejects(listen({ port }), (error) => hasCode(error, "PORT_IN_USE"));
  });
});
