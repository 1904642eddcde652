import type { ByteStream, ByteStreamUser } from "../transport/byte-stream.ts";

/** The inbound side of a workload in this process. */
export interface Neighbour {
  /** Of its certificate, leaf first, DER. */
  readonly chain: readonly Buffer[];
  /** Takes a connection as if it had come over TLS from whoever shows `chain`. @throws MeshError to refuse it */
  accept(stream: ByteStream, chain: readonly Buffer[]): ByteStreamUser;
}

/**
 * The workloads of a process by where other proxies dial them. A call from one to another needs no socket and no
 * cipher between them: both show their certificates to each other and verify them as they would over TLS.
 */
export class Hops {
  readonly #neighbours = new Map<string, Neighbour>();

  /** `port` 0 would be nobody. The returned function takes it away. */
  add(host: string, port: number, neighbour: Neighbour): () => void {
    const key = `${host} ${port}`;
    this.#neighbours.set(key, neighbour);
    return () => {
      if (this.#neighbours.get(key) === neighbour) this.#neighbours.delete(key);
    };
  }

  find(host: string, port: number): Neighbour | undefined {
    return this.#neighbours.get(`${host} ${port}`);
  }
}
