// Node's own HTTP/1 parser, strict, without a server around it: the other opinion on every message.

/** A message as llhttp reads it. */
export interface ReadMessage {
  /** Empty of a response. */
  readonly method: string;
  readonly target: string;
  readonly minor: number;
  /** 0 of a request. */
  readonly status: number;
  /** Names and values in turn. */
  readonly fields: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
}

interface RawParser {
  initialize(kind: number, resource: object, maxHeadBytes: number): void;
  execute(bytes: Buffer): number | Error;
  finish(): Error | undefined;
  [callback: number]: unknown;
}

interface RawBinding {
  readonly allMethods?: readonly string[];
  readonly methods: readonly string[];
  readonly HTTPParser: {
    new (): RawParser;
    readonly REQUEST: number;
    readonly RESPONSE: number;
    readonly kOnHeaders: number;
    readonly kOnHeadersComplete: number;
    readonly kOnBody: number;
    readonly kOnMessageComplete: number;
  };
}

type HeadersComplete = (
  major: number,
  minor: number,
  fields: string[] | undefined,
  method: number | undefined,
  target: string | undefined,
  status: number | undefined,
  reason: string | undefined,
  upgrade: boolean,
) => number;

const SKIP_BODY = 1;
const MAX_HEAD_BYTES = 1 << 20;

/** Node warns of its use at each call. */
function rawBinding(): RawBinding {
  const { noDeprecation } = process;
  process.noDeprecation = true;
  try {
    return (process as unknown as { binding(name: string): RawBinding }).binding("http_parser");
  } finally {
    process.noDeprecation = noDeprecation === true;
  }
}

const BINDING = rawBinding();

/** Reads one side of a connection. Upgrades are taken for refused: what follows is HTTP again. */
export class Llhttp {
  /** Complete ones. */
  readonly messages: ReadMessage[] = [];
  /** Why reading ended. */
  error: string | undefined;
  /** Part of a message is here. */
  unfinished = false;
  onMessage: (message: ReadMessage) => void = () => {};
  readonly #kind: number;
  readonly #bodiless: () => boolean;
  #parser: RawParser;

  /** `bodiless`: whether the answer that begins has no body because of its request: HEAD. */
  constructor(kind: "request" | "response", bodiless: () => boolean = () => false) {
    const { HTTPParser } = BINDING;
    this.#kind = kind === "request" ? HTTPParser.REQUEST : HTTPParser.RESPONSE;
    this.#bodiless = bodiless;
    this.#parser = this.#create();
  }

  #create(): RawParser {
    const { HTTPParser, allMethods, methods } = BINDING;
    const parser = new HTTPParser();
    parser.initialize(this.#kind, {}, MAX_HEAD_BYTES);
    let head: Omit<ReadMessage, "fields" | "body" | "trailers"> | undefined;
    let fields: string[] = [];
    let trailers: string[] = [];
    let target = "";
    let body = "";
    parser[HTTPParser.kOnHeaders] = (more: string[], url: string) => {
      (head === undefined ? fields : trailers).push(...more);
      target += url;
    };
    const complete: HeadersComplete = (_major, minor, rest, method, url, status) => {
      fields.push(...(rest ?? []));
      const name = method === undefined ? "" : ((allMethods ?? methods)[method] ?? "?");
      head = { method: name, target: target + (url ?? ""), minor, status: status ?? 0 };
      this.unfinished = true;
      return this.#bodiless() ? SKIP_BODY : 0;
    };
    parser[HTTPParser.kOnHeadersComplete] = complete;
    parser[HTTPParser.kOnBody] = (bytes: Buffer) => {
      body += bytes.toString("latin1");
    };
    parser[HTTPParser.kOnMessageComplete] = () => {
      if (head === undefined) return;
      const message = { ...head, fields, body, trailers };
      head = undefined;
      fields = [];
      trailers = [];
      target = "";
      body = "";
      this.unfinished = false;
      this.messages.push(message);
      this.onMessage(message);
    };
    return parser;
  }

  execute(bytes: Buffer): void {
    let rest = bytes;
    let fresh = false;
    while (this.error === undefined && rest.length > 0) {
      const read = this.#parser.execute(rest);
      if (typeof read !== "number") {
        this.error = (read as Error & { code?: string }).code ?? read.message;
        return;
      }
      if (read === 0 && fresh) {
        this.error = "upgrade";
        return;
      }
      rest = rest.subarray(read);
      // It stops behind an upgrade, and goes on stopping.
      fresh = rest.length > 0;
      if (fresh) this.#parser = this.#create();
    }
  }

  /** The connection has ended. */
  finish(): void {
    if (this.error !== undefined) return;
    const error = this.#parser.finish();
    if (error !== undefined) this.error = (error as Error & { code?: string }).code ?? error.message;
  }
}

/** `GET /target body`: a request as the corpus names it. */
export function summary(message: ReadMessage): string {
  return `${message.method} ${message.target} ${message.body}`;
}
