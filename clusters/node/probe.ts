import { request } from "node:http";
import { connect } from "node:net";

/** A readiness check of a container or sidecar. */
export type Probe =
  | { readonly kind: "http"; readonly host: string; readonly port: number; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

const TIMEOUT_MS = 1_000;

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
