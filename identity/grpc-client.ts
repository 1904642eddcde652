import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import type { Clock } from "../core/clock.ts";
import { asMeshError, errorText, MeshError } from "../core/errors.ts";
import type { Method } from "../protos/codec.ts";
import { type CallListener, GrpcCall } from "./grpc-call.ts";
import { type SpiffeDialer, secureHttp2 } from "./spiffe-dialer.ts";

export interface GrpcClientTimes {
  /** For TCP, name resolution included; TLS has 5 s of its own. */
  readonly connectMs: number;
  /** Between pings, calls or not. */
  readonly keepaliveMs: number;
  /** How long the answer to one may take. */
  readonly keepaliveAnswerMs: number;
}

const TIMES: GrpcClientTimes = { connectMs: 5_000, keepaliveMs: 10_000, keepaliveAnswerMs: 5_000 };

export interface GrpcClientOptions {
  /** "host:port" of each replica of the server, IPv6 in brackets; asked in this order, the next one after a failure. */
  readonly addresses: readonly [string, ...string[]];
  readonly dialer: SpiffeDialer;
  readonly clock: Clock;
  readonly times?: Partial<GrpcClientTimes>;
}

/**
 * gRPC over one connection of node:http2 to a server of ours, or to one of its replicas, which is dialled at the first
 * call and again at the first one after a loss: no retries, no balancing, no compression. For processes to which grpc-js is too large
 * (docs/decisions/0022); servers, and other clients, are grpc-js.
 */
export class GrpcClient {
  readonly #options: GrpcClientOptions;
  readonly #times: GrpcClientTimes;
  readonly #calls = new Set<{ fail(error: MeshError): void }>();
  #address: string;
  #session: Promise<ClientHttp2Session> | undefined;
  #end: () => void = () => {};
  #closed = false;

