/**
 * What one notification target is to be told, and when (semantics §9): a pure machine, fed with what happened and asked
 * from time to time what is due. It counts and groups instead of queueing: ten thousand equal events are one group with a
 * count, so that there is no queue that could overflow and nothing to drop. Everything it keeps is bounded by the
 * configuration or by a constant. Two rules make it quiet: a new group is gathered for a moment, so that its first message
 * has a meaningful count, and then is told at most once per interval; messages of one topic keep a gap.
 */

import type { BreakerKind } from './breaker.ts';
import type { CauseGroup } from './cause-group.ts';
import { ErrorWatch } from './notify-errors.ts';
import { type DueGroup, Groups } from './notify-groups.ts';
import { counted, minutes, type Notice, type NotifyRules } from './notify-notice.ts';
import type { DeadReason } from './operation.ts';
import type { NotifyTopic } from './settings.ts';
import type { Verdict } from './verdict.ts';

/** Something that an operator may have to hear of. */
export type OperatorEvent =
  | { readonly kind: 'dead_letter'; readonly reason: DeadReason; readonly cause: CauseGroup }
  | { readonly kind: 'breaker'; readonly endpoint: string; readonly to: BreakerKind }
  /** A call ended; `failed`: by a fault of the upstream's, or of the way to it. */
  | { readonly kind: 'ended'; readonly endpoint: string; readonly failed: boolean }
  | { readonly kind: 'credential_rejected'; readonly credentialRef: string };

/** A fault of the upstream's, or of the way to it. Who left is no fault of anybody's. */
export function isFailure({ class: verdictClass, reason }: Verdict): boolean {
  if (reason === 'client_gone' || reason === 'interrupted') return false;
  return verdictClass === 'transient' || verdictClass === 'throttled';
}

const GATHER_MS = 5000;
const GAP_MS = 30_000;
const CAUSES_MAX = 1000;
const CREDENTIALS_MAX = 100;
const LINES_MAX = 10;

/** What to do about each kind, the most urgent first. */
const NEXT: Readonly<Record<DeadReason, string>> = {
  unknown:
    'Some may have landed. `holdfast dlq redrive --cause unknown` looks before it sends; where nothing can be looked at, a person decides: `holdfast dlq show ID`, then `holdfast dlq redrive ID --force`.',
  exhausted: 'Redrive them when the upstream is well: `holdfast dlq redrive --cause exhausted`.',
  refused: 'Nothing of them was sent. Redrive them when the upstream is well: `holdfast dlq redrive --cause refused`.',
  interrupted:
    'Their callers left or the process stopped. Redrive what nobody sent again: `holdfast dlq redrive --cause interrupted`.',
  permanent:
    'The upstream will say no again: put the data, the permission or the token right (`holdfast dlq groups`), then redrive or discard.',
};
const KINDS = Object.keys(NEXT) as DeadReason[];
/** What credentials are called when there is none (`credentialRef`). */
const NO_CREDENTIAL = 'none';

