import type { DeadFilter, DeadGroup } from '../core/dead-letters.ts';
import type { OperationState } from '../core/operation.ts';
import type { DeadGroupPart, GroupSums } from './protocol.ts';

/** Puts the parts of each group together, of those that the filter means; the largest group first. */
export function groupsOfParts(parts: readonly DeadGroupPart[], filter: DeadFilter): DeadGroup[] {
  const groups = new Map<string, DeadGroup>();
  for (const part of parts) {
    if (!means(filter, part)) continue;
    const name = JSON.stringify([part.causeId, part.endpoint, part.deadReason]);
    const { id: _, state, ...facts } = part;
    const group = groups.get(name);
    const rows = (group?.states[state] ?? 0) + part.rows;
    const states: Partial<Record<OperationState, number>> = { ...group?.states, [state]: rows };
    groups.set(
      name,
      group === undefined
        ? { ...facts, states, samples: [] }
        : {
            ...group,
            states,
            rows: group.rows + part.rows,
            calls: group.calls + part.calls,
            bytes: group.bytes + part.bytes,
            firstAtMs: Math.min(group.firstAtMs, part.firstAtMs),
            lastAtMs: Math.max(group.lastAtMs, part.lastAtMs),
          },
    );
  }
  return [...groups.values()].sort((a, b) => b.calls - a.calls || b.lastAtMs - a.lastAtMs);
}

function means({ endpoint, cause, states }: DeadFilter, part: DeadGroupPart): boolean {
  if (endpoint !== undefined && part.endpoint !== endpoint) return false;
  if (cause !== undefined && part.causeId !== cause && part.deadReason !== cause) return false;
  return states === undefined || states.includes(part.state);
}

/** Adds up what slices found of each group. */
export class SumsOfGroups {
  readonly #byId = new Map<number, GroupSums>();

  add(slice: readonly GroupSums[]): void {
    for (const sums of slice) {
      const [id, rows, calls, bytes, first, last] = sums;
      const before = this.#byId.get(id);
      const both: GroupSums | undefined = before && [
        id,
        rows + before[1],
        calls + before[2],
        bytes + before[3],
        Math.min(first, before[4]),
        Math.max(last, before[5]),
      ];
      this.#byId.set(id, both ?? sums);
    }
  }

  /** The groups, with these sums in the place of their own; one that went meanwhile is left out. */
  of(groups: readonly DeadGroupPart[]): DeadGroupPart[] {
    const found: DeadGroupPart[] = [];
    for (const group of groups) {
      const sums = this.#byId.get(group.id);
      if (sums === undefined) continue;
      const [, rows, calls, bytes, firstAtMs, lastAtMs] = sums;
      found.push({ ...group, rows, calls, bytes, firstAtMs, lastAtMs });
    }
    return found;
  }
}
