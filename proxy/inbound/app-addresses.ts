import type { SocketAddress } from "../../transport/transport.ts";

/** Linux takes no longer names of sockets, and what is longer would be cut. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Whether `path` can name the unix socket of an app. */
export function isSocketPath(path: string): boolean {
  return path.startsWith("/") && !path.includes("\0") && Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES;
}

export interface AppPlace {
  /** Where the app listens by TCP. */
  readonly host: string;
  /** Absolute paths of unix sockets by port, set by hand: they come before what control says. */
  readonly sockets?: Readonly<Record<string, string>>;
}

/** Where the app takes connections for each of its ports: a unix socket where there is one, which costs less, or TCP. */
export class AppAddresses {
  readonly #place: AppPlace;
  readonly #pod: string;
  #byControl: ReadonlyMap<number, string> = new Map();
  readonly #known = new Map<number, SocketAddress>();

  /** `pod` stands for `$(POD_NAME)` in paths, where pods share one file system. */
  constructor(place: AppPlace, pod: string) {
    this.#place = place;
    this.#pod = pod;
  }

  /** The sockets that control names, all of them; returns the ports that are elsewhere now. */
  apply(sockets: ReadonlyMap<number, string>): number[] {
    const before = new Map(this.#known);
    this.#byControl = sockets;
    this.#known.clear();
    return [...before].filter(([port, address]) => !same(address, this.of(port))).map(([port]) => port);
  }

  of(port: number): SocketAddress {
    const known = this.#known.get(port);
    if (known !== undefined) return known;
    const socket = this.#place.sockets?.[String(port)] ?? this.#byControl.get(port) ?? "";
    const path = socket.replaceAll("$(POD_NAME)", this.#pod);
    const address = isSocketPath(path) ? { path } : { host: this.#place.host, port };
    this.#known.set(port, address);
    return address;
  }

  /** Why no connection could be made, for the caller: paths are nobody else's business. */
  refusal(port: number): string {
    return "path" in this.of(port)
      ? "its unix socket is missing or takes no connection. See the app-socket setting."
      : "it takes no connection.";
  }
}

function same(a: SocketAddress, b: SocketAddress): boolean {
  if ("path" in a || "path" in b) return "path" in a && "path" in b && a.path === b.path;
  return a.host === b.host && a.port === b.port;
}
