import { createHash } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { LABELS } from "../../core/defaults.ts";
import { errorText, hasCode } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { KubeClient, KubeObject } from "../../kube/client.ts";
import { EVENTS, type KubeService, type ServiceExportObject } from "../../kube/resources.ts";

interface KubeEvent extends KubeObject {
  involvedObject: { apiVersion: string; kind: string; namespace: string; name: string; uid: string };
  reason: string;
  message: string;
  type: "Normal" | "Warning";
  count: number;
  firstTimestamp: string;
  lastTimestamp: string;
  source: { component: string };
  reportingComponent: string;
}

/** Whether a label asks for what cannot be: an ExternalName has nothing to export. With a ServiceExport, its conditions say so. */
export function isRefusedExport(service: KubeService, serviceExport: ServiceExportObject | undefined): boolean {
  const labelled = service.metadata.labels?.[LABELS.exported] === "true";
  return labelled && service.spec?.type === "ExternalName" && serviceExport === undefined;
}

/** What is to be told of a Service. */
export interface Complaint {
  /** In CamelCase, as Events have it. */
  readonly reason: string;
  readonly message: string;
}

/** More than this, and what was told is forgotten: telling it twice does no harm. */
const MAX_TOLD = 10_000;
const MAX_MESSAGE = 1_000;

/** Tells the owner of a Service, each thing once, what of it does not hold. Best effort: an Event is a courtesy. */
export class RefusalEvents {
  readonly #deps: { kube: KubeClient; clock: Clock; log: Log };
  readonly #told = new Set<string>();

  constructor(deps: { kube: KubeClient; clock: Clock; log: Log }) {
    this.#deps = deps;
  }

  async tell(service: KubeService, complaint: Complaint): Promise<void> {
    const { kube, clock, log } = this.#deps;
    const { uid = "", namespace = "", name } = service.metadata;
    const { reason } = complaint;
    const message = complaint.message.slice(0, MAX_MESSAGE);
    const what = `${uid}/${reason}/${message}`;
    if (this.#told.has(what)) return;
    if (this.#told.size >= MAX_TOLD) this.#told.clear();
    this.#told.add(what);
    const now = `${new Date(clock.wallMs()).toISOString().slice(0, 19)}Z`;
    const event: KubeEvent = {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name}.${createHash("sha256").update(what).digest("hex").slice(0, 16)}`, namespace },
      involvedObject: { apiVersion: "v1", kind: "Service", namespace, name, uid },
      reason,
      message,
      type: "Warning",
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: "causeway-mirror" },
      reportingComponent: "causeway.dev/mirror",
    };
    log.warn("service.refused", { namespace, service: name, reason, message });
    try {
      await kube.create(EVENTS, event);
    } catch (error) {
      if (hasCode(error, "KUBE_CONFLICT")) return;
      this.#told.delete(what);
      log.debug("event.failed", { namespace, service: name, reason: errorText(error) });
    }
  }
}
