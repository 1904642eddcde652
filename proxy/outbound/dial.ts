import type { Clock } from "../../core/clock.ts";
import { asMeshError, type MeshError } from "../../core/errors.ts";
import { parseIdentity, parseTrustDomain } from "../../core/identity.ts";
import type { Log } from "../../core/log.ts";
import type { Random } from "../../core/random.ts";
import type { ByteStream, ByteStreamUser } from "../../transport/byte-stream.ts";
import type { DialMux } from "../../transport/mux/mux-pool.ts";
import { createPair } from "../../transport/pair-stream.ts";
import type { CancelConnect, Transport } from "../../transport/transport.ts";
import type { Endpoint } from "../balance/endpoint.ts";
import type { Blame, GatewayTarget } from "../balance/gateway-target.ts";
import { observe } from "../balance/peak-ewma.ts";
import type { Service } from "../balance/service.ts";
import type { Hops, Neighbour } from "../hops.ts";
import type { LoopGuard } from "../loop-guard.ts";
import type { MeshTls } from "../mesh-tls.ts";
import type { Metrics } from "../observe/metrics.ts";
import { HTTP1, MESH_ALPN, MUX_HTTP1, type PrefaceProtocol, writePreface } from "../preface.ts";
import { admit, fail, release, succeed } from "../resilience/breaker.ts";

export interface DialDeps {
  readonly transport: Transport;
  readonly tls: MeshTls;
  readonly clock: Clock;
  readonly random: Random;
  /** TCP. */
  readonly connectMs: number;
  /** TCP and handshake together: a burst of handshakes may keep a busy machine for long. */
  readonly handshakeMs: number;
  /** Workloads of this process; undefined where there is but one. */
  readonly hops: Hops | undefined;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Where connections of this machine are redirected. */
  readonly loops?: LoopGuard;
}

/** `gateway`: by which a connection of its own goes; one that shares another's counts with that. */
type OnDialled = (stream: ByteStream, gateway?: GatewayTarget) => void;

/**
 * Opens a connection on which `protocol` can be spoken to the app behind `endpoint`: plain, mTLS to its proxy, or
 * mTLS through a gateway of its group, with the preface sent; for HTTP/1.1 one of many that share such a connection;
 * within the process where the endpoint's proxy is here. By the gateway `via`, or one that the service chooses.
 * The callee becomes the stream's user. One of the callbacks runs, later.
 */
export function dial(
  deps: DialDeps,
  service: Service,
  endpoint: Endpoint,
  protocol: PrefaceProtocol,
  onConnect: OnDialled,
  onFailure: (error: MeshError, blame: Blame) => void,
  via?: GatewayTarget,
): CancelConnect {
  const { address, port, proxyPort, routeName } = endpoint.spec;
  if (proxyPort === 0 && routeName === "") {
    return deps.transport.connectTcp(
      { host: address, port, timeoutMs: deps.connectMs },
      (stream) => {
        deps.loops?.dialled(stream);
        return begun(stream, undefined, onConnect);
      },
      (error) => onFailure(error, "endpoint"),
    );
  }
  const neighbour = routeName === "" ? deps.hops?.find(address, proxyPort) : undefined;
  if (neighbour !== undefined) return hop(deps, neighbour, endpoint, protocol, onConnect, onFailure);
  const gateway = routeName === "" ? undefined : (via ?? service.gateway(endpoint, protocol === HTTP1));
  if (routeName !== "" && gateway === undefined) {
    const none = new Error("no gateway of the cluster is known");
    const error = asMeshError(none, "PROXY_CONNECT_FAILED", "connect");
    return deps.clock.after(0, () => onFailure(error, "gateway"));
  }
  const { mux } = endpoint;
  if (mux === undefined)
    return dialProxy(deps, endpoint, gateway, protocol, (stream) => begun(stream, gateway, onConnect), onFailure);
  const through =
    (to: GatewayTarget | undefined): DialMux<Blame> =>
    (onMade, onUnmade) =>
      dialProxy(deps, endpoint, to, MUX_HTTP1, onMade, onUnmade);
  if (gateway !== undefined) {
    const { gateways } = endpoint.group;
    for (const due of service.gatewaysToProbe(endpoint.group)) mux.probe(due, through(due));
    for (const due of mux.silentDue(gateways, deps.clock.nowMs())) if (due !== gateway) mux.probe(due, through(due));
  }
  const path = mux.to(gateway);
  if (protocol === HTTP1 && path.mayOpen) return path.open(through(gateway), onConnect, onFailure);
  return dialProxy(deps, endpoint, gateway, protocol, (stream) => begun(stream, gateway, onConnect), onFailure);
}

const HOP_ADDRESSES = [
  { address: "", port: 0 },
  { address: "", port: 0 },
] as const;
const HOP_PENDING_BYTES = 4 * 1024 * 1024;

