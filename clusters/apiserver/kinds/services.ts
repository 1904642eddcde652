import { type ApiObject, isRecord, type JsonObject, listAt, recordAt, textAt } from "../object.ts";
import { type Cause, duplicate, invalidValue, notSupported, required } from "../status.ts";
import { AGE_COLUMN, column, NAME_COLUMN, selectorText } from "./columns.ts";
import type { Column, KindContext, Strategy } from "./kind.ts";
import { labelCauses, nameFaults } from "./metadata.ts";
import { portNameCauses } from "./pod-spec.ts";

const TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

function spec(service: ApiObject): JsonObject {
  return recordAt(service, "spec");
}

function needsIp(service: ApiObject): boolean {
  return textAt(service, "spec", "type") !== "ExternalName" && textAt(service, "spec", "clusterIP") !== "None";
}

function allocate(service: ApiObject, { allocateIp }: KindContext): void {
  const object = spec(service);
  if (textAt(service, "spec", "type") === "ExternalName") {
    delete object["clusterIP"];
    delete object["clusterIPs"];
    delete object["ipFamilies"];
    delete object["ipFamilyPolicy"];
    delete object["internalTrafficPolicy"];
    return;
  }
  if (needsIp(service) && textAt(service, "spec", "clusterIP") === "") object["clusterIP"] = allocateIp();
  object["clusterIPs"] = [object["clusterIP"]];
  if (object["ipFamilies"] === undefined) object["ipFamilies"] = ["IPv4"];
  if (object["ipFamilyPolicy"] === undefined) object["ipFamilyPolicy"] = "SingleStack";
}

function portsOf(service: ApiObject): JsonObject[] {
  return listAt(service, "spec", "ports").filter(isRecord);
}

function portRange(field: string, value: unknown): Cause[] {
  if (typeof value !== "number") return [required(field)];
  return value < 1 || value > 65_535 ? [invalidValue(field, value, "must be between 1 and 65535, inclusive")] : [];
}

function validatePorts(service: ApiObject): Cause[] {
  const ports = portsOf(service);
  const causes: Cause[] = [];
  const headless = textAt(service, "spec", "clusterIP") === "None";
  if (ports.length === 0 && !headless && textAt(service, "spec", "type") !== "ExternalName")
    causes.push(required("spec.ports"));
  const names = new Set<string>();
  const numbers = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const field = `spec.ports[${i}]`;
    const name = textAt(port, "name");
    if (name === "") {
      if (ports.length > 1) causes.push(required(`${field}.name`));
    } else {
      for (const fault of nameFaults(name, "label")) causes.push(invalidValue(`${field}.name`, name, fault));
      if (names.has(name)) causes.push(duplicate(`${field}.name`, name));
      names.add(name);
    }
    causes.push(...portRange(`${field}.port`, port["port"]));
    const protocol = String(port["protocol"]);
    if (!["TCP", "UDP", "SCTP"].includes(protocol))
      causes.push(notSupported(`${field}.protocol`, protocol, ["SCTP", "TCP", "UDP"]));
    const target = port["targetPort"];
    if (typeof target === "string") causes.push(...portNameCauses(target, `${field}.targetPort`));
    else if (target !== undefined) causes.push(...portRange(`${field}.targetPort`, target));
    const key = `${protocol}/${String(port["port"])}`;
    if (numbers.has(key))
      causes.push(duplicate(field, { ...(name === "" ? {} : { name }), port: port["port"], protocol }));
    numbers.add(key);
  }
  return causes;
}

