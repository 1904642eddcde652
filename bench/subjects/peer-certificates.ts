import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createTestAuthority } from "../../test/support/openssl-certificates.ts";
import { requireProgram } from "../measure/programs.ts";
import { AUTHORITY, type CertificateFiles, type Certificates } from "./subject.ts";

/** Certificates for the peers, made when first asked for. */
export class PeerCertificates {
  #made: Certificates | undefined;
  #remove = () => {};

  /** @throws Missing where openssl is */
  get(): Certificates {
    this.#made ??= this.#make();
    return this.#made;
  }

  remove(): void {
    this.#remove();
  }

  #make(): Certificates {
    requireProgram("openssl");
    const authority = createTestAuthority();
    this.#remove = () => authority.remove();
    const side = (name: string): CertificateFiles => {
      const pair = authority.issue(name);
      const path = (suffix: string) => join(authority.directory, `${name}${suffix}`);
      writeFileSync(path(".both.pem"), pair.cert + pair.key, { mode: 0o600 });
      return { chain: path(".chain.pem"), key: path(".key"), both: path(".both.pem") };
    };
    return { root: join(authority.directory, "root.pem"), client: side("caller"), server: side(AUTHORITY) };
  }
}
