import { request } from "node:http";
import { connect } from "node:net";

/** A readiness check of a container or sidecar. */
export type Probe =
  | { readonly kind: "http"; readonly host: string; readonly port: number; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

const TIMEOUT_MS = 1_000;
/** Kubernetes' own default for failureThreshold. */
const FAILURE_THRESHOLD = 3;

/**
 * Readiness out of probes: there with the first that passes, lost with the third in a row that fails. On a busy
 * machine one probe may take too long; were that enough, every endpoint of a service could vanish at once.
 */
export class Readiness {
  #ready = false;
  #failures = 0;

  get ready(): boolean {
    return this.#ready;
  }

  /** Takes up a probe's result. */
  note(passed: boolean): void {
    this.#failures = passed ? 0 : this.#failures + 1;
    if (passed) this.#ready = true;
    else if (this.#failures >= FAILURE_THRESHOLD) this.#ready = false;
  }

  /** The process is gone: there is nothing to doubt. */
  lose(): void {
    this.#ready = false;
  }
}

/** Whether the probe passes: HTTP 200 to 399, or an accepted connection. Never throws. */
export function passes(probe: Probe): Promise<boolean> {
  return new Promise((resolve) => {
    if (probe.kind === "tcp") {
      const socket = connect({ host: probe.host, port: probe.port, timeout: TIMEOUT_MS });
      const done = (result: boolean) => {
        socket.destroy();
        resolve(result);
      };
      socket.once("connect", () => done(true));
      socket.once("timeout", () => done(false));
      socket.once("error", () => done(false));
      return;
    }
    const { host, port, path } = probe;
    const call = request({ host, port, path, timeout: TIMEOUT_MS, agent: false }, (response) => {
      response.resume();
      const status = response.statusCode ?? 0;
      resolve(status >= 200 && status < 400);
    });
    call.once("timeout", () => call.destroy());
    call.once("error", () => resolve(false));
    call.end();
  });
}
