import { CLUSTER_DOMAIN, CLUSTERSET_DOMAIN } from "../../core/defaults.ts";
import type { BackendReference, ParentReference, RouteObject } from "../../kube/gateway-api.ts";
import { GATEWAY_API_GROUP } from "../../kube/gateway-api.ts";
import { SERVICE_IMPORTS } from "../../kube/resources.ts";
import { derivedFor } from "../ownership.ts";
import type { Refusal, RouteTarget, RouteWorld } from "./route-world.ts";

/** "service" for a Service, "clusterset" for a ServiceImport, undefined for what is not for a mesh. */
function targetKind(group: string, kind: string): RouteTarget["of"] | undefined {
  if (kind === "Service" && (group === "" || group === "core")) return "service";
  return kind === SERVICE_IMPORTS.kind && group === SERVICE_IMPORTS.group ? "clusterset" : undefined;
}

interface Ports {
  readonly port: number;
  readonly name: string;
}

/** The TCP ports of a Service or a ServiceImport; a refusal where it is none that requests can be sent to. */
function portsOf(target: RouteTarget, world: RouteWorld): readonly Ports[] | string {
  const { namespace, name } = target;
  if (target.of === "clusterset") {
    const found = world.serviceImport(namespace, name);
    return found === undefined ? `no ServiceImport ${namespace}/${name}` : tcp(found.spec.ports);
  }
  const found = world.service(namespace, name);
  if (found === undefined || found.metadata.deletionTimestamp !== undefined) return `no Service ${namespace}/${name}`;
  if (found.spec?.type === "ExternalName") return `Service ${namespace}/${name} is an ExternalName`;
  const imported = derivedFor(found);
  if (imported !== undefined)
    return `Service ${namespace}/${name} only gives ServiceImport ${imported} its address: name the ServiceImport`;
  return tcp(found.spec?.ports ?? []);
}

function tcp(ports: readonly { name?: string; port: number; protocol?: string }[]): Ports[] {
  return ports.filter(({ protocol = "TCP" }) => protocol === "TCP").map(({ port, name = "" }) => ({ port, name }));
}

/** A parent of the mesh's that `ref` names, with the ports it is for (none: all); undefined where it is not for a mesh. */
export function readParent(
  ref: ParentReference,
  route: RouteObject,
  world: RouteWorld,
): { target: RouteTarget; ports: readonly number[] } | Refusal | undefined {
  const of = targetKind(ref.group ?? GATEWAY_API_GROUP, ref.kind ?? "Gateway");
  if (of === undefined) return undefined;
  const target = { of, namespace: ref.namespace ?? route.metadata.namespace ?? "", name: ref.name };
  const known = portsOf(target, world);
  if (typeof known === "string") return { reason: "NoMatchingParent", message: `There is ${wording(known)}.` };
  if (ref.port === undefined && ref.sectionName === undefined) return { target, ports: [] };
  const ports = known.filter(
    (p) => (ref.port ?? p.port) === p.port && (ref.sectionName === undefined || ref.sectionName === p.name),
  );
  if (ports.length > 0) return { target, ports: ports.map(({ port }) => port) };
  const wanted = [ref.port, ref.sectionName].filter((part) => part !== undefined).join(" named ");
  return { reason: "NoMatchingParent", message: `${of} ${target.namespace}/${target.name} has no TCP port ${wanted}.` };
}

function wording(state: string): string {
  return state.startsWith("no ") ? state : `no parent to attach to: ${state}`;
}

/** Where `ref` of `route` leads: "<host>:<port>", or why it leads nowhere. */
export function readBackend(ref: BackendReference, route: RouteObject, world: RouteWorld): string | Refusal {
  const { group = "", kind = "Service", name } = ref;
  const of = targetKind(group, kind);
  if (of === undefined)
    return {
      reason: "InvalidKind",
      message: `Backend ${name} is a ${kind}${group && `.${group}`}, want a Service or a ServiceImport.`,
    };
  const target = { of, namespace: ref.namespace ?? route.metadata.namespace ?? "", name };
  const where = `${target.namespace}/${name}`;
  if (target.namespace !== route.metadata.namespace && !isGranted(target, route, world))
    return {
      reason: "RefNotPermitted",
      message: `No ReferenceGrant in ${target.namespace} lets backend ${where} be used from here.`,
    };
  const known = portsOf(target, world);
  if (typeof known === "string") return { reason: "BackendNotFound", message: `Backend ${where}: ${known}.` };
  if (ref.port === undefined || !known.some(({ port }) => port === ref.port))
    return { reason: "BackendNotFound", message: `Backend ${where} has no TCP port ${ref.port ?? "(none is named)"}.` };
  const domain = of === "service" ? CLUSTER_DOMAIN : CLUSTERSET_DOMAIN;
  return `${name}.${target.namespace}.svc.${domain}:${ref.port}`;
}

function isGranted(target: RouteTarget, route: RouteObject, world: RouteWorld): boolean {
  const { group, kind } = target.of === "service" ? { group: "", kind: "Service" } : SERVICE_IMPORTS;
  return world.grants.some(
    ({ metadata, spec }) =>
      metadata.namespace === target.namespace &&
      spec.from.some(
        (from) =>
          from.group === GATEWAY_API_GROUP && from.kind === route.kind && from.namespace === route.metadata.namespace,
      ) &&
      spec.to.some(
        (to) =>
          to.group === group &&
          to.kind === kind &&
          (to.name === undefined || to.name === "" || to.name === target.name),
      ),
  );
}
