import type { Store } from "../store/store.ts";

const EVENTS = "/events";
const TTL_MS = 3_600_000;
const MAX_EVENTS = 5_000;

/** Removes events that are an hour old, and the oldest where there are too many. */
export function expireEvents(store: Store, wallMs: number): void {
  const events = [...store.values(EVENTS)].sort(
    (a, b) => Number(a.metadata.resourceVersion) - Number(b.metadata.resourceVersion),
  );
  for (const [i, event] of events.entries()) {
    const time = Date.parse(String(event["lastTimestamp"] ?? event["eventTime"] ?? event.metadata.creationTimestamp));
    if (events.length - i > MAX_EVENTS || wallMs - time > TTL_MS) store.remove(EVENTS, event);
  }
}
