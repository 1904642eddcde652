import assert from "node:assert/strict";
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceError,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import type { RouteRule } from "../protos/gen/causeway/discovery/v1/RouteRule.ts";
import type { ServiceState } from "../protos/gen/causeway/discovery/v1/ServiceState.ts";
import { createProxyWorld, type ProxyWorld } from "../test/support/proxy-world.ts";
import type { RunningProxy } from "./start-proxy.ts";

const bytes = (b: Buffer) => b;
const PATH = "/test.Echo/unary";

describe("a routed gRPC call", () => {
  let world: ProxyWorld;
  let server: RunningProxy;
  let proxy: RunningProxy;
  let port: number;
  /** What the app answers before it is well; "hang": nothing. */
  let troubles: (number | "hang")[] = [];
  let calls: Metadata[] = [];

  before(async () => {
    world = await createProxyWorld();
    const app = new Server();
    const unary = {
      path: PATH,
      requestStream: false,
      responseStream: false,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    };
    app.addService(
      { unary },
      {
        unary(call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
          calls.push(call.metadata);
          const trouble = troubles.shift();
          if (trouble === "hang") return;
          if (trouble === undefined) callback(null, call.request);
          else callback({ code: trouble, details: "as asked" });
        },
      },
    );
    port = await new Promise<number>((resolve, reject) =>
      app.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    world.later(() => app.forceShutdown());
    server = await world.proxy("web");
    proxy = await world.proxy("client");
  });
  after(() => world.close());
  beforeEach(() => {
    troubles = [];
    calls = [];
  });

  let next = 0;
  /** Calls a service with these rules. */
  function routed(routes: readonly RouteRule[], more: Partial<ServiceState> = {}) {
    const authority = `grpc-${next++}.shop:80`;
    const identity = world.control.mesh.identity("shop", "web");
    const endpoint = { id: "w", address: "127.0.0.1", port, proxyPort: server.inboundPort, identity, ready: true };
    const groups = [{ trustDomain: "east.mesh", endpoints: [endpoint] }];
    world.control.service({ authority, kind: "KIND_SERVICE", groups, routes: [...routes], ...more });
    const client = new Client(`127.0.0.1:${proxy.outboundPort}`, credentials.createInsecure(), {
      "grpc.default_authority": authority,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_retries": 0,
    });
    world.later(() => client.close());
    return (deadlineMs = 10_000): Promise<string> =>
      new Promise((resolve, reject) => {
        const options = { deadline: Date.now() + deadlineMs };
        client.makeUnaryRequest(PATH, bytes, bytes, Buffer.from("hi"), new Metadata(), options, (error, answer) =>
          error === null ? resolve(String(answer)) : reject(error),
        );
      });
  }

  const exact = { path: { kind: "KIND_EXACT", value: PATH } } as const;

  it("matches a rule for its method, which changes its metadata", async () => {
    const call = routed([
      { name: "other", matches: [{ path: { kind: "KIND_EXACT", value: "/test.Echo/other" } }], grpc: true },
      {
        name: "unary",
        matches: [exact],
        grpc: true,
        filters: [{ requestHeaders: { set: [{ name: "x-rule", value: "unary" }] } }],
      },
    ]);
    assert.equal(await call(), "hi");
    assert.deepEqual(calls[0]?.get("x-rule"), ["unary"]);
  });

  it("is UNIMPLEMENTED where no rule matches", async () => {
    const call = routed([{ name: "none", matches: [{ method: "GET" }], grpc: true }]);
    await assert.rejects(call(), (error: ServiceError) => {
      assert.equal(error.code, status.UNIMPLEMENTED);
      assert.match(error.details, /^PROXY_NO_ROUTE/);
      return true;
    });
  });

  it("is sent again for a status that the rule names, as often as it says", async () => {
    const call = routed([
      { name: "retried", matches: [exact], grpc: true, retry: { limit: 2, grpcStatuses: [status.UNAVAILABLE] } },
    ]);
    troubles = [status.UNAVAILABLE, status.UNAVAILABLE];
    assert.equal(await call(), "hi");
    assert.deepEqual(
      calls.map((metadata) => metadata.get("x-causeway-retries-left")[0]),
      ["2", "1", "0"],
    );
    troubles = [status.INTERNAL];
    await assert.rejects(call(), { code: status.INTERNAL });
    troubles = [status.UNAVAILABLE, status.UNAVAILABLE, status.UNAVAILABLE];
    await assert.rejects(call(), { code: status.UNAVAILABLE, details: "as asked" });
  });

  it("is DEADLINE_EXCEEDED after the service's time, of which the app is told", async () => {
    const call = routed([], { timeouts: { requestMs: 100, tryMs: 0, idleMs: 0 } });
    troubles = ["hang"];
    // The app hears of it by grpc-timeout, and may be the first to give up.
    await assert.rejects(call(), { code: status.DEADLINE_EXCEEDED });
    const left = Number(calls[0]?.get("x-causeway-deadline-ms")[0]);
    assert.ok(left > 0 && left <= 100, String(left));
  });
});
