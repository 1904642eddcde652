// Where a redirected connection was going to. Reads socket options that Node has no words for, through koffi, which
// is loaded for this only: a proxy without interception pays nothing for it.
import { endianness } from "node:os";
import { errorText, MeshError } from "../core/errors.ts";

/** `redirect`: nftables' redirect, which conntrack remembers. `tproxy`: the socket's own address is the destination. */
export type InterceptMode = "redirect" | "tproxy";

export interface Destination {
  /** As text; IPv6 in its canonical form (RFC 5952), without brackets. */
  readonly address: string;
  readonly port: number;
}

/** What of an accepted connection is asked for. */
export interface AcceptedSocket {
  /** Of the file; negative where there is none. */
  readonly descriptor: number;
  readonly localAddress: string;
  readonly localPort: number;
}

export interface OriginalDestinations {
  readonly mode: InterceptMode;
  /** To be called with a listening socket before redirected connections may come. @throws MeshError INTERCEPTION */
  prepare(descriptor: number): void;
  /** Where the client of `socket` meant to go, possibly here; undefined where nothing is known of it. */
  of(socket: AcceptedSocket): Destination | undefined;
}

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOL_IP = 0;
const SOL_IPV6 = 41;
/** SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST of Linux' netfilter. */
const ORIGINAL_DESTINATION = 80;
const IP_TRANSPARENT = 19;
const IPV6_TRANSPARENT = 75;
const ENOENT = 2;
const ENOPROTOOPT = 92;
const SOCKADDR_IN6_BYTES = 28;

interface Libc {
  socket(family: number, type: number, protocol: number): number;
  close(fd: number): number;
  getsockopt(fd: number, level: number, name: number, value: Buffer, length: number[]): number;
  setsockopt(fd: number, level: number, name: number, value: Buffer, length: number): number;
  errno(): number;
}

/** @throws MeshError INTERCEPTION where this machine or process cannot do it: the reason and the remedy are in it */
export async function loadOriginalDestinations(mode: InterceptMode): Promise<OriginalDestinations> {
  if (process.platform !== "linux") throw unable(`${process.platform} has no netfilter`, "Run on Linux");
  const libc = await loadLibc();
  selfTest(libc, mode);
  return mode === "redirect" ? new Redirected(libc) : new Transparent(libc);
}

function unable(state: string, remedy: string, cause?: unknown): MeshError {
  return new MeshError("INTERCEPTION", `Cannot intercept connections: ${state}. ${remedy}, or use --intercept none.`, {
    cause,
  });
}

async function loadLibc(): Promise<Libc> {
  try {
    const { default: koffi } = await import("koffi");
    const c = koffi.load(null);
    return {
      socket: c.func("int socket(int family, int type, int protocol)"),
      close: c.func("int close(int fd)"),
      getsockopt: c.func("int getsockopt(int fd, int level, int name, void *value, _Inout_ uint32_t *length)"),
      setsockopt: c.func("int setsockopt(int fd, int level, int name, void *value, uint32_t length)"),
      errno: () => koffi.errno(),
    };
  } catch (error) {
    throw unable(`koffi cannot be loaded (${errorText(error)})`, "Install it for this platform", error);
  }
}

/** Asks of a fresh socket what will be asked of accepted ones. */
function selfTest(libc: Libc, mode: InterceptMode): void {
  const fd = libc.socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) throw unable(`no socket can be made (errno ${libc.errno()})`, "See the limits of this process");
  try {
    if (mode === "tproxy") {
      setTransparent(libc, fd);
      return;
    }
    const status = libc.getsockopt(fd, SOL_IP, ORIGINAL_DESTINATION, Buffer.alloc(SOCKADDR_IN6_BYTES), [16]);
    const errno = libc.errno();
    // No connection, so nothing that conntrack could know of: that it says so is what is wanted.
    if (status === 0 || errno === ENOENT) return;
    if (errno === ENOPROTOOPT)
      throw unable("the kernel tracks no connections", "Apply the rules first (mesh proxy-init), or load nf_conntrack");
    throw unable(`SO_ORIGINAL_DST is refused (errno ${errno})`, "See what confines this process");
  } finally {
    libc.close(fd);
  }
}

function setTransparent(libc: Libc, fd: number): void {
  const on = Buffer.alloc(4);
  if (endianness() === "LE") on.writeInt32LE(1);
  else on.writeInt32BE(1);
  const failed = libc.setsockopt(fd, SOL_IP, IP_TRANSPARENT, on, on.length) !== 0;
  if (failed) throw unable(`IP_TRANSPARENT is refused (errno ${libc.errno()})`, "Give the proxy CAP_NET_ADMIN");
  // Fails on an IPv4 socket, which needs no more.
  libc.setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, on, on.length);
}

class Redirected implements OriginalDestinations {
  readonly mode = "redirect";
  readonly #libc: Libc;
  readonly #value = Buffer.alloc(SOCKADDR_IN6_BYTES);

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  prepare(): void {}

  of({ descriptor, localAddress }: AcceptedSocket): Destination | undefined {
    if (descriptor < 0) return undefined;
    const level = isIPv4(localAddress) ? SOL_IP : SOL_IPV6;
    const value = this.#value;
    const status = this.#libc.getsockopt(descriptor, level, ORIGINAL_DESTINATION, value, [value.length]);
    return status === 0 ? parseSockaddr(value) : undefined;
  }
}

class Transparent implements OriginalDestinations {
  readonly mode = "tproxy";
  readonly #libc: Libc;

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  prepare(descriptor: number): void {
    setTransparent(this.#libc, descriptor);
  }

  of({ localAddress, localPort }: AcceptedSocket): Destination {
    return { address: plainAddress(localAddress), port: localPort };
  }
}

/** An IPv4 address that a dual-stack socket shows as `::ffff:192.0.2.1`, as itself. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

function isIPv4(address: string): boolean {
  return !plainAddress(address).includes(":");
}

/** Reads a sockaddr_in or sockaddr_in6 as the kernel lays it out; undefined for another family. */
export function parseSockaddr(b: Buffer): Destination | undefined {
  const family = endianness() === "LE" ? b.readUInt16LE(0) : b.readUInt16BE(0);
  const port = b.readUInt16BE(2);
  if (family === AF_INET) return { address: [...b.subarray(4, 8)].join("."), port };
  if (family !== AF_INET6) return undefined;
  const groups = Array.from({ length: 8 }, (_, i) => b.readUInt16BE(8 + 2 * i).toString(16));
  // The URL parser writes IPv6 addresses in their canonical form.
  return { address: plainAddress(new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1)), port };
}
