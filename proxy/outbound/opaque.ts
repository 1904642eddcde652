// Connections whose bytes pass unread, to an endpoint that is chosen once for each.
import type { MeshError } from "../../core/errors.ts";
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { CancelConnect } from "../../transport/transport.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { GatewayTarget } from "../balance/gateway-target.ts";
import type { Service } from "../balance/service.ts";
import { splice } from "../http1/splice.ts";
import { OPAQUE } from "../preface.ts";
import { admit, fail, release, succeed } from "../resilience/breaker.ts";
import { dial } from "./dial.ts";
import type { OutboundDeps } from "./outbound-state.ts";

const MAX_EARLY_BYTES = 65_536;
const MAX_ATTEMPTS = 5;
/** A bulk flow is read and written in larger pieces. */
const BULK_READ_BYTES = 262_144;

/** What a client has sent before there was anybody to pass it on to. */
export class EarlyBytes {
  bytes: Buffer;
  ended: boolean;

  constructor(bytes: Buffer, ended: boolean) {
    this.bytes = bytes;
    this.ended = ended;
  }

  /** Becomes the user of `stream` until somebody else does; `onClose` is called if it closes meanwhile. */
  hold(stream: ByteStream, onClose: () => void): void {
    stream.user = {
      onRead: (buffer, length) => {
        this.bytes = Buffer.concat([this.bytes, buffer.subarray(0, length)]);
        if (this.bytes.length > MAX_EARLY_BYTES) stream.pause();
      },
      onEnd: () => {
        this.ended = true;
      },
      onDrain() {},
      onClose,
    };
  }
}

/** By which way a connection goes. */
export interface OpaqueWay {
  readonly endpoint: Endpoint;
  /** Undefined: through none. */
  readonly gateway: GatewayTarget | undefined;
}

/**
 * Connects to an endpoint of `service`, another one where that fails. One of the callbacks runs, later; from
 * `onConnect` on the endpoint and the gateway count a pending connection more, which `spliceOpaque` or `letGo` takes off.
 */
export function connectOpaque(
  deps: OutboundDeps,
  service: Service,
  onConnect: (way: OpaqueWay, upstream: ByteStream) => void,
  onFailure: (error: MeshError | undefined, endpoint: Endpoint | undefined) => void,
): CancelConnect {
  const { clock, random } = deps;
  const tried: Endpoint[] = [];
  let attempts = 0;
  let cancel = () => {};
  const attempt = (error?: MeshError, failed?: Endpoint) => {
    const endpoint = attempts < MAX_ATTEMPTS ? service.choose(tried, tried.length >= 2) : undefined;
    if (endpoint === undefined) {
      cancel = () => {};
      // Never from within the call: the caller has nothing yet to be told by.
      if (attempts === 0) cancel = clock.after(0, () => onFailure(error, failed));
      else onFailure(error, failed);
      return;
    }
    admit(endpoint.breaker, clock.nowMs());
    endpoint.load.pending++;
    const stop = dial(
      deps,
      service,
      endpoint,
      OPAQUE,
      (upstream, gateway) => {
        cancel = () => {};
        succeed(endpoint.breaker, clock.nowMs());
        if (gateway !== undefined) gateway.load.pending++;
        onConnect({ endpoint, gateway }, upstream);
      },
      (problem, blame) => {
        endpoint.load.pending--;
        if (blame === "endpoint") fail(endpoint.breaker, true, clock.nowMs(), random);
        else release(endpoint.breaker, clock.nowMs());
        attempts++;
        if (blame === "endpoint") tried.push(endpoint);
        attempt(problem, endpoint);
      },
    );
    cancel = () => {
      stop();
      endpoint.load.pending--;
      release(endpoint.breaker, clock.nowMs());
    };
  };
  attempt();
  return () => cancel();
}

/** The connection is over, or is not wanted. */
export function letGo({ endpoint, gateway }: OpaqueWay): void {
  endpoint.load.pending--;
  if (gateway !== undefined) gateway.load.pending--;
}

/** Passes bytes both ways, those first that came early. */
export function spliceOpaque(
  deps: OutboundDeps,
  stream: ByteStream,
  way: OpaqueWay,
  upstream: ByteStream,
  early: EarlyBytes,
  onDone: () => void,
): void {
  const { metrics } = deps;
  const { endpoint } = way;
  metrics.opened(endpoint.row);
  stream.maxReadBytes = BULK_READ_BYTES;
  upstream.maxReadBytes = BULK_READ_BYTES;
  if (early.bytes.length > 0) {
    metrics.bytes(endpoint.row, false, early.bytes.length);
    upstream.write(early.bytes, 0, early.bytes.length);
  }
  if (early.ended) upstream.end();
  splice(stream, upstream, {
    onBytes: (fromClient, count) => metrics.bytes(endpoint.row, !fromClient, count),
    onDone: () => {
      letGo(way);
      metrics.closed(endpoint.row);
      onDone();
    },
  });
}

/** Passes a connection on to an endpoint of `service`; resets it where none can be reached. */
export function passOpaque(deps: OutboundDeps, stream: ByteStream, service: Service, early: EarlyBytes): void {
  const { engine } = deps;
  const open = { drain() {}, destroy: () => stream.destroy(undefined, true) };
  const over = () => void engine.connections.delete(open);
  engine.connections.add(open);
  const cancel = connectOpaque(
    deps,
    service,
    (way, upstream) => spliceOpaque(deps, stream, way, upstream, early, over),
    (error) => {
      engine.log.debug("outbound.opaque.failed", { authority: service.authority, error: error?.message });
      stream.destroy(undefined, true);
    },
  );
  early.hold(stream, () => {
    cancel();
    over();
  });
  stream.resume();
}
