import assert from "node:assert/strict";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";
import fc from "fast-check";
import { hasCode } from "../core/errors.ts";
import { decodeMessage, encodeMessage, type Field, type Schema } from "./codec.ts";
import { MESSAGES as DISCOVERY } from "./gen/tables/discovery.ts";
import { MESSAGES as IDENTITY } from "./gen/tables/identity.ts";

/** As protos/load.ts has protobufjs read messages. */
const OPTIONS = { longs: String, enums: String, defaults: true, oneofs: true };
type Oracle = MessageTypeDefinition<object, object>;

function oraclesOf(file: string): (message: string) => Oracle {
  const includeDirs = [dirname(fileURLToPath(import.meta.url))];
  const definitions = loadSync(`causeway/${file}`, { ...OPTIONS, includeDirs });
  const prefix = file.split("/").slice(0, -1).join(".");
  return (message) => definitions[`causeway.${prefix}.${message}`] as Oracle;
}

function fieldValue(schema: Schema, { kind, message = "", values = {} }: Field, depth: number): fc.Arbitrary<unknown> {
  switch (kind) {
    case "string":
      return fc.string({ unit: "grapheme", maxLength: 200 });
    case "bytes":
      return fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    case "bool":
      return fc.boolean();
    case "uint32":
      return fc.nat({ max: 0xffff_ffff });
    case "int64":
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
    case "uint64":
      return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
    case "double":
      return fc.double();
    case "enum":
      return fc.constantFrom(...Object.values(values));
    case "message":
      return messageOf(schema, message, depth + 1);
    default:
      return kind satisfies never;
  }
}

/** Values of a message as callers give them: any fields may be missing, and of a oneof there is one at most. */
function messageOf(schema: Schema, name: string, depth = 0): fc.Arbitrary<object> {
  const fields = schema[name] ?? [];
  const shallow = depth > 3 ? fields.filter(({ kind }) => kind !== "message") : fields;
  const record = (some: readonly Field[]) =>
    fc.record(
      Object.fromEntries(
        some.map((field) => {
          const value = fieldValue(schema, field, depth);
          return [field.name, field.repeated ? fc.array(value, { maxLength: 4 }) : value];
        }),
      ),
      { requiredKeys: [] },
    );
  const members = shallow.filter(({ oneof }) => oneof !== undefined);
  const rest = record(shallow.filter(({ oneof }) => oneof === undefined));
  if (members.length === 0) return rest;
  return fc.tuple(rest, fc.oneof(...members.map((member) => record([member])))).map(([a, b]) => ({ ...a, ...b }));
}

/** Whether there is a oneof in it. Of two members on the wire the last one counts (the specification); protobufjs keeps both. */
function hasOneof(schema: Schema, name: string): boolean {
  return (schema[name] ?? []).some(
    ({ oneof, message }) => oneof !== undefined || (message !== undefined && hasOneof(schema, message)),
  );
}

