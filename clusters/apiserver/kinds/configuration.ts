import { type ApiObject, at, isRecord, listAt, recordAt, textAt } from "../object.ts";
import { type Cause, forbiddenField, invalidValue } from "../status.ts";
import { AGE_COLUMN, age, column, count, NAME_COLUMN } from "./columns.ts";
import type { Column, Strategy } from "./kind.ts";
import { immutable } from "./metadata.ts";

const KEY_TEXT =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const MAX_DATA_BYTES = 1024 * 1024;

function dataCauses(object: ApiObject, ...fields: string[]): Cause[] {
  const causes: Cause[] = [];
  let bytes = 0;
  for (const field of fields) {
    for (const [key, value] of Object.entries(recordAt(object, field))) {
      if (!/^[-._a-zA-Z0-9]+$/.test(key) || key.length > 253)
        causes.push(invalidValue(`${field}[${key}]`, key, KEY_TEXT));
      bytes += key.length + (typeof value === "string" ? value.length : 0);
    }
  }
  // base64 is a third longer than what it holds.
  if (bytes > MAX_DATA_BYTES * 1.34) {
    causes.push({
      reason: "FieldValueTooLong",
      field: fields[0] ?? "data",
      message: `Too long: may not be more than ${MAX_DATA_BYTES} bytes`,
    });
  }
  return causes;
}

function frozen(object: ApiObject, old: ApiObject, ...fields: string[]): Cause[] {
  if (old["immutable"] !== true) return [];
  const causes: Cause[] = [];
  const text = "field is immutable when `immutable` is set";
  if (object["immutable"] !== true) causes.push(forbiddenField("immutable", text));
  for (const field of fields)
    if (JSON.stringify(object[field]) !== JSON.stringify(old[field])) causes.push(forbiddenField(field, text));
  return causes;
}

export const SECRET_STRATEGY: Strategy = {
  defaults(secret) {
    if (secret["type"] === undefined) secret["type"] = "Opaque";
    const plain = secret["stringData"];
    if (!isRecord(plain)) return;
    const data = { ...recordAt(secret, "data") };
    for (const [key, value] of Object.entries(plain)) data[key] = Buffer.from(String(value)).toString("base64");
    secret["data"] = data;
    delete secret["stringData"];
  },
  validate(secret) {
    const causes = dataCauses(secret, "data");
    const needed: Readonly<Record<string, readonly string[]>> = {
      "kubernetes.io/tls": ["tls.crt", "tls.key"],
      "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
    };
    for (const key of needed[textAt(secret, "type")] ?? []) {
      if (at(secret, "data", key) === undefined)
        causes.push({ reason: "FieldValueRequired", field: `data[${key}]`, message: "Required value" });
    }
    return causes;
  },
  validateUpdate: (secret, old) => [...immutable("type", secret["type"], old["type"]), ...frozen(secret, old, "data")],
};

export const SECRET_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("Type", (secret) => textAt(secret, "type")),
  column("Data", count("data"), 0, "integer"),
  AGE_COLUMN,
];

export const CONFIG_MAP_STRATEGY: Strategy = {
  validate: (map) => dataCauses(map, "data", "binaryData"),
  validateUpdate: (map, old) => frozen(map, old, "data", "binaryData"),
};

export const CONFIG_MAP_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("Data", (map) => count("data")(map) + count("binaryData")(map), 0, "integer"),
  AGE_COLUMN,
];

export const SERVICE_ACCOUNT_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("Secrets", (account) => listAt(account, "secrets").length, 0, "integer"),
  AGE_COLUMN,
];

export const EVENT_STRATEGY: Strategy = {
  validate(event) {
    const involved = textAt(event, "involvedObject", "namespace");
    const namespace = event.metadata.namespace ?? "";
    if (involved === namespace || (involved === "" && namespace === "default")) return [];
    return [invalidValue("involvedObject.namespace", involved, "does not match event.namespace")];
  },
};

export const EVENT_FIELDS = [
  "involvedObject.kind",
  "involvedObject.namespace",
  "involvedObject.name",
  "involvedObject.uid",
  "involvedObject.apiVersion",
  "involvedObject.resourceVersion",
  "involvedObject.fieldPath",
  "reason",
  "reportingComponent",
  "source",
  "type",
];

function seen(event: ApiObject, wallMs: number): string {
  return age(textAt(event, "lastTimestamp") || textAt(event, "eventTime") || event.metadata.creationTimestamp, wallMs);
}

export const EVENT_COLUMNS: readonly Column[] = [
  column("Last Seen", seen),
  column("Type", (event) => textAt(event, "type")),
  column("Reason", (event) => textAt(event, "reason")),
  column(
    "Object",
    (event) => `${textAt(event, "involvedObject", "kind").toLowerCase()}/${textAt(event, "involvedObject", "name")}`,
  ),
  column("Source", (event) => textAt(event, "source", "component") || textAt(event, "reportingComponent"), 1),
  column("Message", (event) => textAt(event, "message").trim()),
  { ...NAME_COLUMN, priority: 1 },
];

export const LEASE_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("Holder", (lease) => textAt(lease, "spec", "holderIdentity")),
  AGE_COLUMN,
];

export const LEASE_STRATEGY: Strategy = {
  validate(lease) {
    const causes: Cause[] = [];
    for (const field of ["leaseDurationSeconds"]) {
      const value = at(lease, "spec", field);
      if (typeof value === "number" && value <= 0)
        causes.push(invalidValue(`spec.${field}`, value, "must be greater than 0"));
    }
    const transitions = at(lease, "spec", "leaseTransitions");
    if (typeof transitions === "number" && transitions < 0) {
      causes.push(invalidValue("spec.leaseTransitions", transitions, "must be greater than or equal to 0"));
    }
    return causes;
  },
};
