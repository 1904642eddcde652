import {
  closeSync,
  existsSync,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import { MeshError } from "../../../core/errors.ts";
import type { ApiObject } from "../object.ts";

/** One change as it is kept: `put` carries the object, `remove` its last state. */
export interface JournalRecord {
  readonly revision: number;
  readonly type: "put" | "remove";
  /** `group/plural` */
  readonly resource: string;
  readonly object: ApiObject;
}

interface Loaded {
  /** Revision of the snapshot: history before it is unknown. */
  readonly baseRevision: number;
  readonly snapshot: readonly { readonly resource: string; readonly object: ApiObject }[];
  readonly records: readonly JournalRecord[];
}

/** Where a store keeps its changes. */
export interface Journal {
  load(): Loaded;
  /** Returns once the operating system has the record: a killed process loses nothing. */
  append(record: JournalRecord): void;
  /** Whether the journal has outgrown its use. */
  readonly due: boolean;
  snapshot(revision: number, objects: Iterable<{ resource: string; object: ApiObject }>): void;
  sync(): void;
  close(): void;
}

const COMPACT_BYTES = 16 * 1024 * 1024;
const WRITE_BYTES = 1024 * 1024;

/** A journal that keeps nothing. */
export const noJournal: Journal = {
  load: () => ({ baseRevision: 0, snapshot: [], records: [] }),
  append() {},
  due: false,
  snapshot() {},
  sync() {},
  close() {},
};

/**
 * JSON lines in `directory`: `snapshot.jsonl` (replaced by rename) and `journal.jsonl` (appended). A torn last
 * line is cut off; damage before it is an error. @throws MeshError INTERNAL
 */
export class FileJournal implements Journal {
  readonly #directory: string;
  #fd: number | undefined;
  #bytes = 0;
  #dirty = false;
  #syncing = false;
  #closing = false;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  get due(): boolean {
    return this.#bytes > COMPACT_BYTES;
  }

  load(): Loaded {
    rmSync(this.#file("snapshot.tmp"), { force: true });
    let baseRevision = 0;
    const snapshot: { resource: string; object: ApiObject }[] = [];
    if (existsSync(this.#file("snapshot.jsonl"))) {
      const [head, ...lines] = readFileSync(this.#file("snapshot.jsonl"), "utf8").trimEnd().split("\n");
      baseRevision = (parse(head ?? "", "snapshot.jsonl") as { revision: number }).revision;
      for (const line of lines) snapshot.push(parse(line, "snapshot.jsonl") as { resource: string; object: ApiObject });
    }
    const fd = openSync(this.#file("journal.jsonl"), "a+", 0o600);
    this.#fd = fd;
    const text = readFileSync(this.#file("journal.jsonl"));
    const records: JournalRecord[] = [];
    let start = 0;
    while (start < text.length) {
      const end = text.indexOf(10, start);
      if (end < 0) break;
      const record = parse(text.toString("utf8", start, end), "journal.jsonl") as JournalRecord;
      if (record.revision > baseRevision) records.push(record);
      start = end + 1;
    }
    if (start < text.length) ftruncateSync(fd, start);
    this.#bytes = start;
    return { baseRevision, snapshot, records };
  }

  append(record: JournalRecord): void {
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    this.#write(this.#open(), line);
    this.#bytes += line.length;
    this.#dirty = true;
  }

  snapshot(revision: number, objects: Iterable<{ resource: string; object: ApiObject }>): void {
    const fd = openSync(this.#file("snapshot.tmp"), "w", 0o600);
    try {
      let text = `${JSON.stringify({ revision })}\n`;
      for (const { resource, object } of objects) {
        text += `${JSON.stringify({ resource, object })}\n`;
        if (text.length > WRITE_BYTES) {
          this.#write(fd, Buffer.from(text));
          text = "";
        }
      }
      this.#write(fd, Buffer.from(text));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(this.#file("snapshot.tmp"), this.#file("snapshot.jsonl"));
    // Records up to the snapshot's revision are skipped on load, so dying before this line is harmless.
    ftruncateSync(this.#open(), 0);
    this.#bytes = 0;
  }

  sync(): void {
    if (!this.#dirty || this.#syncing || this.#fd === undefined) return;
    this.#dirty = false;
    this.#syncing = true;
    // Not awaited: only a crash of the machine could lose what the disk has not taken yet.
    fdatasync(this.#fd, () => {
      this.#syncing = false;
      if (this.#closing) this.close();
    });
  }

  close(): void {
    // The descriptor must outlive a sync under way.
    this.#closing = true;
    if (this.#fd === undefined || this.#syncing) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): number {
    if (this.#fd === undefined)
      throw new MeshError("INTERNAL", "Cannot write the journal: it is not loaded or already closed.");
    return this.#fd;
  }

  #write(fd: number, bytes: Buffer): void {
    for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset);
  }

  #file(name: string): string {
    return path.join(this.#directory, name);
  }
}

function parse(line: string, file: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new MeshError(
      "INTERNAL",
      `Cannot read ${file}: a line is damaged. Remove the state directory to start afresh.`,
      { cause },
    );
  }
}
