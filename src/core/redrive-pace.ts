/**
 * When a redrive may go on. It begins with a canary, rows that go one at a time, and goes on only when most of them
 * succeeded; then it watches its own last results, and stops by itself when half of them failed. The breaker cannot do
 * that for it: an upstream that answers 401 or 422 to every row is well, and the rows are not. Somebody resumes it, and
 * then it proves itself with a canary again.
 *
 *     canary ──▶ full ──▶ done            each but the final ones ──▶ cancelled
 *        │         │
 *        └──▶ paused ──▶ canary
 */

/** The window of its own results, and what of it is a relapse. */
export const RELAPSE_WINDOW = 20;
export const RELAPSE_LEAST = 6;
export const RELAPSE_RATIO = 0.5;

/** Who stopped it. */
export type PausedBy = 'person' | 'canary' | 'relapse' | 'store' | 'credential';

/** Where it stands; each state has its own data only. */
export type Pace =
  | { readonly kind: 'canary'; readonly left: number; readonly failures: number }
  /** `recent`: whether the last rows failed, the newest last. */
  | { readonly kind: 'full'; readonly recent: readonly boolean[] }
  | { readonly kind: 'paused'; readonly by: PausedBy; readonly why: string }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'done' };

/** What happens to it. */
export type PaceEvent =
  /** A row has its result; null: it was not tried, or nothing can be learned from it. */
  | { readonly kind: 'row'; readonly failed: boolean | null }
  | { readonly kind: 'pause'; readonly by: PausedBy; readonly why: string }
  | { readonly kind: 'resume' }
  | { readonly kind: 'cancel' }
  /** No row is left, and none runs. */
  | { readonly kind: 'emptied' };

/** A redrive begins. */
export function beginPace(canary: number): Pace {
  return canary > 0 ? { kind: 'canary', left: canary, failures: 0 } : { kind: 'full', recent: [] };
}

/** The next state. `canary` is what the order asked for. */
export function nextPace(pace: Pace, event: PaceEvent, canary: number): Pace {
  if (pace.kind === 'done' || pace.kind === 'cancelled') return pace;
  switch (event.kind) {
    case 'row':
      return event.failed === null ? pace : afterRow(pace, event.failed, canary);
    case 'pause':
      return pace.kind === 'paused' ? pace : { kind: 'paused', by: event.by, why: event.why };
    case 'resume':
      return pace.kind === 'paused' ? beginPace(canary) : pace;
    case 'cancel':
      return { kind: 'cancelled' };
    case 'emptied':
      // The last row may be the one that made it stop: there is nothing left to stop.
      return { kind: 'done' };
  }
}

/** How many rows may run at once; 0: none may start. */
export function roomOf(pace: Pace, most: number): number {
  switch (pace.kind) {
    case 'canary':
      return 1;
    case 'full':
      return most;
    case 'paused':
    case 'cancelled':
    case 'done':
      return 0;
  }
}

function afterRow(pace: Pace, failed: boolean, canary: number): Pace {
  if (pace.kind === 'canary') {
    const left = pace.left - 1;
    const failures = pace.failures + (failed ? 1 : 0);
    if (failures * 2 >= canary) {
      const of = canary - left;
      return { kind: 'paused', by: 'canary', why: `${failures} of the first ${of} row${of === 1 ? '' : 's'} failed` };
    }
    return left > 0 ? { kind: 'canary', left, failures } : { kind: 'full', recent: [] };
  }
  if (pace.kind !== 'full') return pace;
  const recent = [...pace.recent, failed].slice(-RELAPSE_WINDOW);
  const failures = recent.filter(Boolean).length;
  if (recent.length < RELAPSE_LEAST || failures < recent.length * RELAPSE_RATIO) return { kind: 'full', recent };
  return { kind: 'paused', by: 'relapse', why: `${failures} of the last ${recent.length} rows failed` };
}
