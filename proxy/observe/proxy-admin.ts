import type { WorkloadProxy } from "../workload-proxy.ts";
import { type AdminServer, listenAdmin } from "./admin-server.ts";
import { Families } from "./families.ts";

/** How long `POST /drain` lets requests finish. */
export const ADMIN_DRAIN_MS = 10_000;

/** What the admin port of a proxy process shows. */
export interface ProxyAdminPages {
  /** `labels` name the workload in metrics; empty where there is but one. */
  readonly workloads: () => readonly { readonly labels: string; readonly workload: WorkloadProxy }[];
  readonly config: () => object;
  readonly drain: () => void;
}

/** The admin port over all workloads of a process. @throws MeshError PORT_IN_USE */
export function listenProxyAdmin(host: string, port: number, pages: ProxyAdminPages): Promise<AdminServer> {
  return listenAdmin(host, port, {
    notReady: () => {
      const workloads = pages.workloads();
      const waiting = workloads.filter(({ workload }) => workload.notReady !== undefined);
      const [first] = waiting;
      if (first === undefined) return workloads.length === 0 ? "starting" : undefined;
      const reason = first.workload.notReady ?? "";
      return workloads.length === 1
        ? reason
        : `${waiting.length} of ${workloads.length} workloads, first ${first.workload.identity}: ${reason}`;
    },
    metrics: () => {
      const families = new Families();
      for (const { labels, workload } of pages.workloads()) workload.addMetrics(families, labels);
      return families.text();
    },
    config: pages.config,
    drain: pages.drain,
  });
}
