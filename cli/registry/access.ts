import { createHash } from "node:crypto";
import { ERROR_MEANINGS, errorText, MeshError, type MeshErrorCode } from "../../core/errors.ts";
import type { AdministeredStore, StoreStatus } from "../../registry/store.ts";

/** A value of the registry, as it may be shown. */
export interface DumpedEntry {
  readonly key: string;
  readonly revision: string;
  /** Of the text that is stored, base64. */
  readonly sha256: string;
  /** Parsed; route names are left out. Undefined: no JSON. */
  readonly value?: unknown;
}

export interface RegistryDump {
  readonly revision: string;
  readonly entries: readonly DumpedEntry[];
}

/** A store's status with its bigints as text. */
export interface RegistryStatus extends Omit<StoreStatus, "revision" | "leases"> {
  readonly revision: string;
  readonly leases: readonly { lease: string; holder: string | null; token: string; ttlMs: number }[];
}

/** The registry of one cluster, wherever it is asked. */
export interface RegistryAccess {
  status(): Promise<RegistryStatus>;
  /** All entries, by key. */
  dump(): Promise<RegistryDump>;
  clear(): Promise<void>;
}

/** Who knows a route name and has an identity of the mesh can call the endpoint: it is for the two gateways only. */
function withoutRouteNames(key: string, value: unknown): unknown {
  return key === "routeName" ? undefined : value;
}

function parse(text: string): { value?: unknown } {
  try {
    return { value: JSON.parse(text, withoutRouteNames) as unknown };
  } catch {
    return {};
  }
}

export function storeAccess(store: AdministeredStore): RegistryAccess {
  return {
    async status() {
      const { revision, leases, ...rest } = await store.status();
      return {
        ...rest,
        revision: revision.toString(),
        leases: leases
          .map(({ lease, holder, token, ttlMs }) => ({ lease, holder: holder ?? null, token: token.toString(), ttlMs }))
          .sort((a, b) => (a.lease < b.lease ? -1 : 1)),
      };
    },
    async dump() {
      const { revision, entries } = await store.read("");
      return {
        revision: revision.toString(),
        entries: entries
          .map((entry) => ({
            key: entry.key,
            revision: entry.revision.toString(),
            sha256: createHash("sha256").update(entry.value).digest("base64"),
            ...parse(entry.value),
          }))
          .sort((a, b) => (a.key < b.key ? -1 : 1)),
      };
    },
    clear: () => store.clear(),
  };
}

const ANSWER_MS = 30_000;

/** The registry of the `mesh serve` whose admin port that is. @throws MeshError REGISTRY_UNAVAILABLE, what it answers */
export function adminAccess(host: string, port: number): RegistryAccess {
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const call = async <T>(method: "GET" | "POST", path: string): Promise<T> => {
    const unreachable = (reason: string, cause?: unknown) =>
      new MeshError("REGISTRY_UNAVAILABLE", `Cannot ask mesh serve at ${address}: ${reason}. Is it running?`, {
        cause,
      });
    let response: Response;
    let body: unknown;
    try {
      response = await fetch(`http://${address}${path}`, { method, signal: AbortSignal.timeout(ANSWER_MS) });
      body = await response.json();
    } catch (error) {
      const { cause } = error as { cause?: unknown };
      throw unreachable(errorText(cause ?? error), error);
    }
    if (response.ok) return body as T;
    const { code = "", message = "" } = (body as { error?: { code?: string; message?: string } }).error ?? {};
    if (!Object.hasOwn(ERROR_MEANINGS, code)) throw unreachable(`it answers ${response.status}`);
    throw new MeshError(code as MeshErrorCode, message);
  };
  return {
    status: () => call<RegistryStatus>("GET", "/registry"),
    dump: () => call<RegistryDump>("GET", "/registry/entries"),
    clear: async () => {
      await call("POST", "/registry/clear");
    },
  };
}
