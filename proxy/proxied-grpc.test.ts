import assert from "node:assert/strict";
import {
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { eventually } from "../test/support/eventually.ts";
import { createProxyWorld, type ProxyWorld } from "../test/support/proxy-world.ts";
import type { RunningProxy } from "./start-proxy.ts";

const bytes = (b: Buffer) => b;

function method(name: string, requestStream: boolean, responseStream: boolean): MethodDefinition<Buffer, Buffer> {
  return {
    path: `/test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
}

const ECHO = {
  unary: method("unary", false, false),
  collect: method("collect", true, false),
  repeat: method("repeat", false, true),
  chat: method("chat", true, true),
};

describe("a proxied gRPC call", () => {
  let world: ProxyWorld;
  let app: Server;
  let appPort: number;
  let server: RunningProxy;
  let proxy: RunningProxy;
  let client: Client;
  let calls = 0;

  before(async () => {
    world = await createProxyWorld();
    app = new Server();
    app.addService(ECHO, {
      unary(call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
        calls++;
        const asked = call.request.toString();
        if (asked === "never") return;
        if (asked.startsWith("fail ")) {
          callback({ code: Number(asked.slice(5)), details: "as asked" });
          return;
        }
        const trailers = new Metadata();
        trailers.set("x-end", "yes");
        callback(null, Buffer.from(`${asked} from ${String(call.metadata.get("x-causeway-client-id")[0])}`), trailers);
      },
      collect(call: ServerReadableStream<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
        let sum = 0;
        call.on("data", (chunk: Buffer) => {
          sum += chunk.length;
        });
        call.on("end", () => callback(null, Buffer.from(String(sum))));
      },
      repeat(call: ServerWritableStream<Buffer, Buffer>) {
        const count = Number(call.request.toString());
        for (let i = 0; i < count; i++) call.write(Buffer.from(String(i)));
        call.end();
      },
      chat(call: ServerDuplexStream<Buffer, Buffer>) {
        call.on("data", (chunk: Buffer) => call.write(Buffer.from(`<${chunk.toString()}>`)));
        call.on("end", () => call.end());
        call.on("error", () => {});
      },
    });
    appPort = await new Promise<number>((resolve, reject) =>
      app.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      ),
    );
    world.later(() => app.forceShutdown());
    server = await world.proxy("web");
    proxy = await world.proxy("client");
    serve("echo.shop:80", appPort);
    client = clientOf("echo.shop");
  });
  after(() => world.close());

  function serve(authority: string, port: number): void {
    const identity = world.control.mesh.identity("shop", "web");
    const endpoint = { id: "w", address: "127.0.0.1", port, proxyPort: server.inboundPort, identity, ready: true };
    const groups = [{ trustDomain: "east.mesh", endpoints: [endpoint] }];
    world.control.service({ authority, kind: "KIND_SERVICE", groups });
  }

  function clientOf(authority: string): Client {
    const made = new Client(`127.0.0.1:${proxy.outboundPort}`, credentials.createInsecure(), {
      "grpc.default_authority": authority,
      "grpc.use_local_subchannel_pool": 1,
    });
    world.later(() => made.close());
    return made;
  }

  function unary(text: string, by = client, deadlineMs = 10_000): Promise<{ value: string; trailers: Metadata }> {
    return new Promise((resolve, reject) => {
      let value = "";
      const call = by.makeUnaryRequest(
        ECHO.unary.path,
        bytes,
        bytes,
        Buffer.from(text),
        new Metadata(),
        { deadline: Date.now() + deadlineMs },
        (error, answer) => {
          if (error !== null) reject(error);
          else value = answer?.toString() ?? "";
        },
      );
      call.on("status", ({ metadata }) => resolve({ value, trailers: metadata }));
    });
  }

  it("is answered, with trailers", async () => {
    const { value, trailers } = await unary("hello");
    assert.equal(value, "hello from spiffe://east.mesh/ns/shop/sa/client");
    assert.deepEqual(trailers.get("x-end"), ["yes"]);
  });

  it("streams from the client, from the server, and both ways", async () => {
    const collected = await new Promise<string>((resolve, reject) => {
      const call = client.makeClientStreamRequest(ECHO.collect.path, bytes, bytes, new Metadata(), (error, value) =>
        error === null ? resolve(String(value)) : reject(error),
      );
      for (let i = 0; i < 100; i++) call.write(Buffer.alloc(10_000));
      call.end();
    });
    assert.equal(collected, "1000000");
    const repeated: string[] = [];
    const repeat = client.makeServerStreamRequest(ECHO.repeat.path, bytes, bytes, Buffer.from("1000"));
    for await (const chunk of repeat) repeated.push(String(chunk));
    assert.deepEqual([repeated.length, repeated.at(-1)], [1_000, "999"]);
    const chat = client.makeBidiStreamRequest(ECHO.chat.path, bytes, bytes);
    let text = "";
    chat.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    for (const word of ["one", "two", "three"]) {
      chat.write(Buffer.from(word));
      await eventually(() => text.endsWith(`<${word}>`));
    }
    const ended = new Promise<{ code: number }>((resolve) => chat.once("status", resolve));
    chat.end();
    assert.equal((await ended).code, status.OK);
    assert.equal(text, "<one><two><three>");
  });

  it("brings the app's status back, and is not sent again", async () => {
    calls = 0;
    for (const code of [status.INVALID_ARGUMENT, status.UNAVAILABLE, status.INTERNAL]) {
      await assert.rejects(unary(`fail ${code}`), (error: ServiceError) => {
        assert.deepEqual([error.code, error.details], [code, "as asked"]);
        return true;
      });
    }
    assert.equal(calls, 3);
    const text = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text();
    for (const [code, classification] of [
      [0, "success"],
      [3, "success"],
      [13, "failure"],
      [14, "failure"],
    ]) {
      const pattern = `classification="${classification}",status_code="200",grpc_status_code="${code}"\\} [1-9]`;
      assert.match(text, new RegExp(`authority="echo\\.shop:80"[^}]*${pattern}`));
    }
  });

  it("is given up at the app when the client's deadline passes", async () => {
    await assert.rejects(unary("never", client, 200), { code: status.DEADLINE_EXCEEDED });
    assert.equal((await unary("after")).value.startsWith("after"), true);
  });

  it("fails with UNAVAILABLE where there is nobody, and with what is wrong", async () => {
    world.control.service({ authority: "none.shop:80", kind: "KIND_NOT_FOUND" });
    await assert.rejects(unary("x", clientOf("none.shop")), (error: ServiceError) => {
      assert.equal(error.code, status.UNAVAILABLE);
      assert.match(error.details, /^PROXY_UNKNOWN_SERVICE: Cannot reach none\.shop:80/);
      return true;
    });
  });
});
