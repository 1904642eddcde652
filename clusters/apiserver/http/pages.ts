import { randomUUID } from "node:crypto";
import type { ApiObject } from "../object.ts";
import { badRequest, expired } from "../status.ts";

export interface Page {
  readonly items: readonly ApiObject[];
  readonly revision: number;
  /** "" after the last page. */
  readonly next: string;
  readonly remaining: number;
}

interface Rest {
  readonly items: readonly ApiObject[];
  readonly revision: number;
  readonly untilMs: number;
}

const KEEP_MS = 300_000;
const MAX_LISTS = 64;

/**
 * Lists in pieces. What remains is kept as it was, so all pages show one revision; a list that was dropped, by
 * age or because of newer ones, makes its `continue` token expire (410), as etcd's compaction does.
 */
export class Pages {
  readonly #lists = new Map<string, Rest>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  first(items: readonly ApiObject[], revision: number, limit: number): Page {
    return this.#page(items, revision, limit);
  }

  /** @throws StatusError 400, 410 */
  next(token: string, limit: number): Page {
    if (!/^[0-9a-f-]{36}$/.test(token)) throw badRequest("continue key is not valid");
    const rest = this.#lists.get(token);
    if (rest === undefined || rest.untilMs < this.#nowMs()) {
      throw expired(
        "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
      );
    }
    return this.#page(rest.items, rest.revision, limit);
  }

  #page(items: readonly ApiObject[], revision: number, limit: number): Page {
    if (limit <= 0 || items.length <= limit) return { items, revision, next: "", remaining: 0 };
    const rest = items.slice(limit);
    const next = randomUUID();
    this.#lists.set(next, { items: rest, revision, untilMs: this.#nowMs() + KEEP_MS });
    for (const oldest of this.#lists.keys()) {
      if (this.#lists.size <= MAX_LISTS) break;
      this.#lists.delete(oldest);
    }
    return { items: items.slice(0, limit), revision, next, remaining: rest.length };
  }
}
