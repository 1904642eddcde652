import { SETTINGS } from "../../core/defaults.ts";
import type { Log } from "../../core/log.ts";
import { escapeLabel } from "../observe/families.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Detected } from "./protocol.ts";

/** Server names are chosen by whoever connects: more than this many count as "". */
const MAX_SERVER_NAMES = 200;
/** Authorities that have been named in the log; later ones are at debug. */
const MAX_NAMED = 1_000;

/** Counts and tells what detection found, for one direction. */
export class Detections {
  readonly #direction: "outbound" | "inbound";
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #serverNames = new Set<string>();
  readonly #silent = new Set<string>();

  constructor(direction: "outbound" | "inbound", metrics: Metrics, log: Log) {
    this.#direction = direction;
    this.#metrics = metrics;
    this.#log = log;
  }

  found(detected: Detected, authority: string): void {
    this.#count(detected.kind);
    if (detected.kind !== "tls") return;
    const { serverName, alpn } = detected;
    this.#log.debug("tls.passthrough", { direction: this.#direction, authority, serverName, alpn });
    const known = this.#serverNames.has(serverName) || this.#serverNames.size < MAX_SERVER_NAMES;
    if (known) this.#serverNames.add(serverName);
    const label = `direction="${this.#direction}",server_name="${escapeLabel(known ? serverName : "")}"`;
    this.#metrics.counter("tls_passthrough_total", label).value++;
  }

  /** A client that waited to be spoken to, until detection was given up: each of its connections loses that time. */
  timedOut(authority: string, afterMs: number): void {
    this.#count("timeout");
    const first = !this.#silent.has(authority) && this.#silent.size < MAX_NAMED;
    if (first) this.#silent.add(authority);
    const fields = {
      direction: this.#direction,
      authority,
      afterMs,
      advice: `If its server speaks first, give the port appProtocol: opaque, or name it in ${SETTINGS.opaquePorts}.`,
    };
    if (first) this.#log.info("detection.timeout", fields);
    else this.#log.debug("detection.timeout", fields);
  }

  #count(protocol: string): void {
    const labels = `direction="${this.#direction}",protocol="${protocol}"`;
    this.#metrics.counter("protocol_detections_total", labels).value++;
  }
}
