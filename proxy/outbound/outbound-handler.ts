// HTTP/1.1 requests of the app: which service they are for, and how they use connections.
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { Service } from "../balance/service.ts";
import { AUTHORITY_AT, authorityEnd } from "../http1/authority.ts";
import { ClientConnection, type TryFailure } from "../http1/client-connection.ts";
import type { RequestHandler, ServedRequest, Verdict } from "../http1/engine.ts";
import { dropFields } from "../http1/field-drop.ts";
import { CONNECT, type Head, OPTIONS } from "../http1/head.ts";
import {
  DEADLINE_AND_RETRIES_FIELDS,
  deadlineOf,
  errorOf,
  preferOf,
  putBudget,
  RETRIES_LEFT_FIELD,
  retriesLeftOf,
} from "../http1/our-fields.ts";
import { same } from "../http1/syntax.ts";
import { HTTP1 } from "../preface.ts";
import { Http1View } from "../route/http1-view.ts";
import type { RouteTable } from "../route/route-table.ts";
import { changedTarget } from "../route/target-change.ts";
import { Mirrors } from "./mirrors.ts";
import type { DialGate, RequestProtocol } from "./outbound-request.ts";
import type { OutboundDeps, OutboundState } from "./outbound-state.ts";
import { type Routed, routeRequest } from "./routing.ts";
import { awaitAnswer, badRequest, lookUp, notFound } from "./service-lookup.ts";
import type { Entry } from "./service-table.ts";
import { Tries } from "./tries.ts";
import type { Terms } from "./try-state.ts";
import { openTunnel } from "./tunnel.ts";

type Connection = ServedRequest<OutboundState>;

const NO_FIELDS = Buffer.alloc(0);

export class OutboundHandler implements RequestHandler<OutboundState>, RequestProtocol<Connection> {
  readonly preface = HTTP1;
  readonly #deps: OutboundDeps;
  readonly #tries: Tries<Connection>;
  readonly #view = new Http1View();
  readonly #mirrors: Mirrors;

  constructor(deps: OutboundDeps) {
    this.#deps = deps;
    this.#tries = new Tries(deps, this);
    this.#mirrors = new Mirrors(deps);
  }

  // --- which service

  route(connection: Connection, head: Head, b: Buffer): Verdict {
    const { engine, services } = this.#deps;
    const { rewrite } = engine;
    const { state } = connection;
    state.row = this.#deps.unknownRow;
    state.service = undefined;
    rewrite.targetStart = head.targetStart;
    rewrite.targetEnd = head.targetEnd;
    rewrite.target = undefined;
    rewrite.host = undefined;
    rewrite.lines = NO_FIELDS;
    state.routeRow = -1;
    state.plan = undefined;
    state.mirrored = true;
    const { fixed } = state;
    let start = head.hostStart;
    let end = head.hostEnd;
    let port = 80;
    let absolute = false;
    if (head.method === CONNECT) {
      if (fixed !== undefined) return badRequest("it is a CONNECT to what is no proxy");
      start = head.targetStart;
      end = head.targetEnd;
      // A tunnel has no default port (RFC 9110 section 9.3.6).
      port = 0;
    } else if (b[head.targetStart] === 47 || (head.method === OPTIONS && isAsterisk(head, b))) {
      if (start === end && fixed === undefined) return badRequest("it names no host");
    } else {
      end = authorityEnd(b, head.targetStart, head.targetEnd);
      if (end < 0) return badRequest("its target is neither a path nor an http URL");
      start = head.targetStart + AUTHORITY_AT;
      absolute = true;
      rewrite.targetStart = end;
    }
    const named = same(b, start, end, state.host);
    const known = (named || fixed !== undefined) && port > 0 && state.entry?.gone === false ? state.entry : undefined;
    const entry = known ?? lookUp(services, fixed ?? b.toString("latin1", start, end), port);
    if ("status" in entry) return entry;
    const { service } = entry;
    if (service === undefined) return this.#await(connection, entry);
    if (!named) state.host = Buffer.from(b.subarray(start, end));
    if (absolute) rewrite.host = state.host;
    state.entry = entry;
    entry.lastUsedMs = connection.startMs;
    if (service.spec.kind === "notFound") return notFound(entry);
    if (head.method === CONNECT) {
      state.service = service;
      return "tunnel";
    }
    if (service.routes === undefined) return this.#begin(connection, service, service.terms, head, b);
    return this.#routeBy(service.routes, connection, entry, service, head, b);
  }

  #await(connection: Connection, entry: Entry): Verdict {
    return awaitAnswer(this.#deps.services, entry, () => connection.again()) ?? "wait";
  }

  #routeBy(rules: RouteTable, connection: Connection, entry: Entry, service: Service, head: Head, b: Buffer): Verdict {
    const { state } = connection;
    const { rewrite } = this.#deps.engine;
    const view = this.#view.look(head, b, rewrite.targetStart, rewrite.targetEnd);
    const onRoute = (row: number) => {
      state.routeRow = row;
    };
    const again = () => connection.again();
    const routed = routeRequest(this.#deps, entry, service, rules, view, onRoute, again);
    if (routed === "wait" || "status" in routed) return routed;
    this.#apply(connection, routed, head, b);
    return this.#begin(connection, routed.service, routed.terms, head, b);
  }

