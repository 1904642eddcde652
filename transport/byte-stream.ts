/**
 * Who uses a byte stream. Callbacks run synchronously inside the read; they never run after `onClose`, which is
 * called exactly once.
 */
export interface ByteStreamUser {
  /**
   * Bytes 0 to `length` of `buffer` have arrived. The buffer is shared by all streams and is overwritten after
   * the return: consume or copy.
   */
  onRead(buffer: Buffer, length: number): void;
  /** The peer will send no more; writing is still possible. */
  onEnd(): void;
  /** All that was accepted by `write` has been handed to the kernel after a `false`. */
  onDrain(): void;
  /** Gone. `error` is undefined after an orderly end, else a MeshError (STREAM_CLOSED, TLS_HANDSHAKE, …). */
  onClose(error: Error | undefined): void;
}

/**
 * A connected, bidirectional byte stream: TCP, unix or TLS. Two adapters keep the same contract (suite:
 * byte-stream.contract.ts): `handle`, on the libuv handle without Node's streams, and `net`, on plain sockets.
 */
export interface ByteStream {
  /** Who is called back; may be replaced at any time (a pooled connection changes hands). */
  user: ByteStreamUser;
  /**
   * Sends `buffer[start, end)`. The bytes are taken before the return: the caller may overwrite the buffer at
   * once. False: the kernel has not taken all of it; stop the source until `onDrain`. At most `maxPendingBytes`
   * wait; over that the stream is destroyed with LIMIT_EXCEEDED.
   */
  write(buffer: Buffer, start: number, end: number): boolean;
  pause(): void;
  resume(): void;
  /** Sends FIN (close_notify first under TLS) after what is pending; reading goes on. */
  end(): void;
  /** Drops the connection now; `reset` sends RST. `onClose` follows, never from within this call. */
  destroy(error?: Error, reset?: boolean): void;
  readonly closed: boolean;
  /** Bytes accepted and not yet taken by the kernel. */
  readonly pendingBytes: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}