  constructor(options: GrpcClientOptions) {
    this.#options = options;
    [this.#address] = options.addresses;
    this.#times = { ...TIMES, ...options.times };
  }

  /**
   * Begins a call, and never throws: what goes wrong is told by `listener.onEnd`. `doing` is for its error: "Cannot
   * <doing>: …". Without `deadlineMs` it may last for ever.
   */
  open<Request extends object, Response>(
    method: Method<Request, Response>,
    doing: string,
    listener: CallListener<Response>,
    deadlineMs?: number,
  ): GrpcCall<Request, Response> {
    const call = new GrpcCall(
      method,
      doing,
      {
        onMessage: (message) => listener.onMessage(message),
        onEnd: (error) => {
          this.#calls.delete(call);
          cancelDeadline?.();
          listener.onEnd(error);
        },
      },
      deadlineMs,
    );
    this.#calls.add(call);
    const cancelDeadline = deadlineMs === undefined ? undefined : this.#deadline(call, doing, deadlineMs);
    this.#connected().then(
      (session) => call.start(session, this.#address),
      (error: unknown) => call.fail(asMeshError(error, "STREAM_CLOSED", doing)),
    );
    return call;
  }

  /** One request, one answer. @throws MeshError as callError; ABORTED */
  unary<Request extends object, Response>(
    method: Method<Request, Response>,
    request: Request,
    doing: string,
    deadlineMs: number,
    signal: AbortSignal,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const answers: Response[] = [];
      const onAbort = () => call.cancel();
      const onMessage = (message: Response) => {
        if (answers.push(message) > 1) throw new MeshError("PROTOCOL_VIOLATION", `Cannot ${doing}: two answers came.`);
      };
      const onEnd = (error: MeshError | undefined) => {
        signal.removeEventListener("abort", onAbort);
        const [answer] = answers;
        if (error !== undefined) reject(error);
        else if (answer === undefined)
          reject(new MeshError("PROTOCOL_VIOLATION", `Cannot ${doing}: the answer is empty.`));
        else resolve(answer);
      };
      const call = this.open(method, doing, { onMessage, onEnd }, deadlineMs);
      call.send(request);
      call.end();
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
  }

  /** Ends all calls, and the connection. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const call of [...this.#calls]) call.fail(new MeshError("ABORTED", "Cannot go on: the client was closed."));
    this.#end();
  }

  #deadline(call: { fail(error: MeshError): void }, doing: string, deadlineMs: number): () => void {
    const late = () => call.fail(new MeshError("STREAM_CLOSED", `Cannot ${doing}: it took too long.`));
    return this.#options.clock.after(deadlineMs, late);
  }

  #connected(): Promise<ClientHttp2Session> {
    if (this.#closed) return Promise.reject(new MeshError("ABORTED", "Cannot call: the client was closed."));
    if (this.#session !== undefined) return this.#session;
    const session = this.#dial();
    const forget = () => {
      if (this.#session === session) this.#session = undefined;
    };
    session.then((open) => {
      // After GOAWAY calls that are under way go on; the next one dials.
      open.once("goaway", forget);
      open.once("close", forget);
      // The calls are told by their streams.
      open.on("error", forget);
      if (open.destroyed) forget();
    }, forget);
    this.#session = session;
    return session;
  }

  /** To the address that was good last, or else to the others in turn. @throws MeshError of the last one */
  async #dial(): Promise<ClientHttp2Session> {
    const { addresses } = this.#options;
    const first = addresses.indexOf(this.#address);
    let failure: unknown;
    for (const i of addresses.keys()) {
      this.#address = addresses[(first + i) % addresses.length] ?? this.#address;
      try {
        return await this.#dialOne(this.#address);
      } catch (error) {
        failure = error;
      }
    }
    this.#address = addresses[(first + 1) % addresses.length] ?? this.#address;
    throw failure;
  }

  async #dialOne(address: string): Promise<ClientHttp2Session> {
    const { dialer, clock } = this.#options;
    const socket = await this.#tcp(address);
    this.#end = () => socket.destroy();
    const secured = await secureHttp2(socket, dialer, clock);
    // A close while it shook hands has destroyed the socket; the handshake may have been done by then.
    if (this.#closed || secured.destroyed) {
      secured.destroy();
      throw new MeshError("STREAM_CLOSED", "Cannot connect: the connection was closed.");
    }
    const session = connectHttp2(`https://${address}`, {
      createConnection: () => secured,
      settings: { enablePush: false },
    });
    session.on("error", () => {});
    this.#end = () => session.destroy();
    keepAlive(session, clock, this.#times);
    return session;
  }

  #tcp(address: string): Promise<Socket> {
    const colon = address.lastIndexOf(":");
    const host = address.slice(0, colon).replace(/^\[|\]$/g, "");
    return new Promise((resolve, reject) => {
      const socket = connectTcp({ host, port: Number(address.slice(colon + 1)), noDelay: true });
      this.#end = () => socket.destroy(new Error("the client was closed"));
      const settle = (run: () => void) => {
        cancel();
        socket.removeListener("error", fail);
        run();
      };
      const fail = (error: Error) =>
        settle(() => {
          socket.on("error", () => {}).destroy();
          const text = `Cannot connect to ${address}: ${errorText(error)}. Check that it runs and can be reached.`;
          reject(new MeshError("STREAM_CLOSED", text, { cause: error }));
        });
      const cancel = this.#options.clock.after(this.#times.connectMs, () => fail(new Error("it took too long")));
      socket.once("error", fail);
      socket.once("connect", () => settle(() => resolve(socket)));
    });
  }
}

/** Pings for as long as `session` is open, and destroys it where one is not answered in time. */
function keepAlive(
  session: ClientHttp2Session,
  clock: Clock,
  { keepaliveMs, keepaliveAnswerMs }: GrpcClientTimes,
): void {
  let cancel = () => {};
  const wait = () => {
    cancel = clock.after(keepaliveMs, () => {
      if (session.destroyed || session.closed) return;
      const silent = () => session.destroy(new Error(`no answer to a ping for ${keepaliveAnswerMs} ms`));
      cancel = clock.after(keepaliveAnswerMs, silent);
      const sent = session.ping((error) => {
        cancel();
        if (error === null && !session.destroyed) wait();
      });
      // Over ten are unanswered: not ours, which come one by one.
      if (!sent) silent();
    });
  };
  wait();
  session.once("close", () => cancel());
}
