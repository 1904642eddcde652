import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type GrpcObject, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { ProtoGrpcType as DiscoveryProto } from "./gen/discovery.ts";
import type { ProtoGrpcType as FederationProto } from "./gen/federation.ts";
import type { ProtoGrpcType as IdentityProto } from "./gen/identity.ts";

/** Where the .proto files are: beside this file in a checkout, at the package root once compiled to dist/. */
function protoRoot(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return existsSync(join(here, "causeway")) ? here : join(here, "..", "..", "protos");
}

function load(file: string): GrpcObject {
  const options = { longs: String, enums: String, defaults: true, oneofs: true, includeDirs: [protoRoot()] };
  return loadPackageDefinition(loadSync(join("causeway", file), options));
}

/** The identity/v1 contract: `service` for servers, the class itself for clients. 64-bit integers are strings. */
export function loadIdentity(): IdentityProto["causeway"]["identity"]["v1"] {
  return (load("identity/v1/identity.proto") as unknown as IdentityProto).causeway.identity.v1;
}

/** The federation/v1 contract. 64-bit integers are strings. */
export function loadFederation(): FederationProto["causeway"]["federation"]["v1"] {
  return (load("federation/v1/federation.proto") as unknown as FederationProto).causeway.federation.v1;
}

/** The discovery/v1 contract. 64-bit integers are strings. */
export function loadDiscovery(): DiscoveryProto["causeway"]["discovery"]["v1"] {
  return (load("discovery/v1/discovery.proto") as unknown as DiscoveryProto).causeway.discovery.v1;
}
