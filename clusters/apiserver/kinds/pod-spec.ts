import { isRecord, type JsonObject, listAt } from "../object.ts";
import { type Cause, invalidValue, notSupported, required } from "../status.ts";
import { duplicateNames, nameFaults } from "./metadata.ts";

function setDefault(object: JsonObject, field: string, value: unknown): void {
  if (object[field] === undefined) object[field] = value;
}

function probeDefaults(probe: unknown): void {
  if (!isRecord(probe)) return;
  setDefault(probe, "timeoutSeconds", 1);
  setDefault(probe, "periodSeconds", 10);
  setDefault(probe, "successThreshold", 1);
  setDefault(probe, "failureThreshold", 3);
  const get = probe["httpGet"];
  if (isRecord(get)) {
    setDefault(get, "path", "/");
    setDefault(get, "scheme", "HTTP");
  }
}

/** Defaults of a PodSpec, as k8s.io/kubernetes pkg/apis/core/v1/defaults.go. */
export function defaultPodSpec(spec: unknown): void {
  if (!isRecord(spec)) return;
  setDefault(spec, "restartPolicy", "Always");
  setDefault(spec, "terminationGracePeriodSeconds", 30);
  setDefault(spec, "dnsPolicy", "ClusterFirst");
  setDefault(spec, "schedulerName", "default-scheduler");
  setDefault(spec, "securityContext", {});
  if (spec["serviceAccountName"] === undefined && spec["serviceAccount"] !== undefined)
    spec["serviceAccountName"] = spec["serviceAccount"];
  if (spec["serviceAccountName"] !== undefined) spec["serviceAccount"] = spec["serviceAccountName"];
  for (const container of [...listAt(spec, "containers"), ...listAt(spec, "initContainers")]) {
    if (!isRecord(container)) continue;
    const image = typeof container["image"] === "string" ? container["image"] : "";
    setDefault(
      container,
      "imagePullPolicy",
      /(^|\/)[^/:@]+$/.test(image) || image.endsWith(":latest") ? "Always" : "IfNotPresent",
    );
    setDefault(container, "terminationMessagePath", "/dev/termination-log");
    setDefault(container, "terminationMessagePolicy", "File");
    setDefault(container, "resources", {});
    for (const port of listAt(container, "ports")) if (isRecord(port)) setDefault(port, "protocol", "TCP");
    for (const probe of ["livenessProbe", "readinessProbe", "startupProbe"]) probeDefaults(container[probe]);
    for (const env of listAt(container, "env")) {
      const ref = isRecord(env) && isRecord(env["valueFrom"]) ? env["valueFrom"]["fieldRef"] : undefined;
      if (isRecord(ref)) setDefault(ref, "apiVersion", "v1");
    }
  }
  for (const volume of listAt(spec, "volumes")) {
    if (!isRecord(volume)) continue;
    for (const source of ["secret", "configMap", "projected", "downwardAPI"]) {
      const value = volume[source];
      if (isRecord(value)) setDefault(value, "defaultMode", 420);
    }
    for (const source of listAt(volume, "projected", "sources")) {
      const token = isRecord(source) ? source["serviceAccountToken"] : undefined;
      if (isRecord(token)) setDefault(token, "expirationSeconds", 3607);
    }
  }
}

function portCauses(container: JsonObject, at: string): Cause[] {
  const causes: Cause[] = [];
  const ports = listAt(container, "ports");
  for (const [i, port] of ports.entries()) {
    if (!isRecord(port)) continue;
    const field = `${at}.ports[${i}]`;
    const number = port["containerPort"];
    if (number === undefined || number === 0) causes.push(required(`${field}.containerPort`));
    else if (typeof number === "number" && (number < 1 || number > 65_535)) {
      causes.push(invalidValue(`${field}.containerPort`, number, "must be between 1 and 65535, inclusive"));
    }
    if (!["TCP", "UDP", "SCTP"].includes(String(port["protocol"]))) {
      causes.push(notSupported(`${field}.protocol`, port["protocol"], ["SCTP", "TCP", "UDP"]));
    }
    if (port["name"] !== undefined) causes.push(...portNameCauses(String(port["name"]), `${field}.name`));
  }
  causes.push(...duplicateNames(ports, `${at}.ports`));
  return causes;
}

/** An IANA service name (RFC 6335): 15 characters, a letter in it, no doubled hyphen. */
export function portNameCauses(name: string, field: string): Cause[] {
  const causes: Cause[] = [];
  if (name.length > 15) causes.push(invalidValue(field, name, "must be no more than 15 characters"));
  if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name)) {
    causes.push(invalidValue(field, name, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"));
  }
  if (!/[a-z]/.test(name)) causes.push(invalidValue(field, name, "must contain at least one letter (a-z)"));
  if (name.includes("--")) causes.push(invalidValue(field, name, "must not contain consecutive hyphens"));
  return causes;
}

/** Checks a PodSpec at `field`. */
export function podSpecCauses(spec: unknown, field: string): Cause[] {
  if (!isRecord(spec)) return [required(`${field}.containers`)];
  const causes: Cause[] = [];
  const containers = listAt(spec, "containers");
  if (containers.length === 0) causes.push(required(`${field}.containers`));
  const lists: [string, unknown[]][] = [
    [`${field}.containers`, containers],
    [`${field}.initContainers`, listAt(spec, "initContainers")],
  ];
  const volumes = new Set(listAt(spec, "volumes").map((volume) => (isRecord(volume) ? volume["name"] : undefined)));
  for (const [at, list] of lists) {
    causes.push(...duplicateNames(list, at));
    for (const [i, container] of list.entries()) {
      if (!isRecord(container)) continue;
      const one = `${at}[${i}]`;
      const name = container["name"];
      if (typeof name !== "string" || name === "") causes.push(required(`${one}.name`));
      else for (const fault of nameFaults(name, "label")) causes.push(invalidValue(`${one}.name`, name, fault));
      if (typeof container["image"] !== "string" || container["image"] === "") causes.push(required(`${one}.image`));
      causes.push(...portCauses(container, one));
      for (const [e, env] of listAt(container, "env").entries()) {
        if (isRecord(env) && (env["name"] === undefined || env["name"] === ""))
          causes.push(required(`${one}.env[${e}].name`));
      }
      for (const [m, mount] of listAt(container, "volumeMounts").entries()) {
        if (!isRecord(mount)) continue;
        if (!volumes.has(mount["name"])) {
          const message = `Not found: ${JSON.stringify(mount["name"] ?? "")}`;
          causes.push({ reason: "FieldValueNotFound", field: `${one}.volumeMounts[${m}].name`, message });
        }
        if (mount["mountPath"] === undefined || mount["mountPath"] === "")
          causes.push(required(`${one}.volumeMounts[${m}].mountPath`));
      }
    }
  }
  causes.push(...duplicateNames(listAt(spec, "volumes"), `${field}.volumes`));
  if (!["Always", "OnFailure", "Never"].includes(String(spec["restartPolicy"]))) {
    causes.push(notSupported(`${field}.restartPolicy`, spec["restartPolicy"], ["Always", "OnFailure", "Never"]));
  }
  const account = spec["serviceAccountName"];
  if (typeof account === "string" && account !== "") {
    for (const fault of nameFaults(account, "subdomain"))
      causes.push(invalidValue(`${field}.serviceAccountName`, account, fault));
  }
  const grace = spec["terminationGracePeriodSeconds"];
  if (typeof grace === "number" && grace < 0) {
    causes.push(invalidValue(`${field}.terminationGracePeriodSeconds`, grace, "must be greater than or equal to 0"));
  }
  return causes;
}
