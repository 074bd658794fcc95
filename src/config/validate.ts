/**
 * Checks what was written against the declaration, and says every fault where it stands. Loaded only when there is
 * something to check: the schema library takes as long to start as the rest of the proxy, and the defaults and the
 * shipped map were checked when they were made (scripts/generate-config.ts).
 */

import type { z } from 'zod';
import { nearest } from '../core/nearest.ts';
import { type Fault, fault, type Path, type Place } from './faults.ts';
import { type ConfigFile, configFile } from './schema.ts';

/** Where the parts of what was written stand. */
export interface Places {
  readonly placeOf: (path: Path) => Place;
  readonly placeOfKey: (path: Path, name: string) => Place;
}

/** What was written, checked. */
export interface Validated {
  readonly faults: Fault[];
  /** What is right of it, so that further faults can be found in the same run; all of it when there are no faults. */
  readonly config: ConfigFile;
  /** Where the rows of `config.endpoints` stood in the list as written. */
  readonly rowIndexes: readonly number[];
}

const PRUNE_ROUNDS = 5;

/** Checks the written configuration; all faults at once. */
export function validate(data: unknown, places: Places): Validated {
  const pruned: Pruned = { data, rowIndexes: rowsOf(data).map((_, index) => index) };
  const faults: Fault[] = [];
  for (let round = 0; round < PRUNE_ROUNDS; round += 1) {
    const result = configFile.safeParse(pruned.data);
    if (result.success) return { faults, config: result.data, rowIndexes: pruned.rowIndexes };
    if (round === 0) faults.push(...result.error.issues.flatMap((issue) => faultsOf(issue, data, places)));
    prune(pruned, result.error.issues);
  }
  return { faults, config: {}, rowIndexes: [] };
}

interface Pruned {
  data: unknown;
  rowIndexes: number[];
}

function rowsOf(data: unknown): unknown[] {
  const rows = (data as { endpoints?: unknown } | null)?.endpoints;
  return Array.isArray(rows) ? rows : [];
}

/** Takes out what is wrong: whole rows, and single keys elsewhere. */
function prune(pruned: Pruned, issues: readonly z.core.$ZodIssue[]): void {
  pruned.data = structuredClone(pruned.data);
  const wrongRows = new Set<number>();
  for (const issue of issues) {
    const paths = issue.code === 'unrecognized_keys' ? issue.keys.map((name) => [...issue.path, name]) : [issue.path];
    for (const path of paths) {
      const [top, index] = path;
      if (top === 'endpoints' && typeof index === 'number') wrongRows.add(index);
      else remove(pruned, path);
    }
  }
  if (wrongRows.size === 0) return;
  (pruned.data as { endpoints: unknown[] }).endpoints = rowsOf(pruned.data).filter((_, index) => !wrongRows.has(index));
  pruned.rowIndexes = pruned.rowIndexes.filter((_, index) => !wrongRows.has(index));
}

function remove(pruned: Pruned, path: Path): void {
  const firstIndex = path.findIndex((step) => typeof step === 'number');
  const keys = firstIndex === -1 ? path : path.slice(0, firstIndex);
  const last = keys.at(-1);
  if (last === undefined) {
    pruned.data = {};
    return;
  }
  let parent = pruned.data as Record<PropertyKey, unknown> | null | undefined;
  for (const step of keys.slice(0, -1)) parent = parent?.[step] as Record<PropertyKey, unknown> | null | undefined;
  if (typeof parent === 'object' && parent !== null) delete parent[last];
}

function faultsOf(issue: z.core.$ZodIssue, data: unknown, places: Places): Fault[] {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(path);
    return issue.keys.map((name) =>
      fault(places.placeOfKey(path, name), [...path, name], 'unknown key', {
        nearest: nearest(name, known),
        allowed: nearest(name, known) === null ? known.join(', ') : null,
      }),
    );
  }
  if (issue.code === 'invalid_key') {
    const allowed = issue.issues[0]?.message ?? null;
    const name = String(path.at(-1));
    return [fault(places.placeOfKey(path.slice(0, -1), name), path, 'not a name', { got: name, allowed })];
  }
  const message = valueAt(data, path) === undefined ? 'is required' : 'not allowed';
  // What stands under `notify` may be a webhook: a secret.
  const hidden = path[0] === 'notify' ? { got: null } : {};
  return [fault(places.placeOf(path), path, message, { allowed: issue.message, ...hidden })];
}

function valueAt(data: unknown, path: Path): unknown {
  let value = data;
  for (const step of path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[step];
  return value;
}

/** The parts of a schema's definition that lead further down. */
interface Definition {
  readonly innerType?: z.ZodType;
  readonly options?: readonly z.ZodType[];
  readonly shape?: Readonly<Record<PropertyKey, z.ZodType>>;
  readonly element?: z.ZodType;
  readonly valueType?: z.ZodType;
}

/** The keys that are known at a path, read from the declaration. */
function keysAt(path: Path): string[] {
  let found = definitionsOf(configFile);
  for (const step of path) {
    found = found.flatMap(({ shape, element, valueType }) => {
      const named = shape !== undefined && Object.hasOwn(shape, step) ? shape[step] : undefined;
      const child = named ?? element ?? valueType;
      return child === undefined ? [] : definitionsOf(child);
    });
  }
  return found.flatMap(({ shape }) => Object.keys(shape ?? {}));
}

function definitionsOf(schema: z.ZodType): Definition[] {
  const definition = schema.def as Definition;
  if (definition.innerType !== undefined) return definitionsOf(definition.innerType);
  return definition.options?.flatMap(definitionsOf) ?? [definition];
}
