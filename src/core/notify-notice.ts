/** What a notification says, before it is given anybody's format; words and numbers shared by those who make one. */

import type { NotifyTarget, NotifyTopic } from './settings.ts';

/** What a target is told: lines for people, without markup. */
export interface Notice {
  readonly topic: NotifyTopic;
  readonly title: string;
  readonly lines: readonly string[];
  /** What to do now. */
  readonly next: string;
}

/** How a target wants it. */
export type NotifyRules = Pick<NotifyTarget, 'on' | 'afterMs' | 'intervalMs' | 'errorRatio'>;

/** `1 cause`, `3 causes`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** `90 s`, `12 min`. */
export function minutes(ms: number): string {
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}