function validate(service: ApiObject): Cause[] {
  const causes = validatePorts(service);
  causes.push(...labelCauses(spec(service)["selector"], "spec.selector"));
  const type = textAt(service, "spec", "type");
  if (!TYPES.includes(type)) causes.push(notSupported("spec.type", type, TYPES));
  const affinity = textAt(service, "spec", "sessionAffinity");
  if (!["None", "ClientIP"].includes(affinity))
    causes.push(notSupported("spec.sessionAffinity", affinity, ["ClientIP", "None"]));
  if (type === "ExternalName") {
    const name = textAt(service, "spec", "externalName");
    if (name === "") causes.push(required("spec.externalName"));
    else
      for (const fault of nameFaults(name.replace(/\.$/, ""), "subdomain"))
        causes.push(invalidValue("spec.externalName", name, fault));
  }
  const ip = textAt(service, "spec", "clusterIP");
  if (ip !== "" && ip !== "None" && !/^\d+\.\d+\.\d+\.\d+$/.test(ip)) {
    causes.push(
      invalidValue("spec.clusterIPs[0]", ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
    );
  }
  if (type !== "ClusterIP" && type !== "ExternalName" && ip === "None") {
    causes.push(invalidValue("spec.clusterIPs[0]", ip, `may not be set to 'None' for ${type} services`));
  }
  return causes;
}

function validateNew(ip: string, context: KindContext): Cause[] {
  if (ip === "" || ip === "None") return [];
  const state = context.ipState(ip);
  if (state === "taken")
    return [invalidValue("spec.clusterIPs", [ip], `failed to allocate IP ${ip}: provided IP is already allocated`)];
  if (state === "outside") {
    return [
      invalidValue(
        "spec.clusterIPs",
        [ip],
        `failed to allocate IP ${ip}: the provided network does not match the current range`,
      ),
    ];
  }
  return [];
}

/** Checks an address that the client chose, then takes one where none is set. Runs after validation. */
function assignClusterIp(service: ApiObject, context: KindContext): Cause[] {
  const causes = needsIp(service) ? validateNew(textAt(service, "spec", "clusterIP"), context) : [];
  if (causes.length === 0) allocate(service, context);
  return causes;
}

export const SERVICE_STRATEGY: Strategy = {
  defaults(service) {
    const object = spec(service);
    service["spec"] = object;
    if (object["type"] === undefined) object["type"] = "ClusterIP";
    if (object["sessionAffinity"] === undefined) object["sessionAffinity"] = "None";
    if (object["sessionAffinity"] === "ClientIP" && object["sessionAffinityConfig"] === undefined) {
      object["sessionAffinityConfig"] = { clientIP: { timeoutSeconds: 10_800 } };
    }
    if (object["internalTrafficPolicy"] === undefined && object["type"] !== "ExternalName")
      object["internalTrafficPolicy"] = "Cluster";
    for (const port of portsOf(service)) {
      if (port["protocol"] === undefined) port["protocol"] = "TCP";
      if (port["targetPort"] === undefined || port["targetPort"] === 0 || port["targetPort"] === "")
        port["targetPort"] = port["port"];
    }
    const ips = listAt(object, "clusterIPs");
    if (object["clusterIP"] === undefined && typeof ips[0] === "string") object["clusterIP"] = ips[0];
  },
  prepareCreate(service) {
    service["status"] = { loadBalancer: {} };
  },
  assign: assignClusterIp,
  prepareUpdate(service, old, context) {
    const object = spec(service);
    const before = textAt(old, "spec", "clusterIP");
    // A client that leaves the address out means to keep it.
    if (object["clusterIP"] === undefined && before !== "" && object["type"] !== "ExternalName")
      object["clusterIP"] = before;
    allocate(service, context);
  },
  validate,
  validateUpdate(service, old) {
    const before = textAt(old, "spec", "clusterIP");
    const now = textAt(service, "spec", "clusterIP");
    if (before === "" || textAt(service, "spec", "type") === "ExternalName" || before === now) return [];
    return [invalidValue("spec.clusterIPs[0]", [now], "may not change once set")];
  },
};

export const SERVICE_COLUMNS: readonly Column[] = [
  NAME_COLUMN,
  column("Type", (service) => textAt(service, "spec", "type")),
  column("Cluster-IP", (service) => textAt(service, "spec", "clusterIP") || "<none>"),
  column("External-IP", (service) => textAt(service, "spec", "externalName") || "<none>"),
  column(
    "Port(s)",
    (service) =>
      portsOf(service)
        .map((port) => `${String(port["port"])}/${String(port["protocol"])}`)
        .join(",") || "<none>",
  ),
  AGE_COLUMN,
  column("Selector", (service) => selectorText(spec(service)["selector"]), 1),
];
