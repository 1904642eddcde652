import { MeshError } from "../../core/errors.ts";
import { textAt } from "./object.ts";
import { StatusError } from "./status.ts";
import type { Store } from "./store/store.ts";

const SERVICES = "/services";

function toNumber(ip: string): number {
  return ip.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function toText(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

/** The addresses of a service range. What is taken is read from the store, so nothing is lost by a restart. */
export class ServiceAddresses {
  readonly #first: number;
  readonly #size: number;
  readonly #taken = new Map<string, number>();
  #next = 0;

  /** @throws MeshError USAGE for a range that is none */
  constructor(cidr: string, store: Store) {
    const match = /^((?:\d{1,3}\.){3}\d{1,3})\/(\d{1,2})$/.exec(cidr);
    const bits = Number(match?.[2]);
    const parts = match?.[1]?.split(".").map(Number) ?? [];
    if (match === null || bits < 8 || bits > 30 || parts.some((part) => part > 255)) {
      throw new MeshError("USAGE", `Cannot use service range "${cidr}": want an IPv4 CIDR like 127.20.128.0/17.`);
    }
    this.#size = 2 ** (32 - bits);
    this.#first = Math.floor(toNumber(match[1] ?? "") / this.#size) * this.#size;
    for (const service of store.values(SERVICES)) this.#count(textAt(service, "spec", "clusterIP"), 1);
    store.subscribe(({ type, resource, object, previous }) => {
      if (resource !== SERVICES) return;
      if (previous !== undefined) this.#count(textAt(previous, "spec", "clusterIP"), -1);
      if (type !== "DELETED") this.#count(textAt(object, "spec", "clusterIP"), 1);
    });
  }

  state(ip: string): "free" | "taken" | "outside" {
    const offset = toNumber(ip) - this.#first;
    if (!(offset > 0 && offset < this.#size - 1)) return "outside";
    return this.#taken.has(ip) ? "taken" : "free";
  }

  /** A free address, preferably one that was not in use lately. @throws StatusError 500 */
  allocate(): string {
    const usable = this.#size - 2;
    for (let tried = 0; tried < usable; tried++) {
      const ip = toText(this.#first + 1 + ((this.#next + tried) % usable));
      if (this.#taken.has(ip)) continue;
      this.#next = (this.#next + tried + 1) % usable;
      return ip;
    }
    throw new StatusError(500, "InternalError", "failed to allocate a service IP: range is full");
  }

  #count(ip: string, by: number): void {
    if (ip === "" || ip === "None") return;
    const count = (this.#taken.get(ip) ?? 0) + by;
    if (count <= 0) this.#taken.delete(ip);
    else this.#taken.set(ip, count);
  }
}
