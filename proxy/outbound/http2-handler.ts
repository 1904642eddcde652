// HTTP/2 requests of the app: which service they are for, and how they use connections.
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { GatewayTarget } from "../balance/gateway-target.ts";
import type { Service } from "../balance/service.ts";
import type { TryFailure } from "../http1/client-connection.ts";
import type { Http2ClientConnection } from "../http2/client-connection.ts";
import { createHttp2Engine, type Http2Engine } from "../http2/engine.ts";
import { changeFields, replaceField } from "../http2/fields-change.ts";
import { grpcTimeoutOf } from "../http2/grpc-timeout.ts";
import type { ServedStream, StreamHandler, StreamVerdict } from "../http2/handler.ts";
import { type Field, field } from "../http2/hpack/field.ts";
import type { RequestInfo } from "../http2/message.ts";
import { deadlineField, retriesLeftField } from "../http2/our-fields.ts";
import { Exchanges, Http2ServerConnection } from "../http2/server-connection.ts";
import { HTTP2 } from "../preface.ts";
import { NO_TIMEOUTS } from "../resilience/request-policy.ts";
import { FieldsView } from "../route/fields-view.ts";
import type { RoutePlan } from "../route/route-table.ts";
import { changedTarget } from "../route/target-change.ts";
import { joinPool, spread } from "./http2-join.ts";
import { Http2Mirrors } from "./http2-mirrors.ts";
import type { DialGate, RequestProtocol } from "./outbound-request.ts";
import type { OutboundDeps, ServeHttp2 } from "./outbound-state.ts";
import { type Routed, routeRequest } from "./routing.ts";
import { awaitAnswer, badRequest, lookUp, notFound } from "./service-lookup.ts";
import type { Entry } from "./service-table.ts";
import { Tries } from "./tries.ts";
import { type Terms, TryState } from "./try-state.ts";

class StreamState extends TryState {
  /** The last field says how many retries are left. */
  counted = false;
  /** The field before it says how much time is left. */
  timed = false;
  /** What becomes of the request by a rule. */
  plan: RoutePlan | undefined = undefined;
  /** It has been copied to where the rule says, or will not be. */
  mirrored = true;
}

type Request = ServedStream<StreamState>;

/** Authorities as clients write them, by handler. */
const MAX_KNOWN = 256;

class Http2OutboundHandler implements StreamHandler<StreamState>, RequestProtocol<Request> {
  readonly preface = HTTP2;
  readonly #deps: OutboundDeps;
  readonly #engine: Http2Engine;
  readonly #tries: Tries<Request>;
  readonly #mirrors: Http2Mirrors;
  readonly #fixed: string | undefined;
  readonly #view = new FieldsView();
  readonly #known = new Map<string, Entry>();

  constructor(deps: OutboundDeps, engine: Http2Engine, mirrors: Http2Mirrors, fixed: string | undefined) {
    this.#deps = deps;
    this.#engine = engine;
    this.#mirrors = mirrors;
    this.#fixed = fixed;
    this.#tries = new Tries({ ...deps, log: deps.engine.log }, this);
  }

