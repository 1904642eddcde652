import { MeshError } from "../core/errors.ts";

// Protocol Buffers (https://protobuf.dev/programming-guides/encoding) by the tables of protos/gen/tables: what a process
// needs that cannot afford protobufjs' reflection. Values are those of protos/gen: 64-bit integers are strings, enums
// their names, a message that is not there null, and a oneof names its member.

export type FieldKind = "string" | "bytes" | "bool" | "uint32" | "int64" | "uint64" | "double" | "enum" | "message";

export interface Field {
  readonly id: number;
  readonly name: string;
  readonly kind: FieldKind;
  readonly repeated?: true;
  /** The oneof that it is a member of. */
  readonly oneof?: string;
  /** Of kind `message`. */
  readonly message?: string;
  /** Of kind `enum`: names by number. */
  readonly values?: Readonly<Record<number, string>>;
}

/** Fields of each message, in the order of their numbers. */
export type Schema = Readonly<Record<string, readonly Field[]>>;

/** A method of a gRPC service. */
export interface Method<Request extends object, Response> {
  /** "/<package>.<Service>/<Method>" */
  readonly path: string;
  encode(request: Request): Buffer;
  /** @throws MeshError PROTOCOL_VIOLATION */
  decode(bytes: Buffer): Response;
}

type Message = Record<string, unknown>;

/** Of one message with all that is in it: what is empty takes no bytes on the wire, but memory here. */
const MAX_ELEMENTS = 200_000;
const MAX_DEPTH = 16;
const MAX_VARINT_BITS = 70;
const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

function wireTypeOf(kind: FieldKind): number {
  if (kind === "double") return WIRE.fixed64;
  return kind === "string" || kind === "bytes" || kind === "message" ? WIRE.bytes : WIRE.varint;
}

/** For the generated tables, which have the types of the same .proto file. */
export function defineMethod<Request extends object, Response>(
  path: string,
  schema: Schema,
  request: string,
  response: string,
): Method<Request, Response> {
  return {
    path,
    encode: (value) => encodeMessage(schema, request, value),
    decode: (bytes) => decodeMessage(schema, response, bytes) as Response,
  };
}

/** The message `name` of what is set in `value`; null and undefined are not. */
export function encodeMessage(schema: Schema, name: string, value: object): Buffer {
  const parts: Buffer[] = [];
  for (const field of schema[name] ?? []) {
    const given: unknown = Reflect.get(value, field.name);
    if (given === undefined || given === null) continue;
    const values = (field.repeated ? given : [given]) as readonly unknown[];
    const packed = field.repeated === true && wireTypeOf(field.kind) !== WIRE.bytes;
    if (packed && values.length > 0) {
      const body = Buffer.concat(values.map((each) => encodeValue(schema, field, each)));
      parts.push(varint(BigInt(field.id * 8 + WIRE.bytes)), varint(BigInt(body.length)), body);
    } else {
      const tag = varint(BigInt(field.id * 8 + wireTypeOf(field.kind)));
      for (const each of values) parts.push(tag, encodeValue(schema, field, each));
    }
  }
  return Buffer.concat(parts);
}

