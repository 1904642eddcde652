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

/** Tells the owner of a Service, once in its life, that its label exports nothing. Best effort: an Event is a courtesy. */
export class RefusalEvents {
  readonly #deps: { kube: KubeClient; clock: Clock; log: Log };
  readonly #told = new Set<string>();

  constructor(deps: { kube: KubeClient; clock: Clock; log: Log }) {
    this.#deps = deps;
  }

  async tell(service: KubeService): Promise<void> {
    const { kube, clock, log } = this.#deps;
    const { uid = "", namespace = "", name } = service.metadata;
    if (this.#told.has(uid)) return;
    this.#told.add(uid);
    const now = `${new Date(clock.wallMs()).toISOString().slice(0, 19)}Z`;
    const event: KubeEvent = {
      apiVersion: "v1",
      kind: "Event",
      metadata: {
        name: `${name}.${createHash("sha256").update(`${uid}/export`).digest("hex").slice(0, 16)}`,
        namespace,
      },
      involvedObject: { apiVersion: "v1", kind: "Service", namespace, name, uid },
      reason: "ExportRefused",
      message: `Cannot export ${namespace}/${name}: it is an ExternalName. Export a Service that has endpoints.`,
      type: "Warning",
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: "causeway-mirror" },
      reportingComponent: "causeway.dev/mirror",
    };
    try {
      await kube.create(EVENTS, event);
    } catch (error) {
      if (hasCode(error, "KUBE_CONFLICT")) return;
      this.#told.delete(uid);
      log.debug("event.failed", { namespace, service: name, reason: errorText(error) });
    }
  }
}
