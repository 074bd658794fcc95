/**
 * Creates without a key, and who may meet them (semantics §6, "Holds"). An operation has one caller at a time. A re-send
 * replaces one that is no longer waiting: when the caller has left unanswered or was answered with an error, the next
 * identical request takes its place. While the caller is there, or after it got a success, an identical request is a
 * second intention, for two equal notes can be intended: it runs beside the first, or, while the first one's outcome is in
 * doubt, waits for its end, so that a look for the first does not find the second. The obvious other choice, to take equal
 * requests of a short time for one, would lose the second note of a person who means it.
 */

/** The run of an operation, as far as this table asks. */
export interface HeldRun {
  /** It may have taken effect, and whether it did is not known yet. */
  inDoubt(): boolean;
}

/** One operation that an identical request may meet. */
export interface Held<R extends HeldRun> {
  readonly id: string;
  readonly identity: string;
  /** Runs; ended with an unknown outcome; or succeeded, and its caller has not got the answer. */
  readonly phase: 'running' | 'unknown' | 'succeeded';
  /** The run under way; null when there is none. */
  readonly run: R | null;
  /** Epoch ms of the first dispatch; null while it runs for the first time. */
  readonly sentAtMs: number | null;
  /** Whoever is `gone`, answered with an error, or has `left` unanswered may send it again; `served` has the answer. */
  readonly caller: 'present' | 'gone' | 'left' | 'served';
  /** Which of its callers has the word, from 1: what an earlier one still does counts no more. */
  readonly turn: number;
}

interface Entry<R extends HeldRun> extends Held<R> {
  phase: Held<R>['phase'];
  run: R | null;
  sentAtMs: number | null;
  caller: Held<R>['caller'];
  turn: number;
  /** Monotonic ms: when its caller began to be missing; Infinity while one is there, or its first run goes on. */
  endedAtMs: number;
}

/** What an arriving request is to do. */
export type Arrival<R extends HeldRun> =
  /** It takes the place of a caller that is gone. */
  | { readonly kind: 'join'; readonly held: Held<R> }
  /** It is a second intention, and an equal one is in doubt. */
  | { readonly kind: 'wait'; readonly run: R }
  /** Nothing stands in its way. */
  | { readonly kind: 'run' };

/** What is known of an operation of an earlier process. */
export interface RestoredHold {
  readonly id: string;
  readonly identity: string;
  readonly phase: 'unknown' | 'succeeded';
  /** Epoch ms. */
  readonly sentAtMs: number | null;
  /** Monotonic ms: when the time of the hold began. */
  readonly endedAtMs: number;
}

const RUN = { kind: 'run' } as const;

/** The table of one process. At most `endedMax` operations that ended are held; the oldest are let go first. */
export class Holds<R extends HeldRun> {
  readonly #endedMax: number;
  readonly #byIdentity = new Map<string, Entry<R>[]>();
  /** Those that do not run, in the order of their ends. */
  readonly #ended = new Set<Entry<R>>();

  constructor(endedMax: number) {
    this.#endedMax = endedMax;
  }

  /** Operations in the table. */
  get size(): number {
    let size = 0;
    for (const entries of this.#byIdentity.values()) size += entries.length;
    return size;
  }

  /**
   * A request arrives. `second`: it was found to be a second intention before, and stays one, unless the first caller left
   * unanswered meanwhile: then it was the re-send of that one, which only came in before the news of it leaving.
   */
  arrive(identity: string, nowMs: number, holdMs: number, second: boolean): Arrival<R> {
    const entries = this.#byIdentity.get(identity);
    if (entries === undefined) return RUN;
    // A run of recovery may go on with one whose time is over: it is nobody's equal any more.
    const isOver = ({ endedAtMs }: Entry<R>): boolean => nowMs - endedAtMs >= holdMs;
    for (const entry of entries.slice()) if (entry.phase !== 'running' && isOver(entry)) this.#remove(entry);
    const held = entries.filter((entry) => !isOver(entry));
    const joined = held.find(({ caller }) => caller === 'left' || (caller === 'gone' && !second));
    if (joined !== undefined) {
      joined.caller = 'present';
      joined.turn += 1;
      if (joined.phase === 'running') joined.endedAtMs = Infinity;
      return { kind: 'join', held: joined };
    }
    for (const { run } of held) if (run?.inDoubt()) return { kind: 'wait', run };
    return RUN;
  }

  /** An operation begins; its caller is present. */
  begin(id: string, identity: string, run: R): Held<R> {
    const endedAtMs = Infinity;
    return this.#add({ id, identity, phase: 'running', run, sentAtMs: null, caller: 'present', turn: 1, endedAtMs });
  }

  /** An operation of an earlier process; its caller is gone. */
  restore({ id, identity, phase, sentAtMs, endedAtMs }: RestoredHold): void {
    this.#ended.add(this.#add({ id, identity, phase, run: null, sentAtMs, caller: 'gone', turn: 1, endedAtMs }));
    this.#bound();
  }

  /** An operation of unknown outcome runs again, for a caller or, when that is gone, for the ledger. */
  rerun(held: Held<R>, run: R): void {
    const entry = held as Entry<R>;
    entry.phase = 'running';
    if (entry.caller === 'present') entry.endedAtMs = Infinity;
    entry.run = run;
    this.#ended.delete(entry);
  }

  /** A run has really ended; `released`: without effect, nobody has to meet it any more. `sentAtMs` is epoch ms. */
  end(held: Held<R>, how: 'succeeded' | 'unknown' | 'released', nowMs: number, sentAtMs: number | null): void {
    const entry = held as Entry<R>;
    entry.run = null;
    entry.sentAtMs = sentAtMs;
    if (how === 'released') return this.#remove(entry);
    entry.phase = how;
    // A run that nobody waited for does not begin the time of the hold anew.
    entry.endedAtMs = Math.min(entry.endedAtMs, nowMs);
    this.#ended.delete(entry);
    this.#ended.add(entry);
    this.#bound();
  }

  /**
   * A caller is there no longer: it has got the success, or an error, or left unanswered. Once it has left nothing that
   * is said to it counts. False when another one has its place already.
   */
  leave(held: Held<R>, turn: number, how: 'served' | 'gone' | 'left'): boolean {
    const entry = held as Entry<R>;
    if (entry.turn !== turn || entry.caller === 'left') return false;
    entry.caller = how;
    if (how === 'served') this.#remove(entry);
    return true;
  }

  /** The operation with this id; null when it is not held. Linear: for recovery only. */
  find(id: string): Held<R> | null {
    for (const entries of this.#byIdentity.values()) {
      const found = entries.find((entry) => entry.id === id);
      if (found !== undefined) return found;
    }
    return null;
  }

  #add(entry: Entry<R>): Entry<R> {
    const entries = this.#byIdentity.get(entry.identity);
    if (entries === undefined) this.#byIdentity.set(entry.identity, [entry]);
    else entries.push(entry);
    return entry;
  }

  #remove(entry: Entry<R>): void {
    this.#ended.delete(entry);
    const entries = this.#byIdentity.get(entry.identity);
    const at = entries?.indexOf(entry) ?? -1;
    if (entries === undefined || at === -1) return;
    entries.splice(at, 1);
    if (entries.length === 0) this.#byIdentity.delete(entry.identity);
  }

  #bound(): void {
    for (const oldest of this.#ended) {
      if (this.#ended.size <= this.#endedMax) return;
      this.#remove(oldest);
    }
  }
}