  #begin(connection: Connection, service: Service, terms: Terms, head: Head, b: Buffer): Verdict {
    const { rewrite } = this.#deps.engine;
    const { state } = connection;
    const { wishes } = state;
    wishes.retriesLeft = retriesLeftOf(head, b);
    wishes.deadlineMs = deadlineOf(head, b);
    wishes.prefer = preferOf(head, b);
    wishes.client = service.spec.affinityMs > 0 ? connection.stream.remoteAddress : "";
    this.#tries.begin(connection, service, terms);
    if (service.spec.kind === "external") rewrite.added = NO_FIELDS;
    else rewrite.added = state.deadlineAtMs === Infinity ? RETRIES_LEFT_FIELD : DEADLINE_AND_RETRIES_FIELDS;
    state.addedBytes = rewrite.added.length;
    return "routed";
  }

  /** What the rule changes in the request. */
  #apply(connection: Connection, { plan, prefixLength }: Routed, head: Head, b: Buffer): void {
    const { rewrite } = this.#deps.engine;
    connection.state.plan = plan;
    connection.state.mirrored = plan.mirrors.length === 0;
    if (plan.path !== undefined)
      rewrite.target = Buffer.from(changedTarget(this.#view, plan.path, prefixLength), "latin1");
    if (plan.host !== undefined) rewrite.host = Buffer.from(plan.host.octets);
    if (plan.requestHeaders === undefined) return;
    dropFields(head, b, plan.requestHeaders.dropped);
    rewrite.lines = plan.requestHeaders.lines;
  }

  dispatch(connection: Connection): void {
    if (!connection.state.mirrored) this.#mirror(connection, false);
    this.#tries.dispatch(connection);
  }

  // --- which connection

  gate(endpoint: Endpoint): DialGate {
    return endpoint.pool;
  }

  reuse(connection: Connection, endpoint: Endpoint): boolean {
    const pooled = endpoint.pool.acquire();
    if (pooled === undefined) return false;
    this.#send(connection, pooled);
    return true;
  }

  adopt(connection: Connection, endpoint: Endpoint, stream: ByteStream): void {
    const made = new ClientConnection(stream, endpoint.pool, this.#deps.engine.responseHead);
    const { metrics } = this.#deps;
    metrics.opened(endpoint.row);
    made.onGone = () => metrics.closed(endpoint.row);
    endpoint.pool.add(made);
    this.#send(connection, made);
  }

  #send(connection: Connection, on: ClientConnection): void {
    const { service, retriesLeft, deadlineAtMs } = connection.state;
    if (service?.spec.kind !== "external") {
      const leftMs = deadlineAtMs === Infinity ? deadlineAtMs : this.#tries.leftMs(connection);
      putBudget(connection.held, connection.headLength, retriesLeft, leftMs);
    }
    connection.attach(on);
  }

  // --- what came of it

  cancel(connection: Connection): void {
    this.#tries.cancel(connection);
  }

  rejects(connection: Connection, head: Head, b: Buffer): boolean {
    return this.#tries.turnsDown(connection, errorOf(head, b), head.status);
  }

  answered(connection: Connection, status: number): void {
    if (!connection.state.mirrored) this.#mirror(connection, true);
    this.#tries.answered(connection, status < 500);
    if (status === 101) this.#tries.untimed(connection);
  }

  amend(connection: Connection, head: Head, b: Buffer): Buffer {
    const change = connection.state.plan?.responseHeaders;
    if (change === undefined) return NO_FIELDS;
    dropFields(head, b, change.dropped);
    return change.lines;
  }

  /** Copies the request to where its rule says as soon as all of it is here, unless that is more than is held. */
  #mirror(connection: Connection, answered: boolean): void {
    const { state } = connection;
    const { plan, addedBytes } = state;
    if (state.mirrored || plan === undefined) return;
    const { held, heldLength, headLength, requestDone, replayable, upgradeAsked, method, minor } = connection;
    if (requestDone && replayable && !upgradeAsked) {
      state.mirrored = true;
      this.#mirrors.copy(plan.mirrors, () => ({
        method,
        minor,
        head: Buffer.from(held.subarray(0, headLength - 2 - addedBytes)),
        body: Buffer.from(held.subarray(headLength, heldLength)),
      }));
    } else if (upgradeAsked || !replayable || answered) {
      state.mirrored = true;
      this.#mirrors.skip();
    }
  }

  failed(connection: Connection, failure: TryFailure, used: ClientConnection): void {
    // One connection that was dead on arrival: the others that idled with it are hardly better.
    if (failure === "reset" && used.uses > 1) used.pool.dropIdle();
    this.#tries.failed(connection, failure);
  }

  finished(connection: Connection, status: number): void {
    this.#tries.finished(connection, status);
  }

  tunnel(connection: Connection, early: Buffer): void {
    openTunnel(this.#deps, this, connection, early);
  }

  bytes(connection: Connection, fromClient: boolean, count: number): void {
    this.#deps.metrics.bytes(connection.state.row, !fromClient, count);
    this.#tries.passed(connection);
  }

  trusted(connection: Connection): boolean {
    return this.#tries.trusted(connection);
  }
}

function isAsterisk(head: Head, b: Buffer): boolean {
  return head.targetEnd - head.targetStart === 1 && b[head.targetStart] === 42;
}
