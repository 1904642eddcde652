import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BYTES = 256 * 1024;

/** A directory that can be without room: a small tmpfs; where that may not be mounted, one that is not there then. */
export class TinyDisk {
  readonly path: string;
  readonly #mounted: boolean;

  constructor() {
    this.path = mkdtempSync(join(tmpdir(), "tiny-disk-"));
    this.#mounted = this.#try("mount", "-t", "tmpfs", "-o", `size=${BYTES}`, "none", this.path);
  }

  fill(): void {
    if (!this.#mounted) {
      rmSync(this.path, { recursive: true });
      return;
    }
    try {
      writeFileSync(join(this.path, "ballast"), Buffer.alloc(BYTES));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  }

  free(): void {
    if (this.#mounted) rmSync(join(this.path, "ballast"));
    else mkdirSync(this.path);
  }

  stop(): void {
    if (this.#mounted) this.#try("umount", "--lazy", this.path);
    rmSync(this.path, { recursive: true, force: true });
  }

  #try(command: string, ...args: string[]): boolean {
    try {
      execFileSync(command, args, { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  }
}
