import { MIRROR_FINALIZER } from "../../core/defaults.ts";
import type { MeshError } from "../../core/errors.ts";
import type { KubeObject } from "../../kube/client.ts";
import { LINKS, type Link } from "../../kube/resources.ts";
import { type WantedCondition, withConditions } from "../conditions.ts";
import type { Step } from "../steps.ts";
import type { Problem } from "./mirror-plan.ts";

/** Names listed in a condition's message; the rest is a number. */
const LISTED = 10;

export interface LinkFacts {
  readonly problems: readonly Problem[];
  readonly shortened: readonly string[];
  /** Of this link's EndpointSlices and Services, what the API server refuses. */
  readonly refusals: readonly { readonly kind: "address" | "service"; readonly error: MeshError }[];
}

/** Conditions of a Link that are the mirror's: ServicesMirrored, AddressesAccepted. */
export function linkConditions(link: Link, facts: LinkFacts): WantedCondition[] {
  const { generation } = link.metadata;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  return [
    { type: "ServicesMirrored", ...servicesMirrored(facts), ...observed },
    { type: "AddressesAccepted", ...addressesAccepted(facts), ...observed },
  ];
}

type Finding = Pick<WantedCondition, "status" | "reason" | "message">;

function servicesMirrored({ problems, shortened, refusals }: LinkFacts): Finding {
  const refused = refusals.find(({ kind }) => kind === "service");
  if (refused !== undefined) return { status: "False", reason: "ServiceRefused", message: refused.error.message };
  for (const reason of ["NameCollision", "NamespaceMissing", "NameInvalid"] as const) {
    const found = problems.filter((problem) => problem.reason === reason);
    if (found.length > 0) return { status: "False", reason, message: problemMessage(reason, found) };
  }
  const message = shortened.length === 0 ? "" : `Names over 63 characters were shortened: ${listed(shortened)}.`;
  return { status: "True", reason: "Mirrored", message };
}

function problemMessage(reason: Problem["reason"], found: readonly Problem[]): string {
  const services = listed(found.map(({ service }) => service));
  switch (reason) {
    case "NameCollision": {
      const names = listed(found.map(({ mirror }) => mirror));
      return `Cannot mirror ${services}: ${names} exists and is not this link's mirror. Rename or delete it.`;
    }
    case "NamespaceMissing": {
      const namespaces = listed([...new Set(found.map(({ service }) => service.split("/")[0] ?? ""))]);
      return `Cannot mirror ${services}: no namespace ${namespaces} here. Create it and they appear.`;
    }
    case "NameInvalid":
      return `Cannot mirror ${services}: the mirror's name would be no valid Service name.`;
    default:
      return reason satisfies never;
  }
}

function addressesAccepted({ refusals }: LinkFacts): Finding {
  const refused = refusals.filter(({ kind }) => kind === "address");
  const [first] = refused;
  if (first === undefined) return { status: "True", reason: "Accepted", message: "" };
  const message =
    `The API server refuses ${refused.length} EndpointSlices with the peer's gateway addresses (${first.error.message}) ` +
    "Meshed workloads are not affected; give the peer's gateways addresses that are valid in EndpointSlices.";
  return { status: "False", reason: "ADDRESS_REFUSED", message };
}

function listed(names: readonly string[]): string {
  const more = names.length - LISTED;
  return names.slice(0, LISTED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Brings the mirror's part of a Link's status up to date; undefined where it is. */
export function linkStatusStep(link: Link, facts: LinkFacts, nowMs: () => number): Step | undefined {
  const edit = (current: KubeObject): KubeObject | undefined => withStatus(current as Link, facts, nowMs());
  if (edit(link) === undefined) return undefined;
  const what = JSON.stringify(linkConditions(link, facts));
  return { type: LINKS, namespace: undefined, name: link.metadata.name, action: "edit", part: "status", what, edit };
}

/** The rest of the status is the gateway's. */
function withStatus(link: Link, facts: LinkFacts, nowMs: number): Link | undefined {
  const conditions = withConditions(link.status?.conditions, linkConditions(link, facts), nowMs);
  return conditions && { ...link, status: { ...link.status, conditions } };
}

/**
 * Puts our finalizer on a Link that stands and takes it off one that is being deleted and of which nothing is left;
 * undefined where there is nothing to do.
 */
export function finalizerStep(link: Link, present: boolean): Step | undefined {
  const edit = (current: KubeObject): KubeObject | undefined => {
    const finalizers = current.metadata.finalizers ?? [];
    const has = finalizers.includes(MIRROR_FINALIZER);
    const wants = current.metadata.deletionTimestamp === undefined;
    if (has === wants || (!wants && present)) return undefined;
    const next = wants ? [...finalizers, MIRROR_FINALIZER] : finalizers.filter((f) => f !== MIRROR_FINALIZER);
    return { ...current, metadata: { ...current.metadata, finalizers: next } };
  };
  if (edit(link) === undefined) return undefined;
  const what = link.metadata.deletionTimestamp === undefined ? "add finalizer" : "remove finalizer";
  return { type: LINKS, namespace: undefined, name: link.metadata.name, action: "edit", part: "object", what, edit };
}

/** Whether the Link may be mirrored from: it stands, and what we make will be cleaned up. */
export function isImporting(link: Link): boolean {
  const { deletionTimestamp, finalizers = [] } = link.metadata;
  return deletionTimestamp === undefined && link.spec.import && finalizers.includes(MIRROR_FINALIZER);
}
