interface Change<Doc> {
  readonly visibleAtMs: number;
  readonly id: string;
  readonly doc: Doc | null;
}

/** What search sees: every change some time after it happened, as Intercom's contact index does ("a few minutes"). */
export class LaggingIndex<Doc> {
  readonly #visible = new Map<string, Doc>();
  readonly #pending: Change<Doc>[] = [];
  readonly #lagMs: () => number;
  readonly #now: () => number;

  constructor(lagMs: () => number, now: () => number) {
    this.#lagMs = lagMs;
    this.#now = now;
  }

  /** Notes a new version of a document, or with null its end. Documents must never be changed in place. */
  set(id: string, doc: Doc | null): void {
    const lagMs = this.#lagMs();
    if (lagMs === 0 && this.#pending.length === 0) this.#apply({ visibleAtMs: 0, id, doc });
    else this.#pending.push({ visibleAtMs: this.#now() + lagMs, id, doc });
  }

  /** The documents as the index knows them now. */
  documents(): Iterable<Doc> {
    const now = this.#now();
    let due = 0;
    for (const change of this.#pending) {
      if (change.visibleAtMs > now) break;
      this.#apply(change);
      due += 1;
    }
    if (due > 0) this.#pending.splice(0, due);
    return this.#visible.values();
  }

  #apply(change: Change<Doc>): void {
    if (change.doc === null) this.#visible.delete(change.id);
    else this.#visible.set(change.id, change.doc);
  }
}