for (const [file, schema] of [
  ["identity/v1/identity.proto", IDENTITY],
  ["discovery/v1/discovery.proto", DISCOVERY],
] as const) {
  const oracleOf = oraclesOf(file);

  describe(`the codec of ${file}`, () => {
    for (const name of Object.keys(schema)) {
      it(`writes and reads ${name} as protobufjs does`, () => {
        const { serialize, deserialize } = oracleOf(name);
        fc.assert(
          fc.property(messageOf(schema, name), (value) => {
            const bytes = encodeMessage(schema, name, value);
            assert.deepEqual(bytes, Buffer.from(serialize(value)));
            assert.deepEqual(decodeMessage(schema, name, bytes), deserialize(bytes));
          }),
          { numRuns: 60 },
        );
      });
    }

    it("reads bytes that were cut or changed as protobufjs does, or refuses them", () => {
      const names = fc.constantFrom(...Object.keys(schema));
      const spoiled = names.chain((name) =>
        fc.tuple(fc.constant(name), messageOf(schema, name), fc.nat(), fc.nat({ max: 255 }), fc.boolean()),
      );
      let read = 0;
      fc.assert(
        fc.property(spoiled, ([name, value, place, byte, cut]) => {
          const whole = encodeMessage(schema, name, value);
          const at = place % (whole.length + 1);
          const bytes = cut ? whole.subarray(0, at) : Buffer.from(whole);
          if (!cut && at < bytes.length) bytes[at] = byte;
          let ours: object;
          try {
            ours = decodeMessage(schema, name, bytes);
          } catch (error) {
            assert.ok(hasCode(error, "PROTOCOL_VIOLATION"), String(error));
            return;
          }
          read++;
          let theirs: object;
          try {
            theirs = oracleOf(name).deserialize(bytes);
          } catch {
            // It wants more bytes behind a number than that number has.
            return;
          }
          if (!hasOneof(schema, name)) assert.deepEqual(ours, theirs);
        }),
        { numRuns: 1_000 },
      );
      assert.ok(read > 100, `${read} were read`);
    });
  });
}

describe("decodeMessage()", () => {
  const SCHEMA: Schema = {
    Row: [
      { id: 1, name: "text", kind: "string" },
      { id: 2, name: "numbers", kind: "uint32", repeated: true },
      { id: 3, name: "row", kind: "message", message: "Row" },
      { id: 4, name: "rows", kind: "message", message: "Row", repeated: true },
    ],
  };
  const read = (...bytes: number[]) => decodeMessage(SCHEMA, "Row", Buffer.from(bytes));
  const refuses = (bytes: readonly number[] | Buffer) =>
    assert.throws(
      () => decodeMessage(SCHEMA, "Row", Buffer.from(bytes)),
      (error) => hasCode(error, "PROTOCOL_VIOLATION"),
    );

  it("leaves out fields that it does not know", () => {
    const unknown = [0x28, 0x96, 0x01, 0x32, 0x02, 0x08, 0x01, 0x39, 1, 2, 3, 4, 5, 6, 7, 8, 0x45, 1, 2, 3, 4];
    assert.deepEqual(read(...unknown, 0x0a, 1, 0x78), { text: "x", numbers: [], row: null, rows: [] });
  });

  it("takes the last of the members of a oneof", () => {
    const bytes = Buffer.concat([
      encodeMessage(DISCOVERY, "WatchRequest", { hello: { pod: "a" } }),
      encodeMessage(DISCOVERY, "WatchRequest", { subscribe: { authorities: ["b"] } }),
    ]);
    const last = { body: "subscribe", subscribe: { authorities: ["b"] } };
    assert.deepEqual(decodeMessage(DISCOVERY, "WatchRequest", bytes), last);
  });

  it("reads repeated numbers, packed and one by one", () => {
    assert.deepEqual(read(0x10, 1, 0x12, 3, 2, 0x96, 0x01, 0x10, 4), {
      ...{ text: "", row: null, rows: [] },
      numbers: [1, 2, 150, 4],
    });
  });

  it("refuses what ends early, is of a wrong type, or has no field number", () => {
    for (const bytes of [[0x0a], [0x0a, 5, 1], [0x0a, 0x80], [0x08, 1], [0x02, 1], [0x0b], [0x12, 2, 0x96]])
      refuses(bytes);
    refuses([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    // A field of the inner message that reaches into the outer one.
    refuses([0x1a, 2, 0x0a, 2, 0x0a, 0]);
  });

  it("bounds depth and number of elements, whatever few bytes say them", () => {
    let nested = Buffer.alloc(0);
    for (let i = 0; i < 20; i++) nested = Buffer.concat([Buffer.from([0x1a, nested.length]), nested]);
    refuses(nested);
    refuses(Buffer.alloc(2 * 200_001, Buffer.from([0x22, 0])));
  });
});
