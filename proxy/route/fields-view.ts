import type { RouteRegex } from "../../core/route-regex.ts";
import type { RequestView, Word } from "./request-view.ts";

/** A header field of HTTP/2; octets as latin1 code units. */
interface NamedValue {
  readonly name: string;
  readonly value: string;
}

/** The field list of an HTTP/2 request. */
export class FieldsView implements RequestView {
  #fields: readonly NamedValue[] = [];
  #count = 0;
  #method = "";
  #target = "";
  #pathEnd = 0;
  #contentType = "";

  /** Looks at another request: the first `count` of `fields`. */
  look(fields: readonly NamedValue[], count = fields.length): this {
    this.#fields = fields;
    this.#count = count;
    this.#method = "";
    this.#target = "";
    this.#contentType = "";
    for (let i = 0; i < count; i++) {
      const { name, value } = fields[i] as NamedValue;
      if (name === ":method") this.#method = value;
      else if (name === ":path") this.#target = value;
      else if (name === "content-type") this.#contentType = value;
    }
    const end = this.#target.indexOf("?");
    this.#pathEnd = end < 0 ? this.#target.length : end;
    return this;
  }

  get grpc(): boolean {
    return isGrpc(this.#contentType);
  }

  methodIs({ text }: Word): boolean {
    return this.#method === text;
  }

  pathIs({ text }: Word): boolean {
    if (this.#pathEnd === 0) return text === "/";
    return this.#pathEnd === text.length && this.#target.startsWith(text);
  }

  pathBegins({ text }: Word): boolean {
    if (!this.#target.startsWith(text) || this.#pathEnd < text.length) return false;
    return this.#pathEnd === text.length || text === "" || this.#target.charCodeAt(text.length) === 47;
  }

  pathMatches(regex: RouteRegex): boolean {
    const path = Buffer.from(this.path(), "latin1");
    return regex.testBytes(path, 0, path.length);
  }

  path(): string {
    return this.#pathEnd === 0 ? "/" : this.#target.slice(0, this.#pathEnd);
  }

  query(): string | undefined {
    return this.#pathEnd === this.#target.length ? undefined : this.#target.slice(this.#pathEnd + 1);
  }

  header({ text }: Word): string | undefined {
    let found: string | undefined;
    for (let i = 0; i < this.#count; i++) {
      const { name, value } = this.#fields[i] as NamedValue;
      // In HTTP/2 it is called otherwise.
      if (name === text || (text === "host" && name === ":authority"))
        found = found === undefined ? value : `${found},${value}`;
    }
    return found;
  }

  headerIs(name: Word, value: Word): boolean {
    return this.header(name) === value.text;
  }
}

/** Whether a content type is gRPC's (gRPC over HTTP/2: `application/grpc`, with `+proto` or the like after it). */
function isGrpc(contentType: string): boolean {
  if (!contentType.startsWith("application/grpc")) return false;
  const next = contentType.charAt(16);
  return next === "" || next === "+" || next === ";";
}
