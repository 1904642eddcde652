import { Agent, request } from "node:http";
import type { Clock } from "../core/clock.ts";

/** One request of a drill. Times are of the drill's clock, in ms. */
export interface Sample {
  /** When it should have been sent at the constant rate; latency counts from here. */
  readonly dueMs: number;
  readonly endMs: number;
  /** Status, or 0 where no response came. */
  readonly status: number;
  /** Cluster that answered, by the `cluster` of a JSON body; "" where it says none. */
  readonly cluster: string;
  /** "" for a response below 500; else what went wrong. */
  readonly error: string;
}

export interface TrafficOptions {
  readonly url: string;
  /** The outbound port of a sidecar, as an HTTP proxy. */
  readonly proxy: { readonly host: string; readonly port: number };
  readonly perSecond: number;
  readonly timeoutMs: number;
  readonly headers: Readonly<Record<string, string>>;
  /** POSTs with this body; absent: GETs. */
  readonly post?: string;
}

const TICK_MS = 5;
const MAX_BODY = 64 * 1024;
/** Bounds what a drill may have under way: beyond, requests count as failed rather than pile up. */
const MAX_IN_FLIGHT = 2_000;

/** Requests at a constant rate, whatever the answers: a slow service does not slow the drill (open loop). */
export class Traffic {
  readonly samples: Sample[] = [];
  readonly #options: TrafficOptions;
  readonly #clock: Clock;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256, maxFreeSockets: 64 });
  #inFlight = 0;
  #idle: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: TrafficOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  start(): void {
    const startMs = this.#clock.nowMs();
    const everyMs = 1_000 / this.#options.perSecond;
    let sent = 0;
    this.#timer = setInterval(() => {
      const nowMs = this.#clock.nowMs();
      for (let dueMs = startMs + sent * everyMs; dueMs <= nowMs; dueMs = startMs + sent * everyMs) {
        sent++;
        this.#send(dueMs);
      }
    }, TICK_MS);
  }

  /** Sends no more, and resolves when what is under way has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#agent.destroy();
  }

  #send(dueMs: number): void {
    if (this.#inFlight >= MAX_IN_FLIGHT) {
      this.samples.push({
        dueMs,
        endMs: this.#clock.nowMs(),
        status: 0,
        cluster: "",
        error: "too many requests under way",
      });
      return;
    }
    this.#inFlight++;
    let ended = false;
    const end = (status: number, cluster: string, error: string) => {
      if (ended) return;
      ended = true;
      this.samples.push({ dueMs, endMs: this.#clock.nowMs(), status, cluster, error });
      if (--this.#inFlight === 0) for (const idle of this.#idle.splice(0)) idle();
    };
    const { url, proxy, timeoutMs, headers, post } = this.#options;
    const { host } = new URL(url);
    const method = post === undefined ? "GET" : "POST";
    const length = post === undefined ? {} : { "content-length": Buffer.byteLength(post) };
    const all = { ...headers, ...length, host };
    const call = request({ ...proxy, method, path: url, headers: all, agent: this.#agent }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        if (body.length < MAX_BODY) body += text;
      });
      response.once("end", () => {
        const status = response.statusCode ?? 0;
        const code = response.headers["x-causeway-error"];
        end(status, clusterOf(body), status >= 500 ? `${status}${code === undefined ? "" : ` ${String(code)}`}` : "");
      });
      response.once("error", (error) => end(0, "", error.message));
    });
    call.setTimeout(timeoutMs, () => call.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    call.once("error", (error) => end(0, "", error.message));
    call.end(post);
  }
}

function clusterOf(body: string): string {
  try {
    const { cluster } = JSON.parse(body) as { cluster?: unknown };
    return typeof cluster === "string" ? cluster : "";
  } catch {
    return "";
  }
}
