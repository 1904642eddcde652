import type { Controller, ControllerContext } from "./controller.ts";
import { WorkQueue } from "./work-queue.ts";

/** Starts controllers on a store; the returned function stops them. */
export function runControllers(context: ControllerContext, controllers: readonly Controller[]): () => void {
  const { store, clock, log } = context;
  const stops: (() => void)[] = [];
  for (const controller of controllers) {
    const queue = new WorkQueue({ work: controller.reconcile, clock, log: log.child({ controller: controller.name }) });
    stops.push(
      store.subscribe((event) => {
        for (const key of controller.keysOf(event)) queue.add(key);
      }),
      () => queue.close(),
    );
    for (const key of controller.allKeys()) queue.add(key);
  }
  return () => {
    for (const stop of stops) stop();
  };
}
