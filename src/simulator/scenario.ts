/**
 * Scenarios: what a simulator does wrong, and when. Read strictly, because a scenario with a misspelt key would prove
 * nothing and say so to nobody.
 */

import { isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { duration, signedDuration } from './base/duration.ts';
import type { Fault } from './base/fault.ts';
import { anyFault, type FaultInput } from './faults/kinds.ts';

const span = z
  .strictObject({ from: duration, to: duration })
  .refine((value) => value.from < value.to, { error: 'from must be before to' });

const match = z.string().regex(/^(\*|(\*|[A-Z]+) \/\S*)$/, {
  error: 'must be "*", or a method (or *) and a path template, such as "POST /contacts/{id}"',
});

const ruleSchema = z
  .strictObject({
    match: match.optional(),
    probability: z.number().min(0).max(1).optional(),
    nth: z.union([z.int().min(1), z.array(z.int().min(1)).min(1)]).optional(),
    times: z.int().min(1).optional(),
    during: span.optional(),
    seed: z.int().optional(),
    fault: anyFault,
  })
  .refine((rule) => !(rule.fault.onAccept && rule.match !== undefined), {
    path: ['match'],
    error: 'refuse strikes before a request is read and takes no match',
  });

const scenarioSchema = z.strictObject({
  description: z.string().optional(),
  seed: z.int().optional(),
  quota: z
    .strictObject({
      limit: z.int().min(1).default(1667),
      window: duration.pipe(z.number().min(1000)).default(10_000),
      foreign: z.int().min(0).default(0),
    })
    .prefault({}),
  clock: z
    .strictObject({ offset: signedDuration.default(0), drift: z.number().min(-0.5).max(0.5).default(0) })
    .prefault({}),
  search_lag: duration.default(0),
  outages: z.array(span).default([]),
  rules: z.array(ruleSchema).default([]),
});

/** One rule, compiled: when which fault strikes. Every condition that is given must hold. */
export interface Rule {
  readonly match?: string | undefined;
  readonly probability?: number | undefined;
  /** Which of the matching requests, from 1. */
  readonly nth?: number | number[] | undefined;
  /** How often at the most. */
  readonly times?: number | undefined;
  /** Ms since the scenario began. */
  readonly during?: { readonly from: number; readonly to: number } | undefined;
  readonly seed?: number | undefined;
  readonly fault: Fault;
}

/** A whole scenario, compiled. */
export type Scenario = z.output<typeof scenarioSchema>;

/** A rule as one writes it. */
export type RuleInput = Omit<z.input<typeof ruleSchema>, 'fault'> & { fault: FaultInput };

/** A scenario as one writes it. */
export type ScenarioInput = Omit<z.input<typeof scenarioSchema>, 'rules'> & { rules?: readonly RuleInput[] };

/** A scenario that cannot be used; one line per fault found. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

/** Checks a scenario. Throws `ScenarioError` with every fault. */
export function compileScenario(input: unknown): Scenario {
  const result = scenarioSchema.safeParse(input ?? {});
  if (!result.success) throw new ScenarioError(result.error.issues.map((issue) => say(issue.path, issue.message)));
  return result.data;
}

/** Checks one rule. Throws `ScenarioError`. */
export function compileRule(input: unknown): Rule {
  const result = ruleSchema.safeParse(input);
  if (!result.success) throw new ScenarioError(result.error.issues.map((issue) => say(issue.path, issue.message)));
  return result.data;
}

/** Reads a scenario file's YAML and checks it. Throws `ScenarioError` with `file:line:column` before every fault. */
export function readScenario(source: string, file: string): ScenarioInput {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    throw new ScenarioError(document.errors.map((fault) => `${at(fault.pos[0])}: ${fault.message}`));
  }
  const input: unknown = document.toJS() ?? {};
  const result = scenarioSchema.safeParse(input);
  if (result.success) return input as ScenarioInput;
  throw new ScenarioError(
    result.error.issues.map((issue) => {
      const stranger = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
      return `${at(offsetOf(document, issue.path, stranger))}: ${say(issue.path, issue.message)}`;
    }),
  );
}

/** Where the value of a path stands, or the nearest thing around it that is there; `key` asks for that key in it. */
function offsetOf(document: ReturnType<typeof parseDocument>, path: readonly PropertyKey[], key?: string): number {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length) as (string | number)[], true);
    if (!isNode(node)) continue;
    const pair =
      isMap(node) && key !== undefined
        ? node.items.find((item) => isScalar(item.key) && item.key.value === key)
        : undefined;
    const named = isNode(pair?.key) ? pair.key : node;
    return named.range?.[0] ?? 0;
  }
  return 0;
}

function say(path: readonly PropertyKey[], message: string): string {
  return path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`;
}
