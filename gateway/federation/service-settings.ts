import { MeshError } from "../../core/errors.ts";
import { MAX_RETRIES, type RetrySettings, type TimeoutSettings } from "../../core/route.ts";
import type { ServiceSettings } from "../../core/service.ts";
import type { ServiceSettings__Output } from "../../protos/gen/causeway/federation/v1/ServiceSettings.ts";

const MAX_MS = 2_147_483_647;
const MAX_AFFINITY_SECONDS = 86_400;
const MAX_STATUSES = 200;

/** How clients are to call a service, as peers are told; null where its owner says nothing. */
export function settingsMessage(settings: ServiceSettings | undefined): ServiceSettings__Output | null {
  if (settings === undefined) return null;
  const { timeouts = {}, retry = {} } = settings;
  return {
    ...(timeouts.requestMs === undefined ? {} : { requestTimeoutMs: timeouts.requestMs }),
    ...(timeouts.tryMs === undefined ? {} : { tryTimeoutMs: timeouts.tryMs }),
    ...(timeouts.idleMs === undefined ? {} : { idleTimeoutMs: timeouts.idleMs }),
    ...(retry.limit === undefined ? {} : { retryLimit: retry.limit }),
    ...(retry.backoffMs === undefined ? {} : { retryBackoffMs: retry.backoffMs }),
    retryHttpStatuses: [...(retry.httpStatuses ?? [])],
    retryGrpcStatuses: [...(retry.grpcStatuses ?? [])],
    retryAnyMethod: retry.anyMethod ?? false,
    affinitySeconds: settings.affinitySeconds ?? 0,
    maxConnectionAgeMs: settings.maxConnectionAgeMs ?? 0,
    preferZone: settings.preferZone ?? false,
  };
}

/**
 * Checks what a peer says of the service `name`; undefined where it says nothing. What settingsMessage made comes
 * out as it went in. @throws MeshError LIMIT_EXCEEDED
 */
export function readSettings(
  message: ServiceSettings__Output | null | undefined,
  name: string,
): ServiceSettings | undefined {
  if (!message) return undefined;
  const within = (what: string, value: number, limit: number): number => {
    if (Number.isInteger(value) && value >= 0 && value <= limit) return value;
    throw outOfRange(what, value, limit, name);
  };
  const timeouts: TimeoutSettings = {
    ...(message.requestTimeoutMs === undefined
      ? {}
      : { requestMs: within("request timeout", message.requestTimeoutMs, MAX_MS) }),
    ...(message.tryTimeoutMs === undefined ? {} : { tryMs: within("timeout of a try", message.tryTimeoutMs, MAX_MS) }),
    ...(message.idleTimeoutMs === undefined ? {} : { idleMs: within("idle timeout", message.idleTimeoutMs, MAX_MS) }),
  };
  const statuses = (what: string, values: readonly number[], limit: number): readonly number[] => {
    if (values.length > MAX_STATUSES) throw outOfRange(`number of ${what}s`, values.length, MAX_STATUSES, name);
    return values.map((value) => within(what, value, limit));
  };
  const { retryHttpStatuses, retryGrpcStatuses } = message;
  const retry: RetrySettings = {
    ...(message.retryLimit === undefined ? {} : { limit: within("retry limit", message.retryLimit, MAX_RETRIES) }),
    ...(message.retryBackoffMs === undefined ? {} : { backoffMs: within("backoff", message.retryBackoffMs, MAX_MS) }),
    ...(retryHttpStatuses.length === 0 ? {} : { httpStatuses: statuses("HTTP status", retryHttpStatuses, 599) }),
    ...(retryGrpcStatuses.length === 0 ? {} : { grpcStatuses: statuses("gRPC status", retryGrpcStatuses, 16) }),
    ...(message.retryAnyMethod ? { anyMethod: true } : {}),
  };
  const { affinitySeconds, maxConnectionAgeMs, preferZone } = message;
  return {
    ...(Object.keys(timeouts).length === 0 ? {} : { timeouts }),
    ...(Object.keys(retry).length === 0 ? {} : { retry }),
    ...(affinitySeconds === 0 ? {} : { affinitySeconds: within("affinity", affinitySeconds, MAX_AFFINITY_SECONDS) }),
    ...(maxConnectionAgeMs === 0 ? {} : { maxConnectionAgeMs: within("connection age", maxConnectionAgeMs, MAX_MS) }),
    ...(preferZone ? { preferZone } : {}),
  };
}

function outOfRange(what: string, value: number, limit: number, name: string): MeshError {
  return new MeshError(
    "LIMIT_EXCEEDED",
    `Cannot take ${JSON.stringify(name.slice(0, 130))}: its ${what} is ${value}, want 0 to ${limit}.`,
  );
}
