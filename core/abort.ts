import { MeshError } from "./errors.ts";

/** One for all: a reason made for each end, a DOMException with its stack, cost 3 % of a first sync. */
const DISPOSED = new MeshError("ABORTED", "Cannot go on: what it was for has ended.");

/**
 * A controller that aborts with `parent` and can be aborted alone. Dispose of it (`using`) so that a
 * long-lived parent keeps no listener: `AbortSignal.any` leaks there on Node 20.
 */
export function childAbort(parent: AbortSignal): AbortController & Disposable {
  const child = new AbortController();
  const onAbort = () => child.abort(parent.reason);
  if (parent.aborted) onAbort();
  else parent.addEventListener("abort", onAbort, { once: true });
  return Object.assign(child, {
    [Symbol.dispose]() {
      parent.removeEventListener("abort", onAbort);
      child.abort(DISPOSED);
    },
  });
}

/** Resolves once `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
