import { aborted } from "../core/abort.ts";
import { MeshError } from "../core/errors.ts";
import { compacted, type StreamChange } from "./redis-changes.ts";
import { revisionOf, streamId } from "./redis-revision.ts";
import type { Change } from "./store.ts";

/** How a feed gets at the change stream. */
export interface ChangeSource {
  /** Id of the newest change. */
  tip(): Promise<string>;
  /** The changes after `after`, some at a time; at the end, none. */
  range(after: string): Promise<readonly StreamChange[]>;
  /** Connects for reads that wait. What it gives resolves with the next changes after `after`, or with none in time. */
  open(signal: AbortSignal): Promise<(after: string) => Promise<readonly StreamChange[]>>;
}

/** What a watch may leave unread before it reads from the stream by itself again. */
const QUEUE_LIMITS = { changes: 2_000, bytes: 16 * 1024 * 1024 } as const;

/** One watch at the feed's end. */
interface Follower {
  readonly prefix: string;
  /** Of the last change that went past. */
  cursor: string;
  revision: bigint;
  queue: Change[];
  bytes: number;
  /** The queue was full: go on by oneself from `cursor` once it is empty. */
  behind: boolean;
  /** When it came, counted in looks at the tip. */
  readonly look: number;
  failure: MeshError | undefined;
  wake: () => void;
}

/**
 * One reader of the change stream for all watches of a store: whoever watches from an earlier revision first reads up
 * to where the feed is, then gets what comes. It ends with the first failure, which all its watches throw, or when
 * nobody watches any more; the next watch begins another.
 *
 * Every change in the stream names the one before it. A gap in that chain (trimmed, flushed, a replica promoted that
 * lacks what was seen here) means that everything must be read again.
 */
export class ChangeFeed {
  readonly #source: ChangeSource;
  readonly #stop = new AbortController();
  readonly #followers = new Set<Follower>();
  readonly #opened: Promise<void>;
  #position = "";
  #looks = 0;
  #watches = 0;
  #failure: unknown = new MeshError("REGISTRY_UNAVAILABLE", "Cannot watch the registry: it is closed.");

  constructor(source: ChangeSource) {
    this.#source = source;
    this.#opened = new Promise((resolve) => {
      this.#run(resolve)
        .catch((error: unknown) => {
          if (!this.over) this.#failure = error;
        })
        .finally(() => {
          this.#stop.abort();
          resolve();
          for (const { wake } of this.#followers) wake();
        });
    });
  }

  /** Takes no more watches. */
  get over(): boolean {
    return this.#stop.signal.aborted;
  }

  close(): void {
    this.#stop.abort();
  }

  /** As RegistryStore.watch(). */
  async *watch(prefix: string, after: bigint, signal: AbortSignal): AsyncGenerator<Change, void, undefined> {
    this.#watches++;
    try {
      let cursor = streamId(after);
      await Promise.race([this.#opened, aborted(signal)]);
      while (!signal.aborted) {
        if (this.over) throw this.#failure;
        if (revisionOf(cursor) < revisionOf(this.#position)) {
          const batch = await this.#source.range(cursor);
          if (batch.length === 0) throw compacted(cursor);
          for (const { id, previous, change } of batch) {
            if (previous !== cursor) throw compacted(cursor);
            cursor = id;
            if (change.key.startsWith(prefix)) yield change;
            if (signal.aborted) return;
          }
        } else {
          cursor = yield* this.#follow(prefix, cursor, signal);
        }
      }
    } finally {
      if (--this.#watches === 0) this.#stop.abort();
    }
  }

  /** Yields what comes; returns from where to go on when it came faster than it was taken. */
  async *#follow(prefix: string, from: string, signal: AbortSignal): AsyncGenerator<Change, string, undefined> {
    const follower: Follower = {
      prefix,
      cursor: from,
      revision: revisionOf(from),
      queue: [],
      bytes: 0,
      behind: false,
      look: this.#looks,
      failure: undefined,
      wake: () => {},
    };
    const onAbort = () => follower.wake();
    this.#followers.add(follower);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      while (!signal.aborted) {
        const { queue } = follower;
        follower.queue = [];
        follower.bytes = 0;
        for (const change of queue) {
          yield change;
          if (signal.aborted) return follower.cursor;
        }
        if (follower.queue.length > 0) continue;
        if (follower.failure !== undefined) throw follower.failure;
        if (this.over) throw this.#failure;
        if (follower.behind) break;
        await new Promise<void>((resolve) => {
          follower.wake = resolve;
        });
      }
      return follower.cursor;
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#followers.delete(follower);
    }
  }

  async #run(onOpen: () => void): Promise<void> {
    const { signal } = this.#stop;
    const next = await this.#source.open(signal);
    this.#position = await this.#source.tip();
    onOpen();
    let missing = false;
    while (!signal.aborted) {
      const look = ++this.#looks;
      const tip = await this.#source.tip();
      const tipRevision = revisionOf(tip);
      for (const follower of this.#followers) {
        // Whoever came while the tip was on its way may rightly know more.
        if (follower.look < look && follower.revision > tipRevision) fail(follower);
      }
      // Behind the tip and yet nothing was found to read: the stream is gone.
      if (tipRevision < revisionOf(this.#position) || (missing && tip !== this.#position)) {
        throw compacted(this.#position);
      }
      const batch = await next(this.#position);
      missing = batch.length === 0 && tip !== this.#position;
      for (const item of batch) {
        if (item.previous !== this.#position) throw compacted(this.#position);
        this.#position = item.id;
        for (const follower of this.#followers) pass(follower, item);
      }
    }
  }
}

/** It came with a revision that this stream never had, or has lost. */
function fail(follower: Follower): void {
  follower.failure ??= compacted(follower.cursor);
  follower.wake();
}

function pass(follower: Follower, { id, previous, change }: StreamChange): void {
  if (follower.behind || follower.failure !== undefined || change.revision <= follower.revision) return;
  if (previous !== follower.cursor) {
    fail(follower);
    return;
  }
  const bytes = change.key.length + (change.value?.length ?? 0);
  if (change.key.startsWith(follower.prefix)) {
    if (follower.queue.length >= QUEUE_LIMITS.changes || follower.bytes + bytes > QUEUE_LIMITS.bytes) {
      follower.behind = true;
      return;
    }
    follower.queue.push(change);
    follower.bytes += bytes;
  }
  follower.cursor = id;
  follower.revision = change.revision;
  follower.wake();
}
