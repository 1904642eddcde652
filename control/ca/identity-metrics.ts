import type { MeshErrorCode } from "../../core/errors.ts";
import { notBeforeMs } from "../../identity/certificate.ts";
import type { LiveAuthority } from "./live-authority.ts";

/** Counters of what control signs, and gauges of the CA itself. */
export class IdentityMetrics {
  #issued = 0;
  readonly #refused = new Map<MeshErrorCode, number>();

  issued(): void {
    this.#issued++;
  }

  refused(code: MeshErrorCode): void {
    this.#refused.set(code, (this.#refused.get(code) ?? 0) + 1);
  }

  /** Prometheus text. Codes of errors are few, so what is counted is bounded. */
  text(authority: LiveAuthority): string {
    const { bundle, issuer } = authority.current;
    const { issuerMs, rootMs } = authority.ends;
    const refused = [...this.#refused].map(([code, count]) => `identity_refusals_total{code="${code}"} ${count}`);
    return [
      family("identity_issuances_total", "counter", "Certificates signed.", [
        `identity_issuances_total ${this.#issued}`,
      ]),
      family("identity_refusals_total", "counter", "Requests for a certificate that were refused.", refused),
      family("identity_expiry_timestamp_seconds", "gauge", "When a certificate of the CA ends.", [
        `identity_expiry_timestamp_seconds{of="issuer"} ${issuerMs / 1_000}`,
        `identity_expiry_timestamp_seconds{of="root"} ${rootMs / 1_000}`,
      ]),
      family("identity_issuer_start_timestamp_seconds", "gauge", "When the issuer in use began to be valid.", [
        `identity_issuer_start_timestamp_seconds ${notBeforeMs(issuer.certificate) / 1_000}`,
      ]),
      family("identity_bundle_sequence", "gauge", "Sequence of the bundle that this cluster publishes.", [
        `identity_bundle_sequence ${bundle.sequence}`,
      ]),
      family("identity_bundle_roots", "gauge", "Roots in it: more than one during a rotation.", [
        `identity_bundle_roots ${bundle.x509Authorities.length}`,
      ]),
      family("identity_ca_sound", "gauge", "0 where something is wrong with the CA: see /ready and the log.", [
        `identity_ca_sound ${authority.problem === undefined ? 1 : 0}`,
      ]),
    ].join("");
  }
}

function family(name: string, type: "counter" | "gauge", help: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("\n")}\n`;
}
