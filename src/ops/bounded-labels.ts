/** Values of a metric label that others choose: a counter never forgets one, so that those beyond `most` share `other`. */
export class BoundedLabels {
  readonly #most: number;
  readonly #seen = new Set<string>();

  constructor(most: number) {
    this.#most = most;
  }

  /** The label for a value: itself, or `other`. */
  of(value: string): string {
    if (this.#seen.has(value)) return value;
    if (this.#seen.size >= this.#most) return 'other';
    this.#seen.add(value);
    return value;
  }
}
