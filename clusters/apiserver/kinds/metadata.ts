import { type ApiObject, equal, isRecord } from "../object.ts";
import { type Cause, duplicate, forbiddenField, invalidValue, required } from "../status.ts";
import type { NameRule } from "./kind.ts";

const LABEL_TEXT =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_TEXT =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035_TEXT =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_TEXT =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_TEXT =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const QUALIFIED_NAME = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;
const MAX_ANNOTATION_BYTES = 256 * 1024;

/** What is wrong with a name under a rule; empty when nothing is. */
export function nameFaults(name: string, rule: NameRule): string[] {
  const faults: string[] = [];
  const long = (max: number) => {
    if (name.length > max) faults.push(`must be no more than ${max} characters`);
  };
  switch (rule) {
    case "label":
      long(63);
      if (!LABEL.test(name)) faults.push(LABEL_TEXT);
      break;
    case "label1035":
      long(63);
      if (!LABEL_1035.test(name)) faults.push(LABEL_1035_TEXT);
      break;
    case "subdomain":
      long(253);
      if (!SUBDOMAIN.test(name)) faults.push(SUBDOMAIN_TEXT);
      break;
    case "path":
      if (name === "." || name === "..") faults.push(`may not be '${name}'`);
      if (name.includes("/")) faults.push("may not contain '/'");
      if (name.includes("%")) faults.push("may not contain '%'");
      break;
    default:
      rule satisfies never;
  }
  return faults;
}

/** What is wrong with a label key, as in labels, annotations and selectors. */
function keyFaults(key: string): string[] {
  const parts = key.split("/");
  if (parts.length > 2) {
    return [
      "a qualified name must consist of alphanumeric characters, '-', '_' or '.', with an optional DNS subdomain prefix and '/'",
    ];
  }
  const name = parts.at(-1) ?? "";
  const prefix = parts.length === 2 ? (parts[0] ?? "") : undefined;
  const faults: string[] = [];
  if (prefix !== undefined) {
    if (prefix === "") faults.push("prefix part must be non-empty");
    else for (const fault of nameFaults(prefix, "subdomain")) faults.push(`prefix part ${fault}`);
  }
  if (name === "") faults.push("name part must be non-empty");
  else if (name.length > 63) faults.push("name part must be no more than 63 characters");
  if (!QUALIFIED_NAME.test(name)) faults.push(QUALIFIED_TEXT);
  return faults;
}

/** Checks a map of labels at `field`. */
export function labelCauses(labels: unknown, field: string): Cause[] {
  if (!isRecord(labels)) return [];
  const causes: Cause[] = [];
  for (const [key, value] of Object.entries(labels)) {
    for (const fault of keyFaults(key)) causes.push(invalidValue(field, key, fault));
    const text = String(value);
    if (text.length > 63) causes.push(invalidValue(field, text, "must be no more than 63 characters"));
    if (!LABEL_VALUE.test(text)) causes.push(invalidValue(field, text, VALUE_TEXT));
  }
  return causes;
}

/** Checks a meta/v1 LabelSelector at `field`. */
export function selectorCauses(selector: unknown, field: string): Cause[] {
  if (!isRecord(selector)) return [];
  const causes = labelCauses(selector["matchLabels"], `${field}.matchLabels`);
  const expressions = Array.isArray(selector["matchExpressions"]) ? selector["matchExpressions"] : [];
  for (const [i, expression] of expressions.entries()) {
    if (!isRecord(expression)) continue;
    const at = `${field}.matchExpressions[${i}]`;
    const values = Array.isArray(expression["values"]) ? expression["values"] : [];
    switch (expression["operator"]) {
      case "In":
      case "NotIn":
        if (values.length === 0)
          causes.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
        break;
      case "Exists":
      case "DoesNotExist":
        if (values.length > 0)
          causes.push(
            forbiddenField(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
          );
        break;
      default:
        causes.push(invalidValue(`${at}.operator`, expression["operator"], "not a valid selector operator"));
    }
    for (const fault of keyFaults(String(expression["key"] ?? "")))
      causes.push(invalidValue(`${at}.key`, expression["key"], fault));
  }
  return causes;
}

/** Checks the metadata of any object. */
export function metadataCauses(object: ApiObject, rule: NameRule): Cause[] {
  const meta = object.metadata;
  const causes: Cause[] = [];
  if (meta.name === "") causes.push(required("metadata.name", "name or generateName is required"));
  else for (const fault of nameFaults(meta.name, rule)) causes.push(invalidValue("metadata.name", meta.name, fault));
  causes.push(...labelCauses(meta.labels, "metadata.labels"));
  let bytes = 0;
  for (const [key, value] of Object.entries(meta.annotations ?? {})) {
    for (const fault of keyFaults(key.toLowerCase())) causes.push(invalidValue("metadata.annotations", key, fault));
    bytes += key.length + value.length;
  }
  if (bytes > MAX_ANNOTATION_BYTES) {
    causes.push({
      reason: "FieldValueTooLong",
      field: "metadata.annotations",
      message: `Too long: may not be more than ${MAX_ANNOTATION_BYTES} bytes`,
    });
  }
  for (const finalizer of meta.finalizers ?? []) {
    for (const fault of keyFaults(finalizer)) causes.push(invalidValue("metadata.finalizers", finalizer, fault));
  }
  let controllers = 0;
  for (const [i, owner] of (meta.ownerReferences ?? []).entries()) {
    const at = `metadata.ownerReferences[${i}]`;
    if (!owner.apiVersion)
      causes.push(invalidValue(`${at}.apiVersion`, owner.apiVersion ?? "", "version must not be empty"));
    if (!owner.kind) causes.push(invalidValue(`${at}.kind`, owner.kind ?? "", "must not be empty"));
    if (!owner.name) causes.push(invalidValue(`${at}.name`, owner.name ?? "", "must not be empty"));
    if (!owner.uid) causes.push(invalidValue(`${at}.uid`, owner.uid ?? "", "must not be empty"));
    if (owner.controller === true) controllers++;
  }
  if (controllers > 1) {
    causes.push(invalidValue("metadata.ownerReferences", "", "Only one reference can have Controller set to true."));
  }
  return causes;
}

/** Checks what an update may not do to metadata. */
export function metadataUpdateCauses(object: ApiObject, old: ApiObject): Cause[] {
  if (old.metadata.deletionTimestamp === undefined) return [];
  const added = (object.metadata.finalizers ?? []).filter((one) => !(old.metadata.finalizers ?? []).includes(one));
  if (added.length === 0) return [];
  const list = added.map((one) => JSON.stringify(one)).join(", ");
  return [
    forbiddenField(
      "metadata.finalizers",
      `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
    ),
  ];
}

/** A cause when a field that may not change did. */
export function immutable(field: string, value: unknown, old: unknown): Cause[] {
  return equal(value, old) ? [] : [invalidValue(field, value ?? null, "field is immutable")];
}

/** Causes for repeated names in a list of objects. */
export function duplicateNames(list: readonly unknown[], field: string, key = "name"): Cause[] {
  const seen = new Set<unknown>();
  const causes: Cause[] = [];
  for (const [i, item] of list.entries()) {
    const value = isRecord(item) ? item[key] : undefined;
    if (value === undefined) continue;
    if (seen.has(value)) causes.push(duplicate(`${field}[${i}].${key}`, value));
    seen.add(value);
  }
  return causes;
}
