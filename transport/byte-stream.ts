/**
 * Who uses a byte stream. Callbacks run synchronously inside the read; they never run after `onClose`, which is
 * called exactly once. One that throws costs its own stream only: it is destroyed with INTERNAL.
 */
export interface ByteStreamUser {
  /**
   * Bytes 0 to `length` of `buffer` have arrived. The buffer is shared by all streams and is overwritten after
   * the return: consume or copy. Never called between `pause` and `resume`.
   */
  onRead(buffer: Buffer, length: number): void;
  /** The peer will send no more; writing is still possible. */
  onEnd(): void;
  /** After a `write` that returned false: all that was accepted has been handed to the kernel. */
  onDrain(): void;
  /** The peer is silent (multiplexed, on the side that dialled): what may be sent elsewhere should be. */
  onStall?(): void;
  /** Gone. `error` is undefined after an orderly end, else a MeshError (STREAM_CLOSED, TLS_HANDSHAKE, …). */
  onClose(error: Error | undefined): void;
}

/**
 * A connected, bidirectional byte stream: TCP, unix or TLS. Two adapters keep the same contract (suite:
 * byte-stream.contract.ts): `handle`, on the libuv handle without Node's streams, and `net`, on plain sockets.
 * It closes by itself once both directions have ended.
 */
export interface ByteStream {
  /** Who is called back; may be replaced at any time (a pooled connection changes hands). */
  user: ByteStreamUser;
  /**
   * Longest read that the user can take, 64 KiB unless raised. A bulk flow on a stream with more gets a buffer of
   * its own, which a `write` inside `onRead` passes on without a copy.
   */
  maxReadBytes: number;
  /**
   * Sends `buffer[start, end)`. The bytes are taken before the return: the caller may overwrite the buffer at
   * once. False: enough waits; stop the source until `onDrain`. At most `maxPendingBytes` of the transport wait;
   * a write that finds more waiting destroys the stream with LIMIT_EXCEEDED. Does nothing after `end` or a close.
   */
  write(buffer: Buffer, start: number, end: number): boolean;
  pause(): void;
  resume(): void;
  /** Sends FIN (close_notify first under TLS) after what is pending; reading goes on. */
  end(): void;
  /** Drops the connection now; `reset` sends RST. `onClose` follows, never from within this call. */
  destroy(error?: Error, reset?: boolean): void;
  /**
   * Closes, and lets the peer know that nothing was read of what it has sent since the last answer: it may send that
   * elsewhere. Only where the connection can say so (multiplexed, on the accepting side).
   */
  readonly refuse?: () => void;
  /** Nothing new is to be begun on it: the connection that carries it ends with what is under way. Absent: false. */
  readonly retiring?: boolean;
  readonly closed: boolean;
  /** Bytes accepted and not yet taken by the kernel. */
  readonly pendingBytes: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Of its file, negative once closed; absent where no socket of its own is behind it. */
  readonly descriptor?: number;
}
