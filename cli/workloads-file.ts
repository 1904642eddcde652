import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { errorText, MeshError } from "../core/errors.ts";
import { isSocketPath } from "../proxy/inbound/app-addresses.ts";

/** A workload as a file for `mesh proxy --workloads` names it. */
export interface WorkloadEntry {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  /** Of the pod; the proxy listens there. */
  readonly address: string;
  readonly tokenFile: string;
  readonly appHost?: string;
  /** Absolute paths of unix sockets by port of the app. */
  readonly appSockets?: Readonly<Record<string, string>>;
  readonly zone?: string;
  readonly outboundPort?: number;
  readonly inboundPort?: number;
}

const MAX_WORKLOADS = 1_000;
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const REQUIRED = ["namespace", "serviceAccount", "pod", "address", "tokenFile"] as const;
const TEXTS = [...REQUIRED, "appHost", "zone"] as const;
const PORT_FIELDS = ["outboundPort", "inboundPort"] as const;
const FIELDS = [...TEXTS, ...PORT_FIELDS, "appSockets"] as const;

function invalid(path: string, why: string, cause?: unknown): MeshError {
  return new MeshError("USAGE", `Cannot use the workloads in ${path}: ${why}.`, { cause });
}

/**
 * The workloads of a YAML or JSON file, `{"workloads": [{"namespace": …, "serviceAccount": …, "pod": …, "address": …,
 * "tokenFile": …}]}`. @throws MeshError USAGE, which names the entry that is wrong
 */
export function readWorkloads(path: string): WorkloadEntry[] {
  let document: unknown;
  try {
    const text = readFileSync(path, "utf8");
    if (text.length > MAX_FILE_BYTES) throw new Error(`it is longer than ${MAX_FILE_BYTES} bytes`);
    document = parse(text);
  } catch (error) {
    throw invalid(path, errorText(error), error);
  }
  const list: unknown = document instanceof Object ? Reflect.get(document, "workloads") : undefined;
  if (!Array.isArray(list)) throw invalid(path, 'want {"workloads": […]}');
  if (list.length > MAX_WORKLOADS) throw invalid(path, `there are more than ${MAX_WORKLOADS}`);
  const names = new Set<string>();
  return list.map((value: unknown, i) => {
    const entry = entryFrom(value, (why) => invalid(path, `entry ${i + 1} ${why}`));
    const name = `${entry.namespace}/${entry.pod}`;
    if (names.has(name)) throw invalid(path, `${name} is named twice`);
    names.add(name);
    return entry;
  });
}

function entryFrom(value: unknown, bad: (why: string) => MeshError): WorkloadEntry {
  if (!(value instanceof Object)) throw bad("is no object");
  const fields = new Map(Object.entries(value));
  for (const key of fields.keys()) {
    if (!FIELDS.some((name) => name === key))
      throw bad(`has an unknown field "${key}": there are ${FIELDS.join(", ")}`);
  }
  const text = (name: (typeof TEXTS)[number]): string | undefined => {
    const field: unknown = fields.get(name);
    if (field === undefined) return undefined;
    if (typeof field !== "string" || field === "") throw bad(`needs "${name}" to be text`);
    return field;
  };
  const required = (name: (typeof REQUIRED)[number]): string => {
    const field = text(name);
    if (field === undefined) throw bad(`lacks "${name}"`);
    return field;
  };
  const port = (name: (typeof PORT_FIELDS)[number]): number | undefined => {
    const field: unknown = fields.get(name);
    if (field === undefined) return undefined;
    if (typeof field !== "number" || !Number.isInteger(field) || field < 0 || field > 65_535)
      throw bad(`needs "${name}" to be a port`);
    return field;
  };
  const [appHost, zone, outboundPort, inboundPort] = [
    text("appHost"),
    text("zone"),
    port("outboundPort"),
    port("inboundPort"),
  ];
  return {
    namespace: required("namespace"),
    serviceAccount: required("serviceAccount"),
    pod: required("pod"),
    address: required("address"),
    tokenFile: required("tokenFile"),
    ...(appHost === undefined ? {} : { appHost }),
    ...(fields.has("appSockets") ? { appSockets: socketsFrom(fields.get("appSockets"), bad) } : {}),
    ...(zone === undefined ? {} : { zone }),
    ...(outboundPort === undefined ? {} : { outboundPort }),
    ...(inboundPort === undefined ? {} : { inboundPort }),
  };
}

function socketsFrom(value: unknown, bad: (why: string) => MeshError): Record<string, string> {
  const want = 'needs "appSockets" to be {"<port>": "<absolute path of at most 107 bytes>"}';
  if (!(value instanceof Object) || Array.isArray(value)) throw bad(want);
  const sockets: Record<string, string> = {};
  for (const [port, path] of Object.entries(value) as [string, unknown][]) {
    const good = /^[1-9][0-9]{0,4}$/.test(port) && Number(port) <= 65_535;
    if (!good || typeof path !== "string" || !isSocketPath(path)) throw bad(want);
    sockets[port] = path;
  }
  return sockets;
}
