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

/** A length-delimited protobuf field shorter than 128 bytes. */
function field(at: number, ...content: (string | Uint8Array)[]): Buffer {
  const body = Buffer.concat(content.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([at * 8 + 2, body.length]), body]);
}

function number(at: number, value: number): Buffer {
  return Buffer.from([at * 8, value]);
}

function entry(key: string, value: string): Buffer {
  return Buffer.concat([field(1, key), field(2, value)]);
}

describe("decodeProtobuf()", () => {
  it("reads what kubectl create deployment sends", () => {
    const metadata = field(1, field(1, "web"), field(8));
    const selector = field(2, field(1, entry("app", "web")));
    const container = field(
      2,
      field(1, "web"),
      field(2, "web:1"),
      field(6, number(2, 0), number(3, 80)),
      field(13, ""),
    );
    const template = field(3, field(1, field(11, entry("app", "web"))), field(2, container));
    const raw = Buffer.concat([metadata, field(2, number(1, 0), selector, template)]);
    const envelope = Buffer.concat([
      Buffer.from("k8s\0"),
      field(1, field(1, "apps/v1"), field(2, "Deployment")),
      field(2, raw),
    ]);
    const labels = { app: "web" };
    assert.deepEqual(decodeProtobuf(envelope), {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web" },
      spec: {
        // A pointer in Go, so its zero counts; hostPort is none, so its zero does not.
        replicas: 0,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
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
