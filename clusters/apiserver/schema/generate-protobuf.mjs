// Writes protobuf-fields.json: the protobuf numbers of the fields of built-in kinds, read from the struct tags of the Go
// modules k8s.io/api and k8s.io/apimachinery:
//   go mod download -json k8s.io/api@v0.32.4 k8s.io/apimachinery@v0.32.4
//   node clusters/apiserver/schema/generate-protobuf.mjs <Dir of k8s.io/api> <Dir of k8s.io/apimachinery>
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

const [api, machinery] = process.argv.slice(2);
const builtin = JSON.parse(readFileSync(new URL("./builtin-types.json", import.meta.url), "utf8"));
// The order decides where several packages have a struct of a name.
const PACKAGES = {
  core: path.join(api, "core/v1/types.go"),
  meta: path.join(machinery, "pkg/apis/meta/v1/types.go"),
  apps: path.join(api, "apps/v1/types.go"),
  discovery: path.join(api, "discovery/v1/types.go"),
  coordination: path.join(api, "coordination/v1/types.go"),
  rbac: path.join(api, "rbac/v1/types.go"),
  authentication: path.join(api, "authentication/v1/types.go"),
  authorization: path.join(api, "authorization/v1/types.go"),
  autoscaling: path.join(api, "autoscaling/v1/types.go"),
  policy: path.join(api, "policy/v1/types.go"),
};

/** By package and struct: protobuf number to [JSON name, whether a zero counts, struct inlined here]. */
const structs = {};
for (const [name, file] of Object.entries(PACKAGES)) {
  structs[name] = {};
  let current;
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const start = /^type (\w+) struct \{/.exec(line);
    if (start) {
      current = {};
      structs[name][start[1]] = current;
    } else if (line.startsWith("}")) current = undefined;
    const field = /^\s+(?:\w+\s+)?([*\w.[\]]+)\s+`json:"([^"]*)".*protobuf:"\w+,(\d+)/.exec(line);
    if (!current || !field) continue;
    const [, type, json, number] = field;
    current[number] = {
      name: json.split(",")[0],
      pointer: type.startsWith("*"),
      inline: json.includes("inline") ? type.replace(/^\*/, "").split(".").at(-1) : undefined,
    };
  }
}

const PREFIXES = {
  Core: "core",
  Discovery: "discovery",
  Rbac: "rbac",
  Authentication: "authentication",
  Events: undefined,
};
const fields = {};
function flatten(pkg, struct) {
  const found = {};
  for (const [number, { name, pointer, inline }] of Object.entries(struct)) {
    if (inline === undefined) found[number] = pointer ? `${name}*` : name;
    else if (inline !== "TypeMeta") found[number] = flatten(pkg, structs[pkg][inline] ?? structs.core[inline]);
  }
  return found;
}
for (const type of Object.keys(builtin)) {
  const match = /^(Core|Discovery|Rbac|Authentication|Events)?V1(.+)$/.exec(type);
  if (!match) continue;
  if (match[1] !== undefined && PREFIXES[match[1]] === undefined) continue;
  const packages = match[1] === undefined ? Object.keys(PACKAGES) : [PREFIXES[match[1]]];
  const pkg = packages.find((one) => structs[one][match[2]] !== undefined);
  if (pkg !== undefined) fields[type] = flatten(pkg, structs[pkg][match[2]]);
}
writeFileSync(new URL("./protobuf-fields.json", import.meta.url), `${JSON.stringify(fields, null, 1)}\n`);
