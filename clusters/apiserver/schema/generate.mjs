// Writes builtin-types.json: the fields of the built-in kinds, read from @kubernetes/client-node's generated models.
// Run after an update of that package: node clusters/apiserver/schema/generate.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const entry = createRequire(import.meta.url).resolve("@kubernetes/client-node");
const models = path.join(path.dirname(entry), "gen", "models");

const ROOTS = [
  "V1Namespace",
  "V1Node",
  "V1Pod",
  "V1Service",
  "V1Secret",
  "V1ConfigMap",
  "V1ServiceAccount",
  "CoreV1Event",
  "EventsV1Event",
  "V1Endpoints",
  "V1Deployment",
  "V1ReplicaSet",
  "V1EndpointSlice",
  "V1Lease",
  "V1Role",
  "V1ClusterRole",
  "V1RoleBinding",
  "V1ClusterRoleBinding",
  "V1CustomResourceDefinition",
  "V1TokenReview",
  "V1SubjectAccessReview",
  "V1SelfSubjectAccessReview",
  "V1SelfSubjectRulesReview",
  "V1SelfSubjectReview",
  "V1LocalSubjectAccessReview",
  "AuthenticationV1TokenRequest",
  "V1Scale",
  "V1Eviction",
  "V1DeleteOptions",
  "V1Status",
];
const QUANTITY_MAPS = new Set([
  "limits",
  "requests",
  "capacity",
  "allocatable",
  "overhead",
  "hard",
  "used",
  "allocatedResources",
]);
const QUANTITIES = new Set(["sizeLimit", "divisor"]);

function typeOf({ baseName, type, format }) {
  const list = /^Array<(.+)>$/.exec(type);
  if (list) return `[]${typeOf({ baseName, type: list[1], format })}`;
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(type);
  if (map) return `map:${QUANTITY_MAPS.has(baseName) ? "quantity" : typeOf({ baseName, type: map[1], format })}`;
  if (type === "number") return format === "int64" ? "int64" : format === "double" ? "number" : "int32";
  if (type === "Date" || type === "V1MicroTime") return "date-time";
  if (type === "IntOrString") return "int-or-string";
  if (type === "string") return QUANTITIES.has(baseName) ? "quantity" : format === "byte" ? "byte" : "string";
  return type; // boolean, any, or a model
}

function summary(text) {
  const flat = text
    .replace(/\\(['"])/g, "$1")
    .replace(/\s+/g, " ")
    .trim();
  const sentence = /^.{20,}?[.](?= |$)/.exec(flat);
  return (sentence ? sentence[0] : flat).slice(0, 220);
}

const types = {};
async function add(name) {
  if (
    types[name] ||
    ["string", "boolean", "any", "int32", "int64", "number", "quantity", "byte", "date-time", "int-or-string"].includes(
      name,
    )
  )
    return;
  const declaration = readFileSync(path.join(models, `${name}.d.ts`), "utf8");
  const described = /\/\*\*\s*\n\*\s*(.*?)\n\*\/\nexport declare class/s.exec(declaration);
  const fields = {};
  types[name] = { description: summary(described?.[1] ?? name), fields };
  const model = (await import(path.join(models, `${name}.js`)))[name];
  for (const attribute of model.attributeTypeMap) {
    const escaped = attribute.name.replace(/[$]/g, "\\$");
    const found = new RegExp(`(?:/\\*\\*\\s*\\n\\s*\\*\\s*([^\\n]*)\\n\\s*\\*/\\n\\s*)?'${escaped}'(\\?)?:`).exec(
      declaration,
    );
    const type = typeOf(attribute);
    const required = found !== null && found[2] !== "?";
    fields[attribute.baseName] = `${type}${required ? "!" : ""} ${summary(found?.[1] ?? "")}`.trim();
    await add(type.replace(/^(\[\]|map:)+/, ""));
  }
}
for (const root of ROOTS) await add(root);
const sorted = Object.fromEntries(Object.entries(types).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(new URL("./builtin-types.json", import.meta.url), `${JSON.stringify(sorted, null, 2)}\n`);
