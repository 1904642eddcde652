// Writes the tables by which protos/codec.ts encodes and decodes: of a .proto file all messages and methods.
import { loadSync } from "@grpc/proto-loader";

const KINDS = {
  TYPE_STRING: "string",
  TYPE_BYTES: "bytes",
  TYPE_BOOL: "bool",
  TYPE_UINT32: "uint32",
  TYPE_INT64: "int64",
  TYPE_UINT64: "uint64",
  TYPE_DOUBLE: "double",
  TYPE_ENUM: "enum",
  TYPE_MESSAGE: "message",
};

function fieldTable(definition, field, packageName, definitions) {
  const { name, number: id, label, type, typeName } = field;
  const kind = KINDS[type];
  const where = `${definition.type.name}.${name}`;
  if (kind === undefined) throw new Error(`protos/codec.ts does not know ${type} of ${where}`);
  const table = { id, name, kind };
  if (label === "LABEL_REPEATED") table.repeated = true;
  // Descriptors of proto-loader do not tell members of the first oneof from other fields; defaults do, which members lack.
  else if (!(name in definition.deserialize(Buffer.alloc(0))))
    table.oneof = definition.type.oneofDecl[field.oneofIndex].name;
  if (kind === "message") {
    if (definitions[`${packageName}.${typeName}`] === undefined) throw new Error(`${where}: no message ${typeName}`);
    table.message = typeName;
  }
  if (kind === "enum") {
    const found = definition.type.enumType.find((each) => each.name === typeName);
    if (found === undefined) throw new Error(`${where}: no enum ${typeName} in its message`);
    table.values = Object.fromEntries(found.value.map((value) => [value.number, value.name]));
  }
  return table;
}

const constant = (name) => name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();

/** The module for `file`, such as "causeway/identity/v1/identity.proto". */
export function tablesOf(file) {
  const definitions = loadSync(file, {
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
    includeDirs: ["protos"],
  });
  const packageName = file.split("/").slice(0, -1).join(".");
  const messages = {};
  const methods = [];
  const types = new Set();
  for (const [name, definition] of Object.entries(definitions)) {
    const short = name.slice(packageName.length + 1);
    if (definition.format === undefined) {
      for (const [method, { path, requestType, responseType }] of Object.entries(definition)) {
        const [request, response] = [requestType.type.name, responseType.type.name];
        types.add(`import type { ${request} } from "../${packageName.replaceAll(".", "/")}/${request}.ts";`);
        types.add(`import type { ${response}__Output } from "../${packageName.replaceAll(".", "/")}/${response}.ts";`);
        const call = `defineMethod<${request}, ${response}__Output>("${path}", MESSAGES, "${request}", "${response}")`;
        methods.push(`export const ${constant(method)} = ${call};`);
      }
    } else if (definition.type.field !== undefined) {
      const fields = definition.type.field.map((field) => fieldTable(definition, field, packageName, definitions));
      messages[short] = fields.sort((a, b) => a.id - b.id);
    }
  }
  const rows = Object.entries(messages).map(
    ([name, fields]) =>
      `  ${name}: [${fields.map((field) => `\n    ${JSON.stringify(field)},`).join("")}${fields.length > 0 ? "\n  " : ""}],`,
  );
  return [
    `// Original file: protos/${file}`,
    "",
    'import { defineMethod, type Schema } from "../../codec.ts";',
    ...[...types].sort(),
    "",
    `export const MESSAGES: Schema = {\n${rows.join("\n")}\n};`,
    "",
    ...methods,
    "",
  ].join("\n");
}
