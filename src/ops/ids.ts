import { randomUUID } from 'node:crypto';
import type { Clock } from './clock.ts';

/**
 * A UUID that begins with the time (version 7, RFC 9562 §5.7): rows of a moment stand together in an index, which costs
 * a large ledger a page per row less than random ones.
 */
export function newId(clock: Clock): string {
  const time = Math.floor(clock.wall()).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}