/** A connection within the process, both sides verified. */
function hop(
  { tls, log, metrics }: DialDeps,
  neighbour: Neighbour,
  endpoint: Endpoint,
  protocol: PrefaceProtocol,
  onConnect: (stream: ByteStream) => void,
  onFailure: (error: MeshError, blame: Blame) => void,
): CancelConnect {
  let cancelled = false;
  process.nextTick(() => {
    if (cancelled) return;
    const { identity, port } = endpoint.spec;
    const [here, there] = createPair({ log, maxPendingBytes: HOP_PENDING_BYTES, addresses: HOP_ADDRESSES });
    try {
      // Says whether the own certificate may still be shown.
      tls.client(parseTrustDomain(endpoint.group.trustDomain));
      tls.verifyNeighbour(neighbour.chain, parseIdentity(identity));
      there.user = neighbour.accept(there, tls.chain);
    } catch (error) {
      here.destroy();
      onFailure(asMeshError(error, "PROXY_CONNECT_FAILED", `connect to ${identity}`), "endpoint");
      return;
    }
    metrics.counter("outbound_hop_total").value++;
    const preface = writePreface({ protocol, port });
    here.write(preface, 0, preface.length);
    onConnect(here);
  });
  return () => {
    cancelled = true;
  };
}

function dialProxy(
  deps: DialDeps,
  endpoint: Endpoint,
  gateway: GatewayTarget | undefined,
  protocol: PrefaceProtocol,
  onConnect: (stream: ByteStream) => ByteStreamUser,
  onFailure: (error: MeshError, blame: Blame) => void,
): CancelConnect {
  const { transport, tls, handshakeMs } = deps;
  const { address, port, proxyPort, identity, routeName } = endpoint.spec;
  const sinceMs = deps.clock.nowMs();
  const answersBefore = gateway?.answers.count ?? 0;
  const report = gateway === undefined ? undefined : watchGateway(deps, gateway);
  try {
    const trustDomain = parseTrustDomain(endpoint.group.trustDomain);
    const expected = parseIdentity(identity);
    const servername = routeName === "" ? trustDomain : routeName;
    const cancel = transport.connectTls(
      {
        host: gateway?.host ?? address,
        port: gateway?.port ?? proxyPort,
        timeoutMs: handshakeMs,
        servername,
        settings: tls.client(trustDomain),
        alpn: [MESH_ALPN],
        sessionKey: tls.sessionKey(trustDomain, identity, servername),
        verify: (chain, socket) => tls.verify(chain, socket, expected),
      },
      (stream) => {
        report?.("connected");
        const preface = writePreface({ protocol, port });
        stream.write(preface, 0, preface.length);
        return onConnect(stream);
      },
      (error) => {
        const answered = error.code !== "PROXY_CONNECT_FAILED";
        // It led others to where they wanted meanwhile, or answers came through it: what this one waited for is behind it.
        const leads = gateway !== undefined && (gateway.connectedMs > sinceMs || gateway.answers.count > answersBefore);
        const behind = !answered && leads && isTimeout(error);
        report?.(answered ? "connected" : behind ? "cancelled" : "failed");
        onFailure(error, answered || behind || gateway === undefined ? "endpoint" : "gateway");
      },
    );
    return () => {
      report?.("cancelled");
      cancel();
    };
  } catch (error) {
    report?.("cancelled");
    const failure = asMeshError(error, "PROXY_CONNECT_FAILED", `connect to ${identity}`);
    return deps.clock.after(0, () => onFailure(failure, "endpoint"));
  }
}

function isTimeout({ cause }: MeshError): boolean {
  return cause instanceof Error && "code" in cause && cause.code === "ETIMEDOUT";
}

/** The callee becomes the stream's user; transport is told who that is. */
function begun(stream: ByteStream, gateway: GatewayTarget | undefined, onConnect: OnDialled): ByteStream["user"] {
  onConnect(stream, gateway);
  return stream.user;
}

function watchGateway(
  { clock, random }: DialDeps,
  gateway: GatewayTarget,
): (end: "connected" | "failed" | "cancelled") => void {
  const sinceMs = clock.nowMs();
  let open = true;
  gateway.load.pending++;
  admit(gateway.breaker, sinceMs);
  return (end) => {
    if (!open) return;
    open = false;
    gateway.load.pending--;
    const nowMs = clock.nowMs();
    switch (end) {
      case "connected":
        gateway.connectedMs = nowMs;
        observe(gateway.load, nowMs - sinceMs, nowMs);
        succeed(gateway.breaker, nowMs);
        return;
      case "failed":
        fail(gateway.breaker, true, nowMs, random);
        return;
      case "cancelled":
        release(gateway.breaker, nowMs);
        return;
      default:
        end satisfies never;
    }
  };
}
