const MAX_ROWS = 4_096;
const FIRST_ROWS = 16;

/**
 * Numbers by set of labels: a row of `width` cells each, in one typed array. Row 0 takes what would be rows over the
 * limit, so that labels which others choose cannot fill the memory.
 */
export class Rows<L> {
  readonly #width: number;
  readonly #keyOf: (labels: L) => string;
  #cells: Float64Array;
  readonly #rows = new Map<string, number>();
  readonly #labels: L[] = [];

  constructor(width: number, keyOf: (labels: L) => string, overflow: L) {
    this.#width = width;
    this.#keyOf = keyOf;
    this.#cells = new Float64Array(FIRST_ROWS * width);
    this.row(overflow);
  }

  /** The row of `labels`; to be kept by the caller, not asked for per request. */
  row(labels: L): number {
    const key = this.#keyOf(labels);
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const row = this.#labels.length;
    if (row >= MAX_ROWS) return 0;
    this.#rows.set(key, row);
    this.#labels.push(labels);
    if ((row + 1) * this.#width > this.#cells.length) {
      const grown = new Float64Array(this.#cells.length * 2);
      grown.set(this.#cells);
      this.#cells = grown;
    }
    return row;
  }

  add(row: number, column: number, by: number): void {
    const at = row * this.#width + column;
    this.#cells[at] = (this.#cells[at] as number) + by;
  }

  cell(row: number, column: number): number {
    return this.#cells[row * this.#width + column] ?? 0;
  }

  /** Labels by row. */
  get labels(): readonly L[] {
    return this.#labels;
  }
}
