// Copies of HTTP/1.1 requests, for a rule's mirrors. Nobody waits for them, and what they are answered is thrown away.
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import { ClientConnection, type Exchange, type TryFailure } from "../http1/client-connection.ts";
import type { Head } from "../http1/head.ts";
import { putBudget, RETRIES_LEFT_FIELD } from "../http1/our-fields.ts";
import { HTTP1 } from "../preface.ts";
import type { MirrorTarget } from "../route/route-table.ts";
import { COPY_TERMS, Copies, MAX_ANSWER_BYTES } from "./copies.ts";
import type { DialGate, OutboundRequest, RequestProtocol } from "./outbound-request.ts";
import type { OutboundDeps } from "./outbound-state.ts";
import { Tries } from "./tries.ts";
import { TryState } from "./try-state.ts";

/** A request as it goes out. */
export interface Original {
  readonly method: number;
  readonly minor: number;
  /** Its head without the mesh's own fields and the empty line. */
  readonly head: Buffer;
  readonly body: Buffer;
}

const EMPTY_LINE = Buffer.from("\r\n", "latin1");

/** Sends the copies of one workload's requests. */
export class Mirrors implements RequestProtocol<MirroredRequest> {
  readonly preface = HTTP1;
  readonly #deps: OutboundDeps;
  readonly #tries: Tries<MirroredRequest>;
  readonly #copies: Copies;

  constructor(deps: OutboundDeps) {
    this.#deps = deps;
    this.#tries = new Tries(deps, this);
    this.#copies = new Copies(deps);
  }

  /** The request cannot be copied: not all of it is held. */
  skip(): void {
    this.#copies.skip();
  }

  /** Sends a copy to as many of `targets` as their shares say. `original` is copied before the return. */
  copy(targets: readonly MirrorTarget[], original: () => Original): void {
    let made: Original | undefined;
    this.#copies.each(targets, (service, over) => {
      made ??= original();
      const ours = service.spec.kind === "external" ? EMPTY_LINE : Buffer.concat([RETRIES_LEFT_FIELD, EMPTY_LINE]);
      const head = Buffer.concat([made.head, ours]);
      if (service.spec.kind !== "external") putBudget(head, head.length, 0, Number.POSITIVE_INFINITY);
      const request = new MirroredRequest(made, Buffer.concat([head, made.body]), this.#deps, this.#tries, over);
      this.#tries.begin(request, service, COPY_TERMS);
      this.#tries.dispatch(request);
    });
  }

  gate(endpoint: Endpoint): DialGate {
    return endpoint.pool;
  }

  reuse(request: MirroredRequest, endpoint: Endpoint): boolean {
    const pooled = endpoint.pool.acquire();
    if (pooled === undefined) return false;
    request.send(pooled);
    return true;
  }

  adopt(request: MirroredRequest, endpoint: Endpoint, stream: ByteStream): void {
    const made = new ClientConnection(stream, endpoint.pool, this.#deps.engine.responseHead);
    const { metrics } = this.#deps;
    metrics.opened(endpoint.row);
    made.onGone = () => metrics.closed(endpoint.row);
    endpoint.pool.add(made);
    request.send(made);
  }
}

class MirroredRequest implements OutboundRequest, Exchange {
  readonly state: TryState;
  readonly startMs: number;
  readonly method: number;
  readonly minor: number;
  /** Once is enough. */
  readonly idempotent = false;
  readonly replayable = true;
  readonly requestDone = true;
  readonly upgradeAsked = false;
  closed = false;
  readonly #bytes: Buffer;
  readonly #tries: Tries<MirroredRequest>;
  readonly #onOver: (good: boolean) => void;
  #connection: ClientConnection | undefined;
  #status = 0;
  #answerBytes = 0;

  constructor(
    { method, minor }: Original,
    bytes: Buffer,
    { clock, unknownRow }: OutboundDeps,
    tries: Tries<MirroredRequest>,
    onOver: (good: boolean) => void,
  ) {
    this.method = method;
    this.minor = minor;
    this.startMs = clock.nowMs();
    this.state = new TryState(unknownRow);
    this.#bytes = bytes;
    this.#tries = tries;
    this.#onOver = onOver;
  }

  send(connection: ClientConnection): void {
    this.#connection = connection;
    connection.begin(this);
    connection.stream.write(this.#bytes, 0, this.#bytes.length);
  }

  #over(status: number): void {
    if (this.closed) return;
    this.closed = true;
    this.#tries.finished(this, status);
    this.#onOver(status > 0 && status < 500);
  }

  fail(): void {
    this.#over(0);
  }

  dropTry(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.drop();
  }

  abort(): void {
    this.dropTry();
    this.#over(0);
  }

  onInformational(): void {}

  rejects(): boolean {
    return false;
  }

  onHead(head: Head, _b: Buffer, headEnd: number, bodyEnd: number): void {
    this.#status = head.status;
    this.#answerBytes = bodyEnd - headEnd;
    this.#tries.answered(this, head.status < 500);
  }

  onBody(_b: Buffer, start: number, end: number): void {
    this.#answerBytes += end - start;
    if (this.#answerBytes <= MAX_ANSWER_BYTES) return;
    this.dropTry();
    this.#over(this.#status);
  }

  onDone(): void {
    this.#connection = undefined;
    this.#over(this.#status);
  }

  /** Not asked for. */
  onUpgraded(connection: ClientConnection): void {
    connection.stream.destroy();
    this.#connection = undefined;
    this.#over(0);
  }

  onFailed(_connection: ClientConnection, failure: TryFailure): void {
    this.#connection = undefined;
    if (this.#status > 0) this.#over(0);
    else this.#tries.failed(this, failure);
  }

  onUpstreamDrain(): void {}
}
