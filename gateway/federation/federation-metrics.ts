import { ERROR_MEANINGS, type MeshErrorCode } from "../../core/errors.ts";
import type { SessionEnd } from "./sync-session.ts";

const FAMILIES = {
  federation_streams_ended_total: "Streams of a link that have ended, by who ended them and why.",
  federation_streams_refused_total: "Streams of peers that were not taken, by code.",
  federation_nacks_total: "Updates of a peer that were refused as a whole, by code.",
  federation_refusals_total: "Resources of a peer that were refused, by code.",
  federation_resyncs_total: "Times that a peer refused what it was sent, so that it was sent anew.",
  federation_connections_refused_total: "Connections to the federation port that were dropped, by reason.",
} as const;
type Family = keyof typeof FAMILIES;

const REASONS = ["unlinked", "draining", "replaced", "changed", "lost"];

/** Counters of what peers do wrong. Labels come from closed sets and from the names of links, never from a peer. */
export class FederationMetrics {
  readonly #values = new Map<Family, Map<string, { link: string; count: number }>>();

  streamEnded(link: string, { by, reason, error }: SessionEnd): void {
    const why = error?.code ?? (REASONS.includes(reason) || isCode(reason) ? reason : "other");
    this.#count("federation_streams_ended_total", link, `by="${by}",reason="${why}"`);
  }

  streamRefused(code: MeshErrorCode): void {
    this.#count("federation_streams_refused_total", "", `code="${code}"`);
  }

  /** `error` as in an answer: "<CODE>: …". */
  refused(link: string, kind: string, name: string, error: string): void {
    const family = name === "" ? "federation_nacks_total" : "federation_refusals_total";
    this.#count(family, link, `kind="${kind}",code="${codeOf(error)}"`);
  }

  resync(link: string, kind: string): void {
    this.#count("federation_resyncs_total", link, `kind="${kind}"`);
  }

  connectionRefused(reason: string): void {
    this.#count("federation_connections_refused_total", "", `reason="${reason}"`);
  }

  /** The link is no more. */
  forget(link: string): void {
    for (const series of this.#values.values())
      for (const [labels, value] of series) if (value.link === link) series.delete(labels);
  }

  /** Prometheus text format; empty where nothing was counted. */
  text(): string {
    let text = "";
    for (const [family, series] of this.#values) {
      if (series.size === 0) continue;
      text += `# HELP ${family} ${FAMILIES[family]}\n# TYPE ${family} counter\n`;
      for (const [labels, { count }] of series) text += `${family}{${labels}} ${count}\n`;
    }
    return text;
  }

  #count(family: Family, link: string, more: string): void {
    const labels = link === "" ? more : `link="${link}",${more}`;
    let series = this.#values.get(family);
    if (series === undefined) {
      series = new Map();
      this.#values.set(family, series);
    }
    const known = series.get(labels);
    if (known === undefined) series.set(labels, { link, count: 1 });
    else known.count++;
  }
}

function isCode(text: string): boolean {
  return Object.hasOwn(ERROR_MEANINGS, text);
}

function codeOf(error: string): string {
  const code = error.slice(0, Math.max(0, error.indexOf(":")));
  return isCode(code) ? code : "other";
}
