import type { RequestOptions } from "node:http";
import { type Clock, every } from "../core/clock.ts";
import { MeshError } from "../core/errors.ts";
import { type ApiStatus, apiError, networkError } from "./api-error.ts";
import type { ExecResult, ExecStreams } from "./client.ts";

const PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, status: 3, close: 255 } as const;
const MAX_FRAME_BYTES = 4 * 1024 * 1024;
const MAX_STATUS_BYTES = 64 * 1024;
const PING_MS = 15_000;

export interface ExecTarget {
  readonly url: string;
  readonly options: RequestOptions;
  /** For messages. */
  readonly server: string;
  /** "exec in Pod shop/client", for messages. */
  readonly doing: string;
}

/**
 * A command over `v5.channel.k8s.io` (or v4, which cannot end stdin): the first byte of a frame is its channel.
 * Resolves with the exit code once the server says it and all output is written; ends neither stdout nor stderr.
 * @throws MeshError EXEC_FAILED when the command cannot start or the connection is lost, KUBE_DENIED,
 * CLUSTER_UNREACHABLE, ABORTED
 */
export async function runInPod(
  target: ExecTarget,
  streams: ExecStreams,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ExecResult> {
  const { doing, server } = target;
  const { WebSocket } = await import("ws");
  const aborted = () => new MeshError("ABORTED", `Cannot ${doing}: cancelled.`, { cause: signal.reason });
  if (signal.aborted) throw aborted();
  const socket = new WebSocket(target.url, PROTOCOLS, {
    ...target.options,
    handshakeTimeout: timeoutMs,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
    followRedirects: false,
  });
  let status: Buffer | undefined;
  let releaseStdin = () => {};
  let stopPings = () => {};
  const draining = new Map<NodeJS.WritableStream, Promise<unknown>>();
  const onAbort = () => socket.terminate();

  const write = (stream: NodeJS.WritableStream, bytes: Buffer) => {
    if (bytes.length === 0 || !stream.writable || stream.write(bytes) || draining.has(stream)) return;
    // Frames that are here already still come; the server's TCP window holds the rest back.
    socket.pause();
    const drained = new Promise<void>((resolve) => {
      const done = () => {
        for (const event of ["drain", "close", "error"]) stream.off(event, done);
        draining.delete(stream);
        if (draining.size === 0) socket.resume();
        resolve();
      };
      for (const event of ["drain", "close", "error"]) stream.on(event, done);
    });
    draining.set(stream, drained);
  };

  try {
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener("abort", onAbort, { once: true });
      socket.on("unexpected-response", (request, response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size <= MAX_STATUS_BYTES) chunks.push(chunk);
          else request.destroy();
        });
        response.on("close", () => {
          request.destroy();
          const error = apiError(doing, server, response.statusCode ?? 0, Buffer.concat(chunks));
          reject(error.code === "KUBE_DENIED" ? error : new MeshError("EXEC_FAILED", error.message, { cause: error }));
        });
      });
      socket.on("error", (error) => reject(signal.aborted ? aborted() : networkError(doing, server, error)));
      socket.on("close", () => (signal.aborted ? reject(aborted()) : resolve()));
      socket.on("open", () => {
        releaseStdin = forward(streams.stdin, socket);
        stopPings = keepAlive(socket, clock);
      });
      socket.on("message", (data) => {
        const frame = Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer);
        const bytes = frame.subarray(1);
        if (frame[0] === CHANNEL.stdout) write(streams.stdout, bytes);
        else if (frame[0] === CHANNEL.stderr) write(streams.stderr, bytes);
        else if (frame[0] === CHANNEL.status) {
          status = Buffer.concat([status ?? Buffer.alloc(0), bytes]);
          if (status.length > MAX_STATUS_BYTES) socket.terminate();
          else if (parseStatus(status) !== undefined) socket.close(1000);
        }
      });
    });
  } finally {
    signal.removeEventListener("abort", onAbort);
    releaseStdin();
    stopPings();
    socket.terminate();
  }
  await Promise.all(draining.values());
  return { exitCode: exitCodeOf(status === undefined ? undefined : parseStatus(status), doing) };
}

interface Frames {
  readonly protocol: string;
  readonly readyState: number;
  readonly OPEN: number;
  send(data: Buffer, done: (error?: Error) => void): void;
  ping(): void;
  terminate(): void;
  on(event: "pong", listener: () => void): unknown;
}

/** Sends stdin, waiting for each chunk to be written; the returned function lets go of the stream. */
function forward(stdin: NodeJS.ReadableStream | undefined, socket: Frames): () => void {
  if (stdin === undefined) return () => {};
  const onData = (chunk: Buffer | string) => {
    if (socket.readyState !== socket.OPEN) return;
    stdin.pause();
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    socket.send(Buffer.concat([Buffer.of(CHANNEL.stdin), bytes]), () => stdin.resume());
  };
  const onEnd = () => {
    if (socket.readyState !== socket.OPEN || socket.protocol !== PROTOCOLS[0]) return;
    socket.send(Buffer.of(CHANNEL.close, CHANNEL.stdin), () => {});
  };
  stdin.on("data", onData);
  stdin.on("end", onEnd);
  return () => {
    stdin.off("data", onData);
    stdin.off("end", onEnd);
    stdin.pause();
  };
}

/** Ends a connection on which no ping is answered: a command may be silent for hours. */
function keepAlive(socket: Frames, clock: Clock): () => void {
  let unanswered = 0;
  socket.on("pong", () => {
    unanswered = 0;
  });
  return every(clock, PING_MS, () => {
    if (unanswered++ >= 2) socket.terminate();
    else if (socket.readyState === socket.OPEN) socket.ping();
  });
}

function parseStatus(bytes: Buffer): (ApiStatus & { status?: string }) | undefined {
  try {
    const parsed: unknown = JSON.parse(bytes.toString("utf8"));
    return typeof parsed === "object" && parsed !== null ? parsed : undefined;
  } catch {
    return undefined; // more of it is to come
  }
}

function exitCodeOf(status: (ApiStatus & { status?: string }) | undefined, doing: string): number {
  if (status === undefined) {
    throw new MeshError("EXEC_FAILED", `Cannot ${doing}: the connection was lost before the command ended. Try again.`);
  }
  if (status.status === "Success") return 0;
  const cause = status.details?.causes?.find(({ reason }) => reason === "ExitCode")?.message ?? "";
  if (status.reason === "NonZeroExitCode" && /^\d{1,3}$/.test(cause)) return Number(cause);
  throw new MeshError(
    "EXEC_FAILED",
    `Cannot ${doing}: ${status.message ?? "no reason given"}. Check the command and the container.`,
  );
}
