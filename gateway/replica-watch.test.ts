import assert from "node:assert/strict";
import { once } from "node:events";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { systemClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { createTestMesh } from "../test/support/mesh-identity.ts";
import { ReplicaWatch } from "./replica-watch.ts";

describe("ReplicaWatch", () => {
  let pem: { key: string; cert: string };
  let server: Http2SecureServer;
  let sockets: Set<Socket>;
  let watch: ReplicaWatch;
  let gone: string[];
  let onGone: () => void;

  before(async () => {
    const { root } = await createTestMesh("east", systemClock.wallMs());
    const key = root.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    pem = { key, cert: root.certificate.toString() };
  });

  beforeEach(async () => {
    sockets = new Set();
    server = createSecureServer(pem);
    server.on("connection", (socket: Socket) => sockets.add(socket));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    gone = [];
    onGone = () => {};
    watch = new ReplicaWatch({
      clock: systemClock,
      log: silentLog,
      onGone: (replica) => {
        gone.push(replica);
        onGone();
      },
    });
  });

  afterEach(() => {
    watch.close();
    server.close();
    for (const socket of sockets) socket.destroy();
  });

  const address = () => {
    const { port } = server.address() as AddressInfo;
    return { host: "127.0.0.1", relayPort: 1, federationPort: port, zone: "" };
  };
  /** As the kernel ends a process's sockets. */
  const kill = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };

  it("says once, and at once, that a replica is gone whose process ended", async () => {
    const connected = once(server, "session");
    watch.update(new Map([["b", address()]]));
    await connected;
    const told = new Promise<void>((resolve) => {
      onGone = resolve;
    });
    kill();
    await told;
    assert.deepEqual(gone, ["b"]);
  });

  it("connects again where only the connection was lost", async () => {
    const first = once(server, "session");
    watch.update(new Map([["b", address()]]));
    await first;
    const second = once(server, "session");
    for (const socket of sockets) socket.destroy();
    await second;
    assert.deepEqual(gone, []);
  });

  it("sees one off that leaves, and watches it anew when it is back", async () => {
    const first = once(server, "session");
    watch.update(new Map([["b", address()]]));
    await first;
    watch.update(new Map());
    const told = () =>
      new Promise<void>((resolve) => {
        onGone = resolve;
      });
    const left = told();
    const before = address();
    kill();
    await left;
    server = createSecureServer(pem);
    server.on("connection", (socket: Socket) => sockets.add(socket));
    server.listen(before.federationPort, "127.0.0.1");
    const second = once(server, "session");
    await once(server, "listening");
    watch.update(new Map([["b", before]]));
    await second;
    const killed = told();
    kill();
    await killed;
    assert.deepEqual(gone, ["b", "b"]);
  });

  it("says nothing of a replica that it was never connected to, and of one that it watches no more", async () => {
    const nobody = address();
    const connected = once(server, "session");
    watch.update(new Map([["b", nobody]]));
    await connected;
    watch.close();
    kill();
    watch.update(new Map([["c", nobody]]));
    await new Promise((resolve) => systemClock.after(100, () => resolve(undefined)));
    assert.deepEqual(gone, []);
  });
});