/** Without its tag. */
function encodeValue(schema: Schema, { kind, message = "", values = {} }: Field, value: unknown): Buffer {
  switch (kind) {
    case "string":
      return delimited(Buffer.from(String(value)));
    case "bytes":
      return delimited(value as Uint8Array);
    case "message":
      return delimited(encodeMessage(schema, message, value as object));
    case "bool":
      return varint(value === true ? 1n : 0n);
    case "uint32":
      return varint(BigInt.asUintN(32, BigInt(value as number)));
    case "int64":
    case "uint64":
      return varint(BigInt.asUintN(64, BigInt(value as string | number)));
    case "enum": {
      const number = Object.keys(values).find((each) => values[Number(each)] === value) ?? String(value);
      return varint(BigInt.asUintN(64, BigInt(number)));
    }
    case "double": {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(Number(value));
      return bytes;
    }
    default:
      return kind satisfies never;
  }
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

function delimited(bytes: Uint8Array): Buffer {
  return Buffer.concat([varint(BigInt(bytes.length)), bytes]);
}

/**
 * The message `name`, whole: what is not set has its default. Unknown fields are left out.
 * @throws MeshError PROTOCOL_VIOLATION for what is no such message, or has more than 200,000 elements
 */
export function decodeMessage(schema: Schema, name: string, bytes: Buffer): object {
  return new Reader(schema, bytes).message(name, bytes.length, 0);
}

function broken(why: string): MeshError {
  return new MeshError("PROTOCOL_VIOLATION", `Cannot read message: ${why}.`);
}

class Reader {
  readonly #schema: Schema;
  readonly #bytes: Buffer;
  #at = 0;
  #elements = 0;
  /** Halves of the varint read last. */
  #low = 0;
  #high = 0;

  constructor(schema: Schema, bytes: Buffer) {
    this.#schema = schema;
    this.#bytes = bytes;
  }

  message(name: string, end: number, depth: number): Message {
    if (depth > MAX_DEPTH) throw broken("it is nested too deeply");
    const fields = this.#schema[name] ?? [];
    const value = blank(fields);
    while (this.#at < end) {
      this.#varint();
      const id = this.#low >>> 3;
      const wire = this.#low & 7;
      const field = fields.find((candidate) => candidate.id === id);
      if (id === 0 || this.#high !== 0) throw broken("a field has no number");
      if (field === undefined) this.#skip(wire);
      else if (wire === wireTypeOf(field.kind)) this.#put(value, fields, field, this.#value(field, depth));
      else if (wire === WIRE.bytes && field.repeated) {
        const until = this.#span();
        while (this.#at < until) this.#put(value, fields, field, this.#value(field, depth));
        if (this.#at > until) throw broken("a packed field ends within a value");
      } else throw broken(`field ${id} of ${name} is of another type`);
      if (this.#at > end) throw broken("a field ends outside of its message");
    }
    return value;
  }

  #put(value: Message, fields: readonly Field[], field: Field, read: unknown): void {
    if (++this.#elements > MAX_ELEMENTS) throw broken(`it has more than ${MAX_ELEMENTS} elements`);
    const { name, oneof } = field;
    if (field.repeated) {
      (value[name] as unknown[]).push(read);
      return;
    }
    if (oneof !== undefined) {
      for (const other of fields) if (other.oneof === oneof) delete value[other.name];
      value[oneof] = name;
    }
    value[name] = read;
  }

  #value({ kind, message = "", values = {} }: Field, depth: number): unknown {
    switch (kind) {
      case "string": {
        const end = this.#span();
        return this.#bytes.toString("utf8", this.#take(end), end);
      }
      case "bytes": {
        const end = this.#span();
        // A copy: what is kept for long must not hold the whole message.
        return Buffer.from(this.#bytes.subarray(this.#take(end), end));
      }
      case "message": {
        const end = this.#span();
        return this.message(message, end, depth + 1);
      }
      case "double":
        this.#need(8);
        return this.#bytes.readDoubleLE(this.#take(this.#at + 8));
      default:
        this.#varint();
    }
    switch (kind) {
      case "bool":
        return this.#low !== 0 || this.#high !== 0;
      case "uint32":
        return this.#low >>> 0;
      case "enum":
        return values[this.#low] ?? this.#low;
      case "uint64":
        return this.#wide().toString();
      case "int64":
        return BigInt.asIntN(64, this.#wide()).toString();
      default:
        return kind satisfies never;
    }
  }

  #wide(): bigint {
    return (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0);
  }

  #skip(wire: number): void {
    if (wire === WIRE.varint) this.#varint();
    else if (wire === WIRE.bytes) this.#take(this.#span());
    else if (wire === WIRE.fixed64 || wire === WIRE.fixed32) {
      const length = wire === WIRE.fixed64 ? 8 : 4;
      this.#need(length);
      this.#at += length;
    } else throw broken(`there is no wire type ${wire}`);
  }

  /** Moves to `end`; where it was. */
  #take(end: number): number {
    const at = this.#at;
    this.#at = end;
    return at;
  }

  /** Reads a length; where what has it ends. */
  #span(): number {
    this.#varint();
    const length = this.#low >>> 0;
    if (this.#high !== 0) throw broken("a length is out of range");
    this.#need(length);
    return this.#at + length;
  }

  #need(length: number): void {
    if (length > this.#bytes.length - this.#at) throw broken("it is cut short");
  }

  #varint(): void {
    this.#low = 0;
    this.#high = 0;
    for (let shift = 0; shift < MAX_VARINT_BITS; shift += 7) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw broken("it is cut short");
      const bits = byte & 0x7f;
      if (shift < 32) this.#low |= bits << shift;
      if (shift === 28) this.#high |= bits >>> 4;
      else if (shift > 28) this.#high |= bits << (shift - 32);
      if (byte < 0x80) return;
    }
    throw broken("a number has more than 64 bits");
  }
}

function blank(fields: readonly Field[]): Message {
  const value: Message = {};
  for (const field of fields) if (field.oneof === undefined) value[field.name] = blankOf(field);
  return value;
}

function blankOf({ kind, repeated, values = {} }: Field): unknown {
  if (repeated) return [];
  switch (kind) {
    case "string":
      return "";
    case "bytes":
      return Buffer.alloc(0);
    case "bool":
      return false;
    case "uint32":
    case "double":
      return 0;
    case "int64":
    case "uint64":
      return "0";
    case "enum":
      return values[0];
    case "message":
      return null;
    default:
      return kind satisfies never;
  }
}
