import { SETTINGS } from "../../core/defaults.ts";
import type { InboundLimits, ServiceSettings } from "../../core/service.ts";
import type { KubeObject } from "../../kube/client.ts";
import type { KubeService } from "../../kube/resources.ts";
import {
  AnnotationReader,
  defined,
  integer,
  longDuration,
  ports,
  preferred,
  sockets,
  unlessEmpty,
} from "./annotations.ts";

/** What a Service's spec and annotations say of how it is called and what it is held to. */
export interface ReadSettings {
  readonly settings?: ServiceSettings;
  readonly limits?: InboundLimits;
  readonly appSockets?: Readonly<Record<string, string>>;
  readonly opaque: ReadonlySet<number>;
  /** A sentence for each annotation that means nothing; it counts as not there. */
  readonly problems: readonly string[];
}

const NO_PORTS: ReadonlySet<number> = new Set();
/** Kubernetes' default of sessionAffinityConfig.clientIP.timeoutSeconds, and the most it takes. */
const AFFINITY_SECONDS = { default: 10_800, max: 86_400 };
const MAX_RATE = 10_000_000;

export function readServiceSettings({ metadata, spec = {} }: KubeService): ReadSettings {
  const reader = new AnnotationReader(metadata.annotations);
  const opaque = reader.read(SETTINGS.opaquePorts, ports) ?? NO_PORTS;
  const appSockets = reader.read(SETTINGS.appSocket, sockets);
  const byZone = reader.read(SETTINGS.zone, preferred) ?? prefersZone(spec.trafficDistribution);
  const settings: ServiceSettings = defined({
    timeouts: unlessEmpty(reader.timeouts()),
    retry: unlessEmpty(reader.retry()),
    affinitySeconds: affinitySeconds(spec),
    maxConnectionAgeMs: reader.read(SETTINGS.maxConnectionAge, longDuration),
    preferZone: byZone ? true : undefined,
  });
  const limits: InboundLimits = defined({
    ratePerClient: reader.read(SETTINGS.ratePerClient, integer(1, MAX_RATE)),
    burst: reader.read(SETTINGS.burst, integer(1, MAX_RATE)),
    inFlight: reader.read(SETTINGS.inFlight, integer(1, MAX_RATE)),
  });
  return {
    ...defined({ settings: unlessEmpty(settings), limits: unlessEmpty(limits), appSockets }),
    opaque,
    problems: reader.problems,
  };
}

/** The unix sockets that a Pod names for its app's ports. */
export function podSockets(pod: KubeObject | undefined): {
  readonly appSockets?: Readonly<Record<string, string>>;
  readonly problems: readonly string[];
} {
  const reader = new AnnotationReader(pod?.metadata.annotations);
  const appSockets = reader.read(SETTINGS.appSocket, sockets);
  return { ...defined({ appSockets }), problems: reader.problems };
}

function affinitySeconds({ sessionAffinity, sessionAffinityConfig }: NonNullable<KubeService["spec"]>) {
  if (sessionAffinity !== "ClientIP") return undefined;
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_SECONDS.default;
  return Math.min(Math.max(1, Math.trunc(seconds)), AFFINITY_SECONDS.max);
}

/** KEP-4444 and KEP-3015; a preference for the node implies its zone. */
function prefersZone(trafficDistribution: string | undefined): boolean {
  return ["PreferClose", "PreferSameZone", "PreferSameNode"].includes(trafficDistribution ?? "");
}
