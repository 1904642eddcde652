import type { Clock } from "../core/clock.ts";
import { asMeshError, errorText, hasCode, type MeshError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { KubeClient } from "../kube/client.ts";
import { KeyedWork } from "./keyed-work.ts";
import { type Step, stepDigest, stepKey } from "./steps.ts";

interface ApplierDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** A step failed for good reason, or one that had failed went through. */
  onRefusalsChanged(): void;
}

const BACKOFF = { minMs: 50, maxMs: 5_000, jitter: 0.5 };
const CONCURRENCY = 8;
/** A step that goes on failing is logged loudly each so many attempts. */
const REPORT_EVERY = 10;
/** Lazy steps: at most 20 a second, so that a lost link of a thousand services is no storm of writes. */
const LAZY_SPACING_MS = 50;

/** Carries out what was planned last, each object on its own; failures are retried until they are planned no more. */
export class StepApplier {
  readonly #deps: ApplierDeps;
  readonly #work: { urgent: KeyedWork; lazy: KeyedWork };
  readonly #refusals = new Map<string, MeshError>();
  #steps = new Map<string, { readonly step: Step }>();

  constructor(deps: ApplierDeps) {
    this.#deps = deps;
    const common = {
      clock: deps.clock,
      random: deps.random,
      backoff: BACKOFF,
      run: (key: string) => this.#run(key),
      onFailure: (key: string, error: unknown, attempt: number) => this.#onFailure(key, error, attempt),
    };
    this.#work = {
      urgent: new KeyedWork({ ...common, concurrency: CONCURRENCY, spacingMs: 0 }),
      lazy: new KeyedWork({ ...common, concurrency: 1, spacingMs: LAZY_SPACING_MS }),
    };
  }

  /** What the API server refused as invalid (KUBE_INVALID) and still does, by `stepKey`. */
  get refusals(): ReadonlyMap<string, MeshError> {
    return this.#refusals;
  }

  /** These steps and no others are to be done now. */
  plan(steps: readonly Step[]): void {
    const next = new Map(steps.map((step) => [stepKey(step), { step }]));
    for (const key of this.#steps.keys()) {
      if (next.has(key)) continue;
      this.#work.urgent.drop(key);
      this.#work.lazy.drop(key);
      this.#accepted(key);
    }
    const before = this.#steps;
    this.#steps = next;
    for (const [key, { step }] of next) {
      const work = step.lazy === true ? this.#work.lazy : this.#work.urgent;
      const other = step.lazy === true ? this.#work.urgent : this.#work.lazy;
      other.drop(key);
      // Whether it is the same step matters only to one that has failed: to compare all of them takes long.
      const former = work.hasFailed(key) ? before.get(key)?.step : step;
      if (former !== undefined && (former === step || stepDigest(former) === stepDigest(step))) work.add(key);
      else work.kick(key);
    }
  }

  async close(): Promise<void> {
    this.#steps.clear();
    await Promise.all([this.#work.urgent.close(), this.#work.lazy.close()]);
  }

  async #run(key: string): Promise<void> {
    const planned = this.#steps.get(key);
    if (planned === undefined) return;
    await this.#apply(planned.step);
    // Done: only a later plan may ask for it again.
    if (this.#steps.get(key) === planned) this.#steps.delete(key);
    this.#accepted(key);
  }

  async #apply(step: Step): Promise<void> {
    const { kube, log } = this.#deps;
    const { type, name, namespace } = step;
    switch (step.action) {
      case "create":
        await kube.create(type, step.object);
        break;
      case "replace":
        await kube.replace(type, step.object);
        break;
      case "delete":
        await kube.delete(type, name, namespace, step.uid === undefined ? {} : { uid: step.uid });
        break;
      case "edit": {
        const current = await kube.get(type, name, namespace);
        const next = current && step.edit(current);
        if (next === undefined) return;
        if (step.part === "status") await kube.replaceStatus(type, next);
        else await kube.replace(type, next);
        break;
      }
      default:
        return step satisfies never;
    }
    log.debug("kube.applied", { action: step.action, kind: type.kind, namespace, name });
  }

  #onFailure(key: string, error: unknown, attempt: number): void {
    // Somebody else was quicker: what they wrote is about to reach the informer, and with it another plan.
    if (hasCode(error, "KUBE_CONFLICT", "KUBE_NOT_FOUND") && attempt < 3) return;
    const level = attempt % REPORT_EVERY === 0 ? "warn" : "debug";
    this.#deps.log[level]("kube.apply_failed", { object: key, attempt, reason: errorText(error) });
    if (!hasCode(error, "KUBE_INVALID") || !this.#steps.has(key)) return;
    const known = this.#refusals.get(key);
    this.#refusals.set(key, asMeshError(error, "KUBE_INVALID", `write ${key}`));
    if (known?.message !== error.message) this.#deps.onRefusalsChanged();
  }

  #accepted(key: string): void {
    if (this.#refusals.delete(key)) this.#deps.onRefusalsChanged();
  }
}
