import type { Random } from '../ops/random.ts';
import { seededRandom } from '../ops/seeded-random.ts';
import type { Fault } from './base/fault.ts';
import { paramsOf } from './base/route.ts';
import type { Rule } from './scenario.ts';

interface Armed {
  readonly rule: Rule;
  readonly random: Random;
  readonly method: string;
  /** Null: every path. */
  readonly template: readonly string[] | null;
  readonly nth: ReadonlySet<number> | null;
  seen: number;
  struck: number;
}

/**
 * Which fault strikes which request. Every rule draws from a generator of its own, once per request that it matches, so
 * that the same seed and the same order of requests meet the same faults, and a rule more changes no other.
 */
export class FaultPlan {
  readonly #seed: number;
  readonly #shared: Random | null;
  #armed: Armed[] = [];
  #count = 0;

  /** `shared` replaces the seeded generators of all rules; null for the usual. */
  constructor(rules: readonly Rule[], seed: number, shared: Random | null) {
    this.#seed = seed;
    this.#shared = shared;
    for (const rule of rules) this.#armed.push(this.#arm(rule));
  }

  /** Adds a rule before all others. */
  add(rule: Rule): void {
    this.#armed.unshift(this.#arm(rule));
  }

  /** Takes all rules away. */
  clear(): void {
    this.#armed = [];
  }

  /** The first rule that strikes this request, `sinceMs` after the scenario began; null when none does. */
  onRequest(method: string, path: string, sinceMs: number): Fault | null {
    if (this.#armed.length === 0) return null;
    const segments = path.split('/');
    return this.#choose((armed) => !armed.rule.fault.onAccept && fits(armed, method, segments), sinceMs);
  }

  /** As `onRequest`, for a connection that was just accepted. */
  onAccept(sinceMs: number): Fault | null {
    return this.#choose((armed) => armed.rule.fault.onAccept, sinceMs);
  }

  #choose(concerns: (armed: Armed) => boolean, sinceMs: number): Fault | null {
    let first: Armed | null = null;
    for (const armed of this.#armed) {
      if (concerns(armed) && wouldStrike(armed, sinceMs)) first ??= armed;
    }
    if (first === null) return null;
    first.struck += 1;
    return first.rule.fault;
  }

  #arm(rule: Rule): Armed {
    const [method = '*', path] = (rule.match ?? '*').split(' ');
    const seed = rule.seed ?? Math.imul(this.#seed + 1, 0x9e3779b1) + this.#count;
    this.#count += 1;
    return {
      rule,
      random: this.#shared ?? seededRandom(seed),
      method,
      template: path === undefined ? null : path.split('/'),
      nth: rule.nth === undefined ? null : new Set([rule.nth].flat()),
      seen: 0,
      struck: 0,
    };
  }
}

function fits(armed: Armed, method: string, segments: readonly string[]): boolean {
  if (armed.method !== '*' && armed.method !== method) return false;
  return armed.template === null || paramsOf(armed.template, segments) !== null;
}

/** Counts and draws for this rule, whether or not an earlier one strikes. */
function wouldStrike(armed: Armed, sinceMs: number): boolean {
  const { rule, nth } = armed;
  if (rule.during !== undefined && (sinceMs < rule.during.from || sinceMs >= rule.during.to)) return false;
  armed.seen += 1;
  const drawn = rule.probability === undefined || armed.random() < rule.probability;
  return drawn && (nth === null || nth.has(armed.seen)) && (rule.times === undefined || armed.struck < rule.times);
}
