import type { MeshError } from "../../core/errors.ts";
import type { ByteStream } from "../../transport/byte-stream.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { ServedRequest } from "../http1/engine.ts";
import { refusalText } from "../http1/refusal.ts";
import { splice } from "../http1/splice.ts";
import { OPAQUE } from "../preface.ts";
import { admit, fail, release, succeed } from "../resilience/breaker.ts";
import { dial } from "./dial.ts";
import type { OutboundDeps, OutboundState } from "./outbound-state.ts";
import { refusalFor } from "./refusals.ts";

const ESTABLISHED = Buffer.from("HTTP/1.1 200 Connection established\r\n\r\n", "latin1");
const MAX_EARLY_BYTES = 65_536;
const MAX_ATTEMPTS = 5;

/** Answers a CONNECT: bytes pass through to an endpoint of the service, uninterpreted. */
export function openTunnel(deps: OutboundDeps, connection: ServedRequest<OutboundState>, early: Buffer): void {
  const { stream, state } = connection;
  const { service } = state;
  const { clock, random, metrics } = deps;
  if (service === undefined) {
    stream.destroy();
    return;
  }
  let waiting = early;
  let cancel = () => {};
  let clientDone = false;
  const tried: Endpoint[] = [];
  let attempts = 0;
  const end = (status: number) => {
    connection.forget();
    metrics.request(state.row, status, clock.nowMs() - connection.startMs);
  };
  stream.user = {
    onRead(buffer, length) {
      waiting = Buffer.concat([waiting, buffer.subarray(0, length)]);
      if (waiting.length > MAX_EARLY_BYTES) stream.pause();
    },
    onEnd: () => {
      clientDone = true;
    },
    onDrain() {},
    onClose() {
      cancel();
      end(0);
    },
  };
  const refuse = (error: MeshError | undefined) => {
    const refusal = refusalFor(service.authority, error === undefined ? undefined : "connect", {
      dialError: error,
      refusal: undefined,
    });
    const text = refusalText(refusal, false, true);
    stream.write(text, 0, text.length);
    stream.user = { onRead() {}, onEnd: () => stream.destroy(), onDrain() {}, onClose: () => end(refusal.status) };
    stream.end();
  };
  const attempt = (last: MeshError | undefined) => {
    const endpoint = attempts < MAX_ATTEMPTS ? service.choose(tried, tried.length >= 2) : undefined;
    if (endpoint === undefined) return refuse(last);
    const sinceMs = clock.nowMs();
    admit(endpoint.breaker, sinceMs);
    endpoint.load.pending++;
    state.row = endpoint.row;
    const stop = dial(
      deps,
      service,
      endpoint,
      OPAQUE,
      (upstream) => {
        cancel = () => {};
        succeed(endpoint.breaker);
        join(endpoint, upstream);
      },
      (error, blame) => {
        endpoint.load.pending--;
        if (blame === "endpoint") fail(endpoint.breaker, true, clock.nowMs(), random);
        else release(endpoint.breaker, clock.nowMs());
        attempts++;
        if (blame === "endpoint") tried.push(endpoint);
        attempt(error);
      },
    );
    cancel = () => {
      stop();
      endpoint.load.pending--;
      release(endpoint.breaker, clock.nowMs());
    };
  };
  const join = (endpoint: Endpoint, upstream: ByteStream) => {
    metrics.opened(endpoint.row);
    stream.write(ESTABLISHED, 0, ESTABLISHED.length);
    if (waiting.length > 0) upstream.write(waiting, 0, waiting.length);
    if (clientDone) upstream.end();
    splice(stream, upstream, {
      onBytes: (fromClient, count) => metrics.bytes(endpoint.row, !fromClient, count),
      onDone: () => {
        endpoint.load.pending--;
        metrics.closed(endpoint.row);
        end(200);
      },
    });
  };
  attempt(undefined);
}
