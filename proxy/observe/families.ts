/** A label's value, escaped as the text format wants it. */
export function escapeLabel(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}

/** Label texts (`a="b"`) in one, the empty ones left out. */
export function joinLabels(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(",");
}

/**
 * Samples by metric, in Prometheus' text format 0.0.4, which wants those of one name together, however many
 * workloads they are of.
 */
export class Families {
  readonly #families = new Map<string, string[]>();

  add(name: string, type: "counter" | "gauge", labels: string, value: number): void {
    this.lines(name, type).push(labels === "" ? `${name} ${value}` : `${name}{${labels}} ${value}`);
  }

  /** Lines of a metric, to be added to. */
  lines(name: string, type: "counter" | "gauge" | "histogram"): string[] {
    const known = this.#families.get(name);
    if (known !== undefined) return known;
    const lines = [`# TYPE ${name} ${type}`];
    this.#families.set(name, lines);
    return lines;
  }

  text(): string {
    return [...this.#families.values(), [""]].flat().join("\n");
  }
}
