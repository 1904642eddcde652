import { ManualClock } from "../core/clock.ts";
import { MemoryStore } from "./memory-store.ts";
import { describeStoreContract } from "./store.contract.ts";

let clock = new ManualClock();
let store: MemoryStore | undefined;

describeStoreContract("memory", {
  async open(options = {}) {
    store ??= new MemoryStore({ clock, ...options });
    return store;
  },
  elapse: () => clock.advance(10),
  async reset() {
    await store?.close();
    store = undefined;
    clock = new ManualClock();
  },
});
