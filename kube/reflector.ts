import { childAbort } from "../core/abort.ts";
import { type BackoffOptions, backoffMs } from "../core/backoff.ts";
import { type Clock, sleep } from "../core/clock.ts";
import { errorText, hasCode, MeshError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { Informer, InformerEvent, KubeObject } from "./client.ts";
import type { WatchEvent } from "./watch-stream.ts";

export interface ListPage<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  /** Token of the next page, "" on the last. */
  readonly next: string;
}

/** What a reflector needs of the API. Failures are thrown, except an expired version (410), which is an answer. */
export interface ListWatch<T extends KubeObject> {
  /** For logs: "services". */
  readonly what: string;
  /** One page; `limit` 0 asks for everything at once. */
  list(limit: number, next: string, signal: AbortSignal): Promise<ListPage<T> | "expired">;
  watch(
    resourceVersion: string,
    timeoutSeconds: number,
    signal: AbortSignal,
  ): Promise<AsyncIterable<WatchEvent<T>> | "expired">;
}

export interface ReflectorOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly backoff: BackoffOptions;
  /** A watch on which nothing came for this long is opened again. Servers send a bookmark about once a minute. */
  readonly idleMs: number;
  /** Set for a kind that may be missing: it is asked for again this often. */
  readonly absentMs?: number;
}

const PAGE_SIZE = 500;
const MAX_PAGES = 2_000;
/** Watches that failed one after the other before everything is listed again, in case the version is the reason. */
const WATCH_FAILURES_BEFORE_LIST = 3;
/** Answers in a row that a kind is missing before its objects are believed to be gone. */
const ABSENCES_BEFORE_EMPTY = 3;
/** A watch that the server ends sooner than this, with nothing said, counts as failed, or it would spin. */
const SHORT_WATCH_MS = 1_000;
const WATCH_SECONDS = { min: 300, spread: 240 };

/** All pages of a list, as of one version. @throws MeshError LIMIT_EXCEEDED, and what `list` throws */
export async function listPages<T extends KubeObject>(
  source: ListWatch<T>,
  signal: AbortSignal,
): Promise<{ items: T[]; resourceVersion: string }> {
  const items: T[] = [];
  let next = "";
  for (let pages = 0; pages < MAX_PAGES; pages++) {
    const page = await source.list(PAGE_SIZE, next, signal);
    if (page === "expired") {
      // The version of the first page was compacted before the last was read: ask for the whole at once.
      const whole = await source.list(0, "", signal);
      if (whole === "expired")
        throw new MeshError("KUBE_FAILED", `Cannot list ${source.what}: the server calls a new list expired.`);
      return { items: [...whole.items], resourceVersion: whole.resourceVersion };
    }
    for (const item of page.items) items.push(item);
    if (page.next === "") return { items, resourceVersion: page.resourceVersion };
    next = page.next;
  }
  throw new MeshError("LIMIT_EXCEEDED", `Cannot list ${source.what}: more than ${MAX_PAGES} pages.`);
}

/** The Informer over one ListWatch. */
export class Reflector<T extends KubeObject> implements Informer<T> {
  readonly #source: ListWatch<T>;
  readonly #options: ReflectorOptions;
  #cache = new Map<string, T>();
  /** `list()` until the next change. */
  #listed: readonly T[] | undefined;
  #listeners = new Set<(event: InformerEvent<T>) => void>();
  #resourceVersion: string | undefined;
  #synced = false;
  #started = false;
  #failing = false;
  #absences = 0;

  constructor(source: ListWatch<T>, options: ReflectorOptions) {
    this.#source = source;
    this.#options = options;
  }

  get synced(): boolean {
    return this.#synced;
  }

  get(name: string, namespace?: string): T | undefined {
    return this.#cache.get(keyOf(name, namespace));
  }

  list(): readonly T[] {
    this.#listed ??= [...this.#cache.values()];
    return this.#listed;
  }

  onEvent(listener: (event: InformerEvent<T>) => void): () => void {
    // Wrapped, so that one function registered twice is two listeners.
    const own = (event: InformerEvent<T>) => listener(event);
    this.#listeners.add(own);
    for (const object of this.list()) this.#tell(own, { type: "set", object });
    return () => {
      this.#listeners.delete(own);
    };
  }

