// HTTP/2 requests of the app: which service they are for, and how they use connections.
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { TryFailure } from "../http1/client-connection.ts";
import { Http2ClientConnection } from "../http2/client-connection.ts";
import { createHttp2Engine, type Http2Engine } from "../http2/engine.ts";
import type { ServedStream, StreamHandler, StreamVerdict } from "../http2/handler.ts";
import { type Field, field } from "../http2/hpack/field.ts";
import type { RequestInfo } from "../http2/message.ts";
import { Exchanges, Http2ServerConnection } from "../http2/server-connection.ts";
import { HTTP2 } from "../preface.ts";
import { MAX_TRIES } from "../resilience/retry-policy.ts";
import type { OutboundDeps, ServeHttp2 } from "./outbound-state.ts";
import { awaitAnswer, badRequest, lookUp, notFound } from "./service-lookup.ts";
import type { Entry } from "./service-table.ts";
import { createTryState, type DialGate, type RequestProtocol, Tries, type TryState } from "./tries.ts";

interface StreamState extends TryState {
  /** The last field says how many retries are left. */
  counted: boolean;
}

type Request = ServedStream<StreamState>;

const RETRIES_LEFT: readonly Field[] = Array.from({ length: MAX_TRIES }, (_, left) =>
  field("x-causeway-retries-left", String(left)),
);
/** Authorities as clients write them, by handler. */
const MAX_KNOWN = 256;

export class Http2OutboundHandler implements StreamHandler<StreamState>, RequestProtocol<Request> {
  readonly preface = HTTP2;
  readonly #deps: OutboundDeps;
  readonly #engine: Http2Engine;
  readonly #tries: Tries<Request>;
  readonly #fixed: string | undefined;
  readonly #known = new Map<string, Entry>();

  constructor(deps: OutboundDeps, engine: Http2Engine, fixed: string | undefined) {
    this.#deps = deps;
    this.#engine = engine;
    this.#fixed = fixed;
    this.#tries = new Tries({ ...deps, log: deps.engine.log }, this);
  }

  createState(): StreamState {
    return { ...createTryState(this.#deps.unknownRow), counted: false };
  }

  // --- which service

  route(request: Request, info: RequestInfo): StreamVerdict {
    const { services, unknownRow } = this.#deps;
    const { state } = request;
    state.row = unknownRow;
    state.service = undefined;
    const entry = this.#entry(this.#fixed ?? info.authority);
    if ("status" in entry) return entry;
    const { service } = entry;
    if (service === undefined) return awaitAnswer(services, entry, request.waker()) ?? "wait";
    entry.lastUsedMs = request.startMs;
    if (service.spec.kind === "notFound") return notFound(entry);
    this.#tries.begin(request, service, info.retriesLeft, info.prefer);
    state.counted = service.spec.kind !== "external";
    if (state.counted) request.fields.push(RETRIES_LEFT[0] as Field);
    return "routed";
  }

  #entry(authority: string): ReturnType<typeof lookUp> {
    const known = this.#known.get(authority);
    if (known !== undefined && !known.gone) return known;
    if (authority === "") return badRequest("it names no authority");
    const entry = lookUp(this.#deps.services, authority, 80);
    if ("status" in entry) return entry;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(authority, entry);
    return entry;
  }

  dispatch(request: Request): void {
    this.#tries.dispatch(request);
  }

  // --- which connection

  gate(endpoint: Endpoint): DialGate {
    return endpoint.http2;
  }

  reuse(request: Request, endpoint: Endpoint): boolean {
    const connection = endpoint.http2.acquire();
    if (connection === undefined) return false;
    this.#send(request, connection);
    return true;
  }

  adopt(request: Request, endpoint: Endpoint, stream: ByteStream): void {
    const { metrics } = this.#deps;
    const made = new Http2ClientConnection(stream, this.#engine, endpoint.http2);
    metrics.opened(endpoint.row);
    made.onGone = () => metrics.closed(endpoint.row);
    endpoint.http2.add(made);
    this.#send(request, made);
  }

  #send(request: Request, connection: Http2ClientConnection): void {
    const { state, fields } = request;
    if (state.counted) fields[fields.length - 1] = RETRIES_LEFT[state.retriesLeft] as Field;
    request.attach(connection);
  }

  // --- what came of it

  cancel(request: Request): void {
    this.#tries.cancel(request);
  }

  rejects(request: Request, code: string | undefined): boolean {
    return this.#tries.turnsDown(request, code);
  }

  answered(request: Request, good: boolean | undefined): void {
    this.#tries.answered(request, good);
  }

  judged(request: Request, good: boolean): void {
    this.#tries.judged(request, good);
  }

  failed(request: Request, failure: TryFailure): void {
    this.#tries.failed(request, failure);
  }

  finished(request: Request, status: number, grpcStatus: number): void {
    this.#tries.finished(request, status, grpcStatus);
  }

  bytes(request: Request, fromClient: boolean, count: number): void {
    this.#deps.metrics.bytes(request.state.row, !fromClient, count);
  }

  trusted(request: Request): boolean {
    return this.#tries.trusted(request);
  }
}

/** Serves clients that speak HTTP/2. */
export function http2Server(deps: OutboundDeps): ServeHttp2 {
  const engine = createHttp2Engine(deps.engine);
  const shared = new Exchanges(engine, new Http2OutboundHandler(deps, engine, undefined));
  return (stream, fixed) => {
    const exchanges =
      fixed === undefined ? shared : new Exchanges(engine, new Http2OutboundHandler(deps, engine, fixed));
    return new Http2ServerConnection(stream, exchanges);
  };
}