  createState(): StreamState {
    return new StreamState(this.#deps.unknownRow);
  }

  // --- which service

  route(request: Request, info: RequestInfo): StreamVerdict {
    const { services, unknownRow } = this.#deps;
    const { state } = request;
    state.row = unknownRow;
    state.service = undefined;
    state.routeRow = -1;
    state.plan = undefined;
    state.mirrored = true;
    const name = this.#fixed ?? info.authority;
    const known = this.#known.get(name);
    const entry = known === undefined || known.gone ? this.#lookUp(name) : known;
    if ("status" in entry) return entry;
    const { service } = entry;
    if (service === undefined) return awaitAnswer(services, entry, request.waker()) ?? "wait";
    entry.lastUsedMs = request.startMs;
    if (service.spec.kind === "notFound") return notFound(entry);
    if (service.routes === undefined) return this.#begin(request, service, service.terms, info);
    const view = this.#view.look(request.fields);
    const onRoute = (row: number) => {
      state.routeRow = row;
    };
    const again = request.waker();
    const routed = routeRequest(this.#deps, entry, service, service.routes, view, onRoute, again);
    if (routed === "wait" || "status" in routed) return routed;
    this.#apply(request, routed);
    return this.#begin(request, routed.service, routed.terms, info);
  }

  #begin(request: Request, service: Service, terms: Terms, info: RequestInfo): StreamVerdict {
    const { state, fields } = request;
    const { wishes } = state;
    wishes.retriesLeft = info.retriesLeft;
    wishes.deadlineMs = info.deadlineMs;
    wishes.prefer = info.prefer;
    wishes.client = service.spec.affinityMs > 0 ? request.remoteAddress : "";
    // A tunnel may last as long as it likes.
    const held = info.protocol === "" ? terms : { timeouts: NO_TIMEOUTS, retry: terms.retry };
    this.#tries.begin(request, service, held);
    state.counted = service.spec.kind !== "external";
    state.timed = state.deadlineAtMs < Number.POSITIVE_INFINITY;
    if (!state.counted) return "routed";
    const left = retriesLeftField(0);
    if (state.timed) fields.push(left);
    fields.push(left);
    return "routed";
  }

  /** What the rule changes in the request. */
  #apply({ state, fields }: Request, { plan, prefixLength }: Routed): void {
    state.plan = plan;
    state.mirrored = plan.mirrors.length === 0;
    const target = plan.path === undefined ? undefined : changedTarget(this.#view, plan.path, prefixLength);
    if (target !== undefined) replaceField(fields, ":path", target);
    if (plan.host !== undefined) {
      replaceField(fields, ":authority", plan.host.text);
      replaceField(fields, "host", plan.host.text);
    }
    if (plan.requestHeaders !== undefined) changeFields(fields, plan.requestHeaders);
  }

  #lookUp(authority: string): ReturnType<typeof lookUp> {
    if (authority === "") return badRequest("it names no authority");
    const entry = lookUp(this.#deps.services, authority, 80);
    if ("status" in entry) return entry;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(authority, entry);
    return entry;
  }

  dispatch(request: Request): void {
    if (!request.state.mirrored) this.#mirror(request, false);
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
    if (endpoint.group.gateways.length > 1) spread(this.#deps, this.#engine, request.state.service, endpoint);
    return true;
  }

  adopt(request: Request, endpoint: Endpoint, stream: ByteStream, gateway: GatewayTarget | undefined): void {
    this.#send(request, joinPool(this.#deps, this.#engine, endpoint, stream, gateway));
  }

  #send(request: Request, connection: Http2ClientConnection): void {
    const { state, fields } = request;
    if (state.timed) this.#putTimeLeft(request);
    if (state.counted) fields[fields.length - 1] = retriesLeftField(state.retriesLeft);
    request.attach(connection);
  }

  #putTimeLeft(request: Request): void {
    const { state, fields } = request;
    const leftMs = Math.max(0, Math.floor(this.#tries.leftMs(request)));
    if (state.counted) fields[fields.length - 2] = deadlineField(leftMs);
    for (let i = 0; i < fields.length; i++)
      if (fields[i]?.name === "grpc-timeout") fields[i] = field("grpc-timeout", grpcTimeoutOf(leftMs), true);
  }

  // --- what came of it

  cancel(request: Request): void {
    this.#tries.cancel(request);
  }

  rejects(request: Request, code: string | undefined, status: number, grpcStatus: number): boolean {
    return this.#tries.turnsDown(request, code, status, grpcStatus);
  }

  amend({ state }: Request, fields: Field[]): void {
    if (state.plan?.responseHeaders !== undefined) changeFields(fields, state.plan.responseHeaders);
  }

  answered(request: Request, good: boolean | undefined): void {
    if (!request.state.mirrored) this.#mirror(request, true);
    this.#tries.answered(request, good);
  }

  /** Copies the request to where its rule says as soon as all of it is here, unless that is more than is held. */
  #mirror(request: Request, answered: boolean): void {
    const { state, requestDone, replayable } = request;
    const { plan, counted, timed } = state;
    if (requestDone && replayable && plan !== undefined) {
      state.mirrored = true;
      this.#mirrors.copy(plan.mirrors, () => {
        const held = request.held();
        // The last ones are the mesh's own.
        if (counted) held.fields.length -= timed ? 2 : 1;
        return held;
      });
    } else if (answered || !replayable) {
      state.mirrored = true;
      this.#mirrors.skip();
    }
  }

  judged(request: Request, good: boolean): void {
    this.#tries.judged(request, good);
  }

  failed(request: Request, failure: TryFailure): void {
    this.#tries.failed(request, failure);
  }

  finished(request: Request, status: number, grpcStatus: number): void {
    if (!request.state.mirrored) this.#mirrors.skip();
    this.#tries.finished(request, status, grpcStatus);
  }

  bytes(request: Request, fromClient: boolean, count: number): void {
    this.#deps.metrics.bytes(request.state.row, !fromClient, count);
    this.#tries.passed(request);
  }

  trusted(request: Request): boolean {
    return this.#tries.trusted(request);
  }
}

/** Serves clients that speak HTTP/2. */
export function http2Server(deps: OutboundDeps): ServeHttp2 {
  const engine = createHttp2Engine(deps.engine, deps.floods, (error) => {
    deps.metrics.counter("http2_connections_failed_total", `direction="outbound",error="${error}"`).value++;
  });
  const mirrors = new Http2Mirrors(deps, engine);
  const exchangesFor = (fixed: string | undefined) =>
    new Exchanges(engine, new Http2OutboundHandler(deps, engine, mirrors, fixed));
  const shared = exchangesFor(undefined);
  return (stream, fixed) => new Http2ServerConnection(stream, fixed === undefined ? shared : exchangesFor(fixed));
}
