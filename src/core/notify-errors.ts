/**
 * Whether errors last: the share of failed calls is looked at in slices of a sixth of `after`, and only when every slice
 * with traffic was bad for all of `after` is it told. A plain ratio over the whole time would call one burst of a second
 * sustained. A slice without calls proves nothing either way.
 */

import { counted, minutes, type Notice, type NotifyRules } from './notify-notice.ts';

const SLICES = 6;
/** Fewer calls than this are no rate. */
const CALLS_MIN = 20;
const ENDPOINTS_SHOWN = 3;

/** Watches the share of failed calls. Times are monotonic ms. */
export class ErrorWatch {
  readonly #rules: NotifyRules;
  #sliceEndsMs = -Infinity;
  #calls = 0;
  #failed = 0;
  /** Start of the first of the bad slices; null while it is well. */
  #badSinceMs: number | null = null;
  /** End of the last of them. */
  #badUntilMs = 0;
  #badCalls = 0;
  #badFailed = 0;
  readonly #byEndpoint = new Map<string, number>();
  #told = false;
  #toldAtMs = -Infinity;
  #over: Notice[] = [];

  constructor(rules: NotifyRules) {
    this.#rules = rules;
  }

  note(endpoint: string, failed: boolean, nowMs: number): void {
    this.#roll(nowMs);
    this.#calls += 1;
    if (!failed) return;
    this.#failed += 1;
    this.#byEndpoint.set(endpoint, (this.#byEndpoint.get(endpoint) ?? 0) + 1);
  }

  due(nowMs: number): Notice[] {
    this.#roll(nowMs);
    const notices = this.#over;
    this.#over = [];
    const { afterMs, intervalMs } = this.#rules;
    if (this.#badSinceMs === null || this.#told || this.#badCalls < CALLS_MIN) return notices;
    const lastedMs = this.#badUntilMs - this.#badSinceMs;
    if (lastedMs < afterMs || nowMs - this.#toldAtMs < intervalMs) return notices;
    this.#told = true;
    this.#toldAtMs = nowMs;
    const worst = [...this.#byEndpoint].sort((a, b) => b[1] - a[1]).slice(0, ENDPOINTS_SHOWN);
    return [
      ...notices,
      {
        topic: 'errors',
        title: `${Math.round((100 * this.#badFailed) / this.#badCalls)} % of calls have failed for ${minutes(lastedMs)}`,
        lines: [
          `${counted(this.#badFailed, 'failed call')} of ${this.#badCalls}`,
          ...worst.map(([endpoint, failed]) => `${endpoint}: ${failed}`),
        ],
        next: 'Look at the upstream’s status page, and at holdfast_attempts_total by reason: are these its errors, the network’s, or a quota that is used up?',
      },
    ];
  }

  #roll(nowMs: number): void {
    if (nowMs < this.#sliceEndsMs) return;
    const sliceMs = this.#rules.afterMs / SLICES;
    const startedMs = this.#sliceEndsMs - sliceMs;
    if (this.#calls > 0) {
      if (this.#failed / this.#calls >= this.#rules.errorRatio) this.#bad(startedMs, this.#sliceEndsMs);
      else this.#well(startedMs);
    }
    this.#calls = 0;
    this.#failed = 0;
    this.#sliceEndsMs = nowMs + sliceMs;
  }

  #bad(startedMs: number, endedMs: number): void {
    this.#badSinceMs ??= startedMs;
    this.#badUntilMs = endedMs;
    this.#badCalls += this.#calls;
    this.#badFailed += this.#failed;
  }

  #well(nowMs: number): void {
    if (this.#told && this.#badSinceMs !== null) {
      this.#over.push({
        topic: 'errors',
        title: 'Calls succeed again',
        lines: [`Errors lasted for ${minutes(nowMs - this.#badSinceMs)}.`],
        next: 'What was lost meanwhile is kept: `holdfast dlq groups`.',
      });
    }
    this.#told = false;
    this.#badSinceMs = null;
    this.#badCalls = 0;
    this.#badFailed = 0;
    this.#byEndpoint.clear();
  }
}
