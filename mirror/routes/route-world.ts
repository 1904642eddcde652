import type { ReferenceGrant, RouteObject } from "../../kube/gateway-api.ts";
import type { KubeService, ServiceImportObject } from "../../kube/resources.ts";

/** What routes are planned from. */
export interface RouteWorld {
  readonly routes: readonly RouteObject[];
  readonly grants: readonly ReferenceGrant[];
  service(namespace: string, name: string): KubeService | undefined;
  serviceImport(namespace: string, name: string): ServiceImportObject | undefined;
}

/** A name of a service that a route may be attached to or send to. */
export interface RouteTarget {
  readonly of: "service" | "clusterset";
  readonly namespace: string;
  readonly name: string;
}

/** Why something of a route does not hold; the reasons are Gateway API's. */
export interface Refusal {
  readonly reason: "InvalidKind" | "RefNotPermitted" | "BackendNotFound" | "UnsupportedValue" | "NoMatchingParent";
  readonly message: string;
}

/** Thrown where a part of a route asks for what this mesh does not do. */
export class Unsupported extends Error {}
