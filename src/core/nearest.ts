/**
 * The name that a person probably meant: used for unknown keys, profiles and endpoints. Optimal string alignment
 * distance, so that swapped letters count as one slip, which plain Levenshtein counts as two.
 */

/** Finds the candidate that is most like `name`; null when none is like it (more than a third of it differs). */
export function nearest(name: string, candidates: Iterable<string>): string | null {
  const wanted = plain(name);
  const furthest = Math.max(1, Math.floor(wanted.length / 3));
  let best: string | null = null;
  let bestDistance = furthest + 1;
  for (const candidate of candidates) {
    const other = plain(candidate);
    if (Math.abs(other.length - wanted.length) >= bestDistance) continue;
    const far = distance(wanted, other, bestDistance);
    if (far < bestDistance) {
      best = candidate;
      bestDistance = far;
    }
  }
  return best;
}

const LONGEST_COMPARED = 100;

/** `maxRetries`, `max-retries` and `max_retries` are the same slip. */
function plain(name: string): string {
  return name.slice(0, LONGEST_COMPARED).toLowerCase().replaceAll(/[_-]/g, '');
}

/** Gives up, with Infinity, as soon as the distance must be `enough` or more. */
function distance(a: string, b: string, enough: number): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, at(beforeLast, j - 2) + 1);
      row.push(cost);
    }
    // A swap reaches back two rows.
    if (Math.min(...row) >= enough && Math.min(...last) >= enough) return Infinity;
    beforeLast = last;
    last = row;
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] as number;
}
