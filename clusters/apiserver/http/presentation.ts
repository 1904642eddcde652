import type { Kind } from "../kinds/kind.ts";
import type { ApiObject, JsonObject } from "../object.ts";
import { inVersion } from "../operations.ts";
import { StatusError } from "../status.ts";

/** How a client wants objects: whole, as rows of a table, or only their metadata. */
export type Presentation =
  | { readonly as: "object" }
  | { readonly as: "table"; readonly include: "None" | "Metadata" | "Object" }
  | { readonly as: "metadata" };

/** Reads Accept. @throws StatusError 406 */
export function presentationOf(accept: string, query: URLSearchParams): Presentation {
  if (accept.trim() === "") return { as: "object" };
  for (const choice of accept.split(",")) {
    const [type = "", ...parameters] = choice.split(";").map((part) => part.trim());
    if (!["application/json", "application/*", "*/*"].includes(type)) continue;
    const as = parameters.find((one) => one.startsWith("as="))?.slice(3);
    const version = parameters.find((one) => one.startsWith("v="))?.slice(2) ?? "v1";
    if (as === undefined) return { as: "object" };
    if (version !== "v1") continue;
    if (as === "Table") {
      const include = query.get("includeObject");
      return { as: "table", include: include === "None" || include === "Object" ? include : "Metadata" };
    }
    if (as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") return { as: "metadata" };
  }
  throw new StatusError(
    406,
    "NotAcceptable",
    "only the following media types are accepted: application/json, application/yaml",
  );
}

function metadataOnly(object: ApiObject): JsonObject {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
}

/** Rows of `kubectl get`. */
export function tableOf(
  kind: Kind,
  objects: readonly ApiObject[],
  metadata: JsonObject,
  include: "None" | "Metadata" | "Object",
  wallMs: number,
): JsonObject {
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata,
    columnDefinitions: kind.columns.map(({ name, type, format, description, priority }) => ({
      name,
      type,
      format: format ?? "",
      description: description ?? "",
      priority,
    })),
    rows: objects.map((object) => ({
      cells: kind.columns.map((column) => column.value(object, wallMs) ?? null),
      ...(include === "None" ? {} : { object: include === "Object" ? inVersion(kind, object) : metadataOnly(object) }),
    })),
  };
}

/** One object as the client wants it. */
export function presentObject(kind: Kind, object: ApiObject, how: Presentation, wallMs: number): JsonObject {
  switch (how.as) {
    case "object":
      return inVersion(kind, object);
    case "metadata":
      return metadataOnly(object);
    case "table":
      return tableOf(kind, [object], { resourceVersion: object.metadata.resourceVersion ?? "" }, how.include, wallMs);
    default:
      return how satisfies never;
  }
}
