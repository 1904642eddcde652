import { deepEqual, equal, rejects } from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { PassThrough } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { ExecResult, KubeClient } from "./client.ts";
import { connectKube } from "./client-node-adapter.ts";
import { IMPORT_TIMEOUT_MS, ScriptedServer } from "./scripted-server.test.ts";

describe("KubeClient.exec()", () => {
  let server: ScriptedServer;
  let kube: KubeClient;
  let sockets: WebSocketServer;
  let protocols: string[];
  /** What the container does. */
  let run: (socket: WebSocket, request: IncomingMessage) => void;
  let refuse: string | undefined;

  before(async function () {
    this.timeout(IMPORT_TIMEOUT_MS);
    server = await ScriptedServer.start();
    kube = await connectKube({ kubeconfigPath: server.kubeconfigPath, context: "token", requestTimeoutMs: 2_000 });
    sockets = new WebSocketServer({
      noServer: true,
      handleProtocols: (offered) => protocols.find((name) => offered.has(name)) ?? false,
    });
    server.server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (refuse !== undefined) socket.end(refuse);
      else sockets.handleUpgrade(request, socket, head, (opened) => run(opened, request));
    });
  });
  after(async () => {
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
    await server.close();
  });
  beforeEach(() => {
    protocols = ["v5.channel.k8s.io"];
    refuse = undefined;
  });

  const frame = (channel: number, text: string) => Buffer.concat([Buffer.of(channel), Buffer.from(text)]);
  const exited = (code: number) => {
    const causes = [{ reason: "ExitCode", message: String(code) }];
    return frame(
      3,
      JSON.stringify(
        code === 0 ? { status: "Success" } : { status: "Failure", reason: "NonZeroExitCode", details: { causes } },
      ),
    );
  };

  async function exec(
    stdin?: PassThrough,
    signal = new AbortController().signal,
  ): Promise<ExecResult & { out: string; err: string }> {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const read = (stream: PassThrough) => (stream.read() as Buffer | null)?.toString() ?? "";
    const streams = { stdout, stderr, ...(stdin === undefined ? {} : { stdin }) };
    const result = await kube.exec("shop", "client", "app", ["sh", "-c", "a b"], streams, signal);
    return { ...result, out: read(stdout), err: read(stderr) };
  }

  it("carries output and the exit code, with the context's credentials", async () => {
    let asked: IncomingMessage | undefined;
    run = (socket, request) => {
      asked = request;
      socket.send(frame(1, "out"));
      socket.send(frame(2, "err"));
      socket.send(frame(1, ""));
      socket.send(exited(7));
    };
    deepEqual(await exec(), { exitCode: 7, out: "out", err: "err" });
    equal(asked?.headers.authorization, "Bearer secret-token");
    equal(
      asked?.url,
      "/api/v1/namespaces/shop/pods/client/exec?container=app&command=sh&command=-c&command=a+b&stdin=false&stdout=true&stderr=true&tty=false",
    );
  });

  it("carries stdin and its end over v5", async () => {
    run = (socket) => {
      const received: Buffer[] = [];
      socket.on("message", (data: Buffer) => {
        if (data[0] === 0) received.push(data.subarray(1));
        if (data[0] !== 255 || data[1] !== 0) return;
        socket.send(frame(1, Buffer.concat(received).toString().toUpperCase()));
        socket.send(exited(0));
      });
    };
    const stdin = new PassThrough();
    stdin.write("hello ");
    stdin.end("there");
    deepEqual(await exec(stdin), { exitCode: 0, out: "HELLO THERE", err: "" });
  });

  it("falls back to v4", async () => {
    protocols = ["v4.channel.k8s.io"];
    run = (socket) => socket.send(exited(0));
    equal((await exec()).exitCode, 0);
  });

  it("waits for a slow reader instead of holding what the command prints", async () => {
    const lines = 200;
    run = (socket) => {
      for (let line = 0; line < lines; line++) socket.send(frame(1, "x".repeat(10_000)));
      socket.send(exited(0));
    };
    const stdout = new PassThrough({ highWaterMark: 1_000 });
    let size = 0;
    stdout.on("data", (chunk: Buffer) => {
      size += chunk.length;
      stdout.pause();
      setImmediate(() => stdout.resume());
    });
    const { exitCode } = await kube.exec(
      "shop",
      "client",
      undefined,
      ["yes"],
      { stdout, stderr: new PassThrough() },
      new AbortController().signal,
    );
    stdout.end();
    await new Promise((resolve) => stdout.on("end", resolve));
    deepEqual([exitCode, size], [0, lines * 10_000]);
  });

  it("is EXEC_FAILED when the command cannot start", async () => {
    run = (socket) =>
      socket.send(
        frame(3, JSON.stringify({ status: "Failure", reason: "InternalError", message: 'exec: "sh": not found' })),
      );
    await rejects(exec(), {
      code: "EXEC_FAILED",
      message: /Cannot run a command in Pod shop\/client: exec: "sh": not found/,
    });
  });

  it("is EXEC_FAILED when the server refuses the pod, KUBE_DENIED when it refuses the caller", async () => {
    const body = JSON.stringify({ kind: "Status", message: 'pods "client" not found' });
    const head = `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
    refuse = `HTTP/1.1 404 Not Found\r\n${head}`;
    await rejects(exec(), { code: "EXEC_FAILED", message: /pods "client" not found/ });
    refuse = `HTTP/1.1 403 Forbidden\r\n${head}`;
    await rejects(exec(), { code: "KUBE_DENIED" });
    refuse = "nonsense\r\n\r\n";
    await rejects(exec(), { code: "CLUSTER_UNREACHABLE" });
  });

  it("is EXEC_FAILED when the connection is lost before the end", async () => {
    run = (socket) => {
      socket.send(frame(1, "half"));
      socket.close();
    };
    await rejects(exec(), { code: "EXEC_FAILED", message: /connection was lost/ });
  });

  it("ends the command's connection when aborted", async () => {
    const abort = new AbortController();
    const closed = new Promise<void>((resolve) => {
      run = (socket) => {
        socket.on("close", () => resolve());
        abort.abort();
      };
    });
    await rejects(exec(undefined, abort.signal), { code: "ABORTED" });
    await closed;
    await rejects(exec(undefined, abort.signal), { code: "ABORTED" });
  });
});
