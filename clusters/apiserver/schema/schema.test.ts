import assert from "node:assert/strict";
import fc from "fast-check";
import { resolveBuiltin } from "./builtin.ts";
import { decode, missingFields } from "./decode.ts";
import { decodeProtobuf } from "./protobuf.ts";
import type { Schema } from "./schema.ts";
import { fillDefaults, prune, validate } from "./structural.ts";

describe("decode()", () => {
  const pod = { ref: "V1Pod" };

  it("drops and lists unknown fields, and reads null as absent", () => {
    const read = decode(
      { spec: { containers: [{ name: "a", imagge: "x", image: null }] }, extra: 1 },
      pod,
      resolveBuiltin,
    );
    assert.deepEqual(read.value, { spec: { containers: [{ name: "a" }] } });
    assert.deepEqual(read.unknown, ["spec.containers[0].imagge", "extra"]);
  });

  it("reports the first value of a wrong type", () => {
    assert.match(
      decode({ spec: { containers: "x" } }, pod, resolveBuiltin).mismatch ?? "",
      /cannot unmarshal string .*spec.containers/,
    );
    assert.match(decode({ data: { a: "%%" } }, { ref: "V1Secret" }, resolveBuiltin).mismatch ?? "", /illegal base64/);
    assert.equal(
      decode({ spec: { ports: [{ port: 1, targetPort: "http" }] } }, { ref: "V1Service" }, resolveBuiltin).mismatch,
      undefined,
    );
  });
});

describe("missingFields()", () => {
  it("names required fields that are absent", () => {
    assert.deepEqual(missingFields({ spec: { ports: [{}] } }, { ref: "V1Service" }, resolveBuiltin), [
      "spec.ports[0].port",
    ]);
  });
});

const SCHEMA: Schema = {
  type: "object",
  required: ["spec"],
  properties: {
    spec: {
      type: "object",
      required: ["mode"],
      properties: {
        mode: { type: "string", enum: ["a", "b"] },
        size: { type: "integer", minimum: 1, maximum: 5, default: 2 },
        name: { type: "string", pattern: "^[a-z]+$", maxLength: 4 },
        list: {
          type: "array",
          maxItems: 2,
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["k"],
          items: { type: "object", properties: { k: { type: "string" } } },
        },
        free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        port: { "x-kubernetes-int-or-string": true },
        either: {
          type: "object",
          oneOf: [{ required: ["x"] }, { required: ["y"] }],
          properties: { x: { type: "string" }, y: { type: "string" } },
        },
      },
    },
  },
};

describe("validate()", () => {
  const messages = (spec: object) => validate({ spec }, SCHEMA, "").map(({ field, message }) => `${field}: ${message}`);

  it("accepts what fits", () => {
    assert.deepEqual(
      messages({ mode: "a", size: 5, name: "abcd", list: [{ k: "1" }, { k: "2" }], port: "http", either: { x: "1" } }),
      [],
    );
  });

  it("words its causes as Kubernetes does", () => {
    assert.deepEqual(messages({}), ["spec.mode: Required value"]);
    assert.deepEqual(messages({ mode: "c" }), ['spec.mode: Unsupported value: "c": supported values: "a", "b"']);
    assert.deepEqual(messages({ mode: "a", size: 9 }), [
      "spec.size: Invalid value: 9: spec.size in body should be less than or equal to 5",
    ]);
    assert.deepEqual(messages({ mode: "a", size: "9" }), [
      'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
    ]);
    assert.deepEqual(messages({ mode: "a", name: "X" }), [
      `spec.name: Invalid value: "X": spec.name in body should match '^[a-z]+$'`,
    ]);
    assert.deepEqual(messages({ mode: "a", list: [{ k: "1" }, { k: "1" }] }), [
      'spec.list[1]: Duplicate value: {"k":"1"}',
    ]);
    assert.equal(messages({ mode: "a", either: { x: "1", y: "2" } }).length, 1);
    assert.equal(messages({ mode: "a", port: 1.5 }).length, 1);
  });
});

describe("prune() and fillDefaults()", () => {
  it("drop unknown fields but keep free-form ones and metadata, then fill in defaults", () => {
    const object = { metadata: { name: "a" }, spec: { mode: "a", nope: 1, free: { any: 1 } }, other: 1 };
    assert.deepEqual(prune(object, SCHEMA), ["spec.nope", "other"]);
    fillDefaults(object, SCHEMA);
    assert.deepEqual(object, { metadata: { name: "a" }, spec: { mode: "a", free: { any: 1 }, size: 2 } });
  });
});

describe("decodeProtobuf()", () => {
  it("reads what kubectl create deployment sends", () => {
    // Deployment web, replicas 0, container web image web:1 with port 80, as kubectl 1.32 encodes it.
    const hex =
      "6b3873000a150a07617070732f7631120a4465706c6f796d656e74" +
      "1241" + // raw, 65 bytes
      "0a050a03776562" + // metadata.name
      "1238" + // spec
      "0800" + // replicas 0, a pointer: it counts
      "120c0a0a0a03617070120377" +
      "6562" + // selector app=web
      "1a24" +
      "0a0e5a0c0a0361707012057765622d31" + // template.metadata.labels app=web-1
      "1212" +
      "1210" +
      "0a0377656212057765623a31" + // name, image
      "3202" +
      "1850"; // ports: containerPort 80
    assert.deepEqual(decodeProtobuf(Buffer.from(hex, "hex")), {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web" },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: "web" } },
        template: {
          metadata: { labels: { app: "web-1" } },
          spec: { containers: [{ name: "web", image: "web:1", ports: [{ containerPort: 80 }] }] },
        },
      },
    });
  });

  it("answers any bytes with a value or a 400", () => {
    const head = Buffer.from("6b3873000a0d0a0276311207536572766963651230", "hex");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeProtobuf(Buffer.concat([head, bytes]));
        } catch (error) {
          assert.equal((error as { httpCode?: number }).httpCode, 400);
        }
      }),
      { numRuns: 300 },
    );
  });
});
