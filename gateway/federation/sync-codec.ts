import {
  type ChannelCredentials,
  type ChannelOptions,
  type ClientDuplexStream,
  makeClientConstructor,
} from "@grpc/grpc-js";
import { errorText, MeshError } from "../../core/errors.ts";
import type { SyncMessage, SyncMessage__Output } from "../../protos/gen/causeway/federation/v1/SyncMessage.ts";
import { loadFederation } from "../../protos/load.ts";
import { LIMITS } from "./limits.ts";

/** What came of one gRPC message: a message of the protocol, or why it is none. */
export interface Incoming {
  readonly bytes: number;
  readonly body: SyncMessage__Output | MeshError;
}

/** By field number what a field holds: a message of that shape, or strings, bytes, packed numbers. */
interface Shape {
  readonly [field: number]: Shape | "strings" | "numbers";
}

const SERVICE: Shape = { 3: {}, 8: { 5: "numbers", 6: "numbers" } };
const ENDPOINTS: Shape = { 3: { 5: {} } };
const RESOURCE: Shape = { 2: SERVICE, 3: ENDPOINTS, 4: { 3: "strings" }, 5: {} };
const SYNC: Shape = { 1: {}, 2: { 6: RESOURCE, 7: "strings" }, 3: { 5: {} }, 4: { 1: {} }, 5: {}, 6: {} };

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/**
 * Counts what decoding `bytes` would make, before it is made: two bytes can become an object of a hundred.
 * @throws MeshError LIMIT_EXCEEDED; PROTOCOL_VIOLATION for what is no protobuf message (groups are none in proto3)
 */
function weighSyncMessage(bytes: Uint8Array): void {
  weigh(bytes, 0, bytes.length, SYNC, { items: 0, fields: 0 });
}

function weigh(
  bytes: Uint8Array,
  start: number,
  end: number,
  shape: Shape,
  weight: { items: number; fields: number },
): void {
  for (let at = start; at < end; ) {
    let tag = bytes[at++] ?? 0;
    if (tag > 127) {
      const low = tag & 127;
      [tag, at] = varint(bytes, at, end);
      tag = tag * 128 + low;
    }
    const field = Math.floor(tag / 8);
    if (++weight.fields > LIMITS.messageFields) throw tooMuch("fields", LIMITS.messageFields);
    switch (tag % 8) {
      case VARINT:
        [, at] = varint(bytes, at, end);
        break;
      case FIXED64:
        at += 8;
        break;
      case FIXED32:
        at += 4;
        break;
      case LENGTH_DELIMITED: {
        let length: number;
        [length, at] = varint(bytes, at, end);
        if (length > end - at) throw broken();
        const inner = shape[field];
        if (inner !== undefined) {
          // Packed numbers are several in one field, each of them cheap.
          weight.items += inner === "numbers" ? Math.ceil(length / 8) : 1;
          if (weight.items > LIMITS.messageItems) throw tooMuch("parts", LIMITS.messageItems);
          if (typeof inner === "object") weigh(bytes, at, at + length, inner, weight);
        }
        at += length;
        break;
      }
      default:
        throw broken();
    }
    if (at > end) throw broken();
  }
}

/** The value and where it ends. Beyond 2^53 it is not exact, which is only asked of lengths. */
function varint(bytes: Uint8Array, start: number, end: number): [number, number] {
  let value = 0;
  for (let i = 0; i < 10 && start + i < end; i++) {
    const byte = bytes[start + i] ?? 0;
    value += (byte & 127) * 2 ** (7 * i);
    if (byte < 128) return [value, start + i + 1];
  }
  throw broken();
}

function broken(): MeshError {
  return new MeshError("PROTOCOL_VIOLATION", "Cannot read a message: it is not one of the protocol.");
}

function tooMuch(what: string, limit: number): MeshError {
  return new MeshError("LIMIT_EXCEEDED", `Cannot read a message: it has more than ${limit} ${what}.`);
}

const { Federation } = loadFederation();
const { Sync } = Federation.service;

/** Never throws: gRPC would end the call without a word of why. */
export function readSyncMessage(bytes: Buffer): Incoming {
  try {
    if (bytes.length > LIMITS.messageBytes) throw tooMuch("bytes", LIMITS.messageBytes);
    weighSyncMessage(bytes);
    return { bytes: bytes.length, body: Sync.requestDeserialize(bytes) };
  } catch (error) {
    if (error instanceof MeshError) return { bytes: bytes.length, body: error };
    const text = `Cannot read a message: ${errorText(error).slice(0, 100)}.`;
    return { bytes: bytes.length, body: new MeshError("PROTOCOL_VIOLATION", text, { cause: error }) };
  }
}

/** The contract's service with a Sync that reads as readSyncMessage. */
export const FEDERATION_SERVICE = {
  ...Federation.service,
  Sync: { ...Sync, requestDeserialize: readSyncMessage, responseDeserialize: readSyncMessage },
};

const Client = makeClientConstructor(FEDERATION_SERVICE, "Federation");

/** A stream to `target`; `close` lets go of its channel. */
export function openSync(
  target: string,
  credentials: ChannelCredentials,
  options: ChannelOptions,
): { stream: ClientDuplexStream<SyncMessage, Incoming>; close: () => void } {
  const client = new Client(target, credentials, options);
  const { path, requestSerialize } = Sync;
  const stream = client.makeBidiStreamRequest<SyncMessage, Incoming>(path, requestSerialize, readSyncMessage);
  return { stream, close: () => client.close() };
}