  start(signal: AbortSignal): Promise<void> {
    if (this.#started)
      throw new MeshError("INTERNAL", `Cannot start the informer of ${this.#source.what}: it was started before.`);
    this.#started = true;
    return new Promise((resolve, reject) => {
      const ended = () =>
        reject(new MeshError("ABORTED", `Cannot list ${this.#source.what}: cancelled.`, { cause: signal.reason }));
      this.#run(resolve, signal).then(ended, ended);
    });
  }

  /** Ends when `signal` aborts; never throws. */
  async #run(onSynced: () => void, signal: AbortSignal): Promise<void> {
    let attempt = 0;
    let watchFailures = 0;
    let relists = 0;
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === undefined) {
          await this.#list(signal);
          onSynced();
        }
        const outcome = await this.#watch(signal);
        if (outcome === "expired") {
          this.#resourceVersion = undefined;
          this.#options.log.debug("informer expired", { resource: this.#source.what });
          // Once at once; a server that calls every new version expired is not asked in a loop.
          if (relists++ === 0) continue;
          throw new MeshError(
            "KUBE_FAILED",
            `Cannot watch ${this.#source.what}: the server calls a new version expired.`,
          );
        }
        if (outcome === "short")
          throw new MeshError("KUBE_FAILED", `Cannot watch ${this.#source.what}: the server ends watches at once.`);
        relists = 0;
        attempt = 0;
        watchFailures = 0;
        this.#recovered();
      } catch (error) {
        if (signal.aborted) return;
        if (this.#options.absentMs !== undefined && hasCode(error, "KUBE_NOT_FOUND")) {
          if (this.#isAbsent()) onSynced();
          const { clock, random, absentMs } = this.#options;
          await sleep(clock, absentMs * (1 - 0.2 * random()), signal).catch(() => {});
          continue;
        }
        this.#failed(error);
        if (this.#progressed) {
          attempt = 0;
          watchFailures = 0;
          relists = 0;
        }
        if (this.#resourceVersion !== undefined && ++watchFailures >= WATCH_FAILURES_BEFORE_LIST) {
          watchFailures = 0;
          this.#resourceVersion = undefined;
        }
        const waitMs = backoffMs(attempt++, this.#options.backoff, this.#options.random);
        await sleep(this.#options.clock, waitMs, signal).catch(() => {});
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { items, resourceVersion } = await listPages(this.#source, signal);
    if (this.#absences > 0) this.#options.log.info("informer kind appeared", { resource: this.#source.what });
    this.#absences = 0;
    this.#resourceVersion = resourceVersion;
    this.#replace(items);
  }

  /** Takes note that the kind is missing; whether its objects are gone by now. */
  #isAbsent(): boolean {
    this.#resourceVersion = undefined;
    if (this.#absences++ === 0) this.#options.log.info("informer kind missing", { resource: this.#source.what });
    if (this.#cache.size > 0 && this.#absences < ABSENCES_BEFORE_EMPTY) return false;
    this.#replace([]);
    return true;
  }

  #replace(items: readonly T[]): void {
    const before = this.#cache;
    const after = new Map(items.map((item) => [keyOf(item.metadata.name, item.metadata.namespace), item]));
    // Only a whole list replaces the cache, in one step: a listener never sees half of it.
    this.#cache = after;
    this.#listed = undefined;
    this.#synced = true;
    for (const [key, object] of before) {
      if (after.get(key)?.metadata.uid !== object.metadata.uid || !after.has(key))
        this.#emit({ type: "delete", object });
    }
    for (const [key, object] of after) {
      const known = before.get(key)?.metadata;
      const same = known?.uid === object.metadata.uid && known?.resourceVersion === object.metadata.resourceVersion;
      if (known === undefined || !same || object.metadata.resourceVersion === undefined)
        this.#emit({ type: "set", object });
    }
  }

  /** Whether the watch that just ended had brought anything. */
  #progressed = false;

  /** One watch, until the server ends it ("ended"), ends it at once with nothing said ("short"), or has expired it. */
  async #watch(signal: AbortSignal): Promise<"ended" | "short" | "expired"> {
    const { clock, random, idleMs } = this.#options;
    using abort = childAbort(signal);
    this.#progressed = false;
    let idle = false;
    let cancel = () => {};
    const arm = () => {
      cancel();
      cancel = clock.after(idleMs, () => {
        idle = true;
        abort.abort();
      });
    };
    const startMs = clock.nowMs();
    const seconds = WATCH_SECONDS.min + Math.floor(random() * WATCH_SECONDS.spread);
    arm();
    try {
      const events = await this.#source.watch(this.#resourceVersion ?? "", seconds, abort.signal);
      if (events === "expired") return "expired";
      this.#recovered();
      for await (const event of events) {
        arm();
        if (abort.signal.aborted) break;
        if (event.type === "ERROR") {
          if (event.object.code === 410 || event.object.reason === "Expired" || event.object.reason === "Gone")
            return "expired";
          throw new MeshError(
            "KUBE_FAILED",
            `Cannot watch ${this.#source.what}: ${event.object.message ?? "error without a message"}.`,
          );
        }
        this.#progressed = true;
        this.#apply(event);
      }
    } catch (error) {
      // A silent connection is no failure of the server's: resume from the last version.
      if (!idle) throw error;
    } finally {
      cancel();
    }
    if (idle) this.#options.log.debug("informer idle", { resource: this.#source.what, idleMs });
    return this.#progressed || clock.nowMs() - startMs >= SHORT_WATCH_MS ? "ended" : "short";
  }

  #apply(event: Exclude<WatchEvent<T>, { type: "ERROR" }>): void {
    const { metadata } = event.object;
    if (event.type !== "BOOKMARK") {
      const object = event.object;
      const key = keyOf(metadata.name, metadata.namespace);
      const known = this.#cache.get(key);
      this.#listed = undefined;
      if (event.type === "DELETED") {
        this.#cache.delete(key);
        if (known !== undefined) this.#emit({ type: "delete", object });
      } else {
        this.#cache.set(key, object);
        if (known !== undefined && known.metadata.uid !== metadata.uid) this.#emit({ type: "delete", object: known });
        this.#emit({ type: "set", object });
      }
    }
    this.#resourceVersion = metadata.resourceVersion ?? this.#resourceVersion;
  }

  #emit(event: InformerEvent<T>): void {
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.has(listener)) this.#tell(listener, event);
    }
  }

  #tell(listener: (event: InformerEvent<T>) => unknown, event: InformerEvent<T>): void {
    const failed = (error: unknown) =>
      this.#options.log.error("informer listener failed", { resource: this.#source.what, error: errorText(error) });
    try {
      const result = listener(event);
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #failed(error: unknown): void {
    const fields = { resource: this.#source.what, error: errorText(error) };
    if (this.#failing) this.#options.log.debug("informer retries", fields);
    else this.#options.log.warn("informer lost the API server", fields);
    this.#failing = true;
  }

  #recovered(): void {
    if (this.#failing) this.#options.log.info("informer recovered", { resource: this.#source.what });
    this.#failing = false;
  }
}

function keyOf(name: string, namespace: string | undefined): string {
  return `${namespace ?? ""}/${name}`;
}