/** What one target is told. Times are monotonic ms. */
export class Watch {
  readonly #rules: NotifyRules;
  readonly #causes = new Groups<{ readonly reason: DeadReason; readonly label: string }>(CAUSES_MAX, {
    reason: 'permanent',
    label: 'other causes',
  });
  readonly #credentials = new Groups<string>(CREDENTIALS_MAX, 'others');
  readonly #breakers = new Map<string, { readonly sinceMs: number; told: boolean }>();
  readonly #breakerToldAt = new Map<string, number>();
  readonly #errors: ErrorWatch;
  readonly #quietUntilMs: Partial<Record<NotifyTopic, number>> = {};

  constructor(rules: NotifyRules) {
    this.#rules = rules;
    this.#errors = new ErrorWatch(rules);
  }

  /** Takes what happened. Costs a look into a table. */
  note(event: OperatorEvent, nowMs: number): void {
    const { on } = this.#rules;
    switch (event.kind) {
      case 'dead_letter': {
        const { reason, cause } = event;
        if (on.has('dead_letter')) this.#causes.note(`${reason} ${cause.id}`, { reason, label: cause.label }, nowMs);
        return;
      }
      case 'credential_rejected':
        if (on.has('credentials')) this.#credentials.note(event.credentialRef, event.credentialRef, nowMs);
        return;
      case 'ended':
        if (on.has('errors')) this.#errors.note(event.endpoint, event.failed, nowMs);
        return;
      case 'breaker':
        if (on.has('breaker_open')) this.#breaker(event.endpoint, event.to, nowMs);
        return;
    }
  }

  /** What is to be told now; at most one notice per topic, and one more for what is over. */
  due(nowMs: number): Notice[] {
    const notices = [
      ...this.#once('dead_letter', nowMs, () => this.#deadLetters(nowMs)),
      ...this.#once('breaker_open', nowMs, () => this.#openBreakers(nowMs)),
      ...this.#once('credentials', nowMs, () => this.#rejected(nowMs)),
      ...this.#errors.due(nowMs),
      ...this.#over,
    ];
    this.#over = [];
    return notices;
  }

  #over: Notice[] = [];

  #once(topic: NotifyTopic, nowMs: number, make: () => Notice | null): Notice[] {
    if (nowMs < (this.#quietUntilMs[topic] ?? 0)) return [];
    const notice = make();
    if (notice === null) return [];
    this.#quietUntilMs[topic] = nowMs + Math.min(GAP_MS, this.#rules.intervalMs);
    return [notice];
  }

  #deadLetters(nowMs: number): Notice | null {
    const due = this.#causes.due(nowMs, GATHER_MS, this.#rules.intervalMs);
    if (due.length === 0) return null;
    const total = due.reduce((sum, { count }) => sum + count, 0);
    const lines = due.map(({ count, facts }) => `${count} × ${facts.reason}: ${facts.label}`);
    return {
      topic: 'dead_letter',
      title: `${counted(total, 'new dead letter')} of ${counted(due.length, 'cause')}`,
      lines: atMost(lines),
      next: adviceOn(due),
    };
  }

  #rejected(nowMs: number): Notice | null {
    const due = this.#credentials.due(nowMs, GATHER_MS, this.#rules.intervalMs);
    if (due.length === 0) return null;
    const named = due.filter(({ facts }) => facts !== NO_CREDENTIAL).length;
    const what = named === 0 ? 'calls without a credential' : counted(named, 'credential');
    const next =
      'Tokens do not recover: see in the Developer Hub whether it was revoked, and put a new one in its place.';
    return {
      topic: 'credentials',
      title: `The upstream refused ${what} (401)`,
      lines: atMost(
        due.map(
          ({ count, facts }) =>
            `${facts === NO_CREDENTIAL ? 'without a credential' : facts}: ${counted(count, 'call')}`,
        ),
      ),
      next: named === 0 ? 'Somebody calls without `Authorization`: Holdfast adds none of its own here.' : next,
    };
  }

  #breaker(endpoint: string, to: BreakerKind, nowMs: number): void {
    if (to === 'half_open') return;
    const open = this.#breakers.get(endpoint);
    if (to === 'open') {
      if (open === undefined) this.#breakers.set(endpoint, { sinceMs: nowMs, told: false });
      return;
    }
    this.#breakers.delete(endpoint);
    // Held by a person: that person knows.
    if (open?.told !== true || to !== 'closed') return;
    this.#over.push({
      topic: 'breaker_open',
      title: `The breaker of ${endpoint} is closed again`,
      lines: [`It was open for ${minutes(nowMs - open.sinceMs)}.`],
      next: 'What was refused meanwhile is kept: `holdfast dlq groups`, then `holdfast dlq redrive --cause refused`.',
    });
  }

  #openBreakers(nowMs: number): Notice | null {
    const { afterMs, intervalMs } = this.#rules;
    const due = [...this.#breakers].filter(
      ([endpoint, { sinceMs, told }]) =>
        !told && nowMs - sinceMs >= afterMs && nowMs - (this.#breakerToldAt.get(endpoint) ?? -Infinity) >= intervalMs,
    );
    if (due.length === 0) return null;
    for (const [endpoint, breaker] of due) {
      breaker.told = true;
      this.#breakerToldAt.set(endpoint, nowMs);
    }
    return {
      topic: 'breaker_open',
      title: due.length === 1 ? `The breaker of ${due[0]?.[0]} is open` : `${due.length} breakers are open`,
      lines: atMost(due.map(([endpoint, { sinceMs }]) => `${endpoint}: for ${minutes(nowMs - sinceMs)}`)),
      next: 'Calls are refused until a probe succeeds. Look at the upstream’s status page; GET /api/status shows the next probe.',
    };
  }
}

/** One line per kind that there is: what repairs twelve of one helps one of another nothing. */
function adviceOn(due: readonly DueGroup<{ readonly reason: DeadReason }>[]): string {
  const kinds = KINDS.map((reason) => ({
    reason,
    rows: due.reduce((sum, { count, facts }) => sum + (facts.reason === reason ? count : 0), 0),
  })).filter(({ rows }) => rows > 0);
  if (kinds.length === 1) return kinds.map(({ reason }) => NEXT[reason]).join('');
  return kinds.map(({ reason, rows }) => `${rows} × ${reason}: ${NEXT[reason]}`).join('\n');
}

function atMost(lines: readonly string[]): readonly string[] {
  return lines.length <= LINES_MAX ? lines : [...lines.slice(0, LINES_MAX), `and ${lines.length - LINES_MAX} more`];
}
