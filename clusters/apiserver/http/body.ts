import type { IncomingMessage } from "node:http";
import { parse as parseYaml } from "yaml";
import { decodeProtobuf } from "../schema/protobuf.ts";
import { badRequest, tooLarge, unsupportedMediaType } from "../status.ts";

const MAX_BODY_BYTES = 3 * 1024 * 1024;
const MAX_DEPTH = 256;
const PROTOBUF = "application/vnd.kubernetes.protobuf";
const OBJECT_TYPES = ["application/json", "application/yaml", PROTOBUF];

/** The media type without parameters, lower case. */
export function mediaType(request: IncomingMessage): string {
  return (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

/** The whole body. @throws StatusError 413 */
async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw tooLarge(MAX_BODY_BYTES);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Recursive code walks what is parsed, so nesting is bounded first. */
function tooDeep(text: string): boolean {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (quoted) {
      if (char === 92) i++;
      else if (char === 34) quoted = false;
    } else if (char === 34) quoted = true;
    else if (char === 123 || char === 91) {
      if (++depth > MAX_DEPTH) return true;
    } else if (char === 125 || char === 93) depth--;
  }
  return false;
}

function parseJson(text: string): unknown {
  if (tooDeep(text)) throw badRequest(`the object is nested deeper than ${MAX_DEPTH}`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw badRequest(
      `the object provided is unrecognized (must be of type JSON): ${cause instanceof Error ? cause.message : ""}`,
    );
  }
}

/** The body of a write; undefined when there is none. @throws StatusError 400, 413, 415 */
export async function readJson(request: IncomingMessage, accepted: readonly string[] = OBJECT_TYPES): Promise<unknown> {
  const type = mediaType(request);
  const body = await readBody(request);
  if (body.length === 0) return undefined;
  if (type !== "" && !accepted.includes(type)) throw unsupportedMediaType(accepted);
  if (type === PROTOBUF) return decodeProtobuf(body);
  const text = body.toString("utf8");
  if (type !== "application/yaml") return parseJson(text);
  try {
    return parseJson(JSON.stringify(parseYaml(text, { maxAliasCount: 100 })));
  } catch {
    throw badRequest("the object provided is unrecognized (must be of type YAML)");
  }
}
