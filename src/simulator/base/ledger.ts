/**
 * What really happened, for tests to compare with what a client believes: every effect that was applied, and every
 * request that arrived. Effects are kept for the life of the simulator, as the entities are; requests in a ring.
 */

/** Only creates can be duplicates: an update or a delete that lands twice changes nothing. */
export type EffectKind = 'create' | 'update' | 'delete';

/** One applied effect. */
export interface Effect {
  /** From 1, in the order of application. */
  readonly n: number;
  /** The request that caused it (`SeenRequest.n`). */
  readonly request: number;
  /** Method and path template. */
  readonly operation: string;
  readonly kind: EffectKind;
  /** What makes two creates the same record: `external_id=7`, `email=a@b.c`, parent and author and body. */
  readonly key: string;
  /** The id of what was created, changed or deleted. */
  readonly id: string;
  readonly bodyHash: string;
  readonly tokenHash: string;
  /** True wall time, epoch ms; the simulated clock's offset is not in it. */
  readonly atMs: number;
  /** How many equal requests (method, target, body) had arrived by then, this one included. */
  readonly attempt: number;
}

/** One request that arrived whole. */
export interface SeenRequest {
  readonly n: number;
  readonly atMs: number;
  readonly method: string;
  readonly target: string;
  /** `other` when no operation fits. */
  readonly operation: string;
  readonly bodyBytes: number;
  readonly bodyHash: string;
  readonly tokenHash: string;
  readonly attempt: number;
  /** The fault that it met, or null. */
  fault: string | null;
  /** The status that was sent; null when none was (yet). */
  status: number | null;
}

/** Counts since the start or the last reset. */
export interface Stats {
  readonly requests: number;
  readonly effects: number;
  /** Creates beyond the first of the same operation and key. */
  readonly duplicates: number;
  readonly duplicateKeys: readonly string[];
  readonly throttled: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly operations: Readonly<Record<string, { requests: number; effects: number }>>;
}

const REQUESTS_MAX = 10_000;
const ATTEMPT_KEYS_MAX = 50_000;

/** Keeps effects and requests. */
export class Ledger {
  readonly #effects: Effect[] = [];
  readonly #requests: SeenRequest[] = [];
  #attempts = new Map<string, number>();
  #olderAttempts = new Map<string, number>();
  readonly #creates = new Map<string, number>();
  readonly #operations = new Map<string, { requests: number; effects: number }>();
  readonly #faults = new Map<string, number>();
  #arrived = 0;
  #throttled = 0;

  /** Applied effects, oldest first. */
  get effects(): readonly Effect[] {
    return this.#effects;
  }

  /** The last 10,000 requests, oldest first. */
  get requests(): readonly SeenRequest[] {
    if (this.#arrived <= REQUESTS_MAX) return this.#requests;
    const oldest = this.#arrived % REQUESTS_MAX;
    return [...this.#requests.slice(oldest), ...this.#requests.slice(0, oldest)];
  }

  /** Notes an arrival. Reads are not counted as attempts of one another: their `attempt` is 1. */
  arrived(seen: Omit<SeenRequest, 'n' | 'attempt' | 'fault' | 'status'>): SeenRequest {
    const request: SeenRequest = {
      ...seen,
      n: this.#arrived + 1,
      attempt: seen.method === 'GET' ? 1 : this.#countAttempt(`${seen.method} ${seen.target} ${seen.bodyHash}`),
      fault: null,
      status: null,
    };
    this.#requests[this.#arrived % REQUESTS_MAX] = request;
    this.#arrived += 1;
    this.#operation(seen.operation).requests += 1;
    return request;
  }

  /** Notes that a request met a fault. */
  faulted(request: SeenRequest, kind: string): void {
    request.fault = kind;
    this.connectionFaulted(kind);
  }

  /** Notes a fault that struck before any request. */
  connectionFaulted(kind: string): void {
    this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + 1);
  }

  /** Notes what was sent. */
  answered(request: SeenRequest, status: number): void {
    request.status = status;
    if (status === 429) this.#throttled += 1;
  }

  /** Notes an effect, at the moment it is applied. */
  applied(request: SeenRequest, kind: EffectKind, key: string, id: string, atMs: number): void {
    const { operation, bodyHash, tokenHash, attempt } = request;
    const n = this.#effects.length + 1;
    this.#effects.push({ n, request: request.n, operation, kind, key, id, bodyHash, tokenHash, atMs, attempt });
    this.#operation(operation).effects += 1;
    if (kind !== 'create') return;
    const create = `${operation} ${key}`;
    this.#creates.set(create, (this.#creates.get(create) ?? 0) + 1);
  }

  /** Counts everything. */
  stats(): Stats {
    const twice = [...this.#creates].filter(([, count]) => count > 1);
    return {
      requests: this.#arrived,
      effects: this.#effects.length,
      duplicates: twice.reduce((sum, [, count]) => sum + count - 1, 0),
      duplicateKeys: twice.slice(0, 100).map(([key]) => key),
      throttled: this.#throttled,
      faults: Object.fromEntries(this.#faults),
      operations: Object.fromEntries(this.#operations),
    };
  }

  /** Two generations instead of taking the oldest out one by one: that is slow in a large map. */
  #countAttempt(key: string): number {
    const attempt = (this.#attempts.get(key) ?? this.#olderAttempts.get(key) ?? 0) + 1;
    if (this.#attempts.size >= ATTEMPT_KEYS_MAX) {
      this.#olderAttempts = this.#attempts;
      this.#attempts = new Map();
    }
    this.#attempts.set(key, attempt);
    return attempt;
  }

  #operation(name: string): { requests: number; effects: number } {
    let counts = this.#operations.get(name);
    if (counts === undefined) {
      counts = { requests: 0, effects: 0 };
      this.#operations.set(name, counts);
    }
    return counts;
  }
}
