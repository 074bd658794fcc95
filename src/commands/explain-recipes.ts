/** How `explain` shows what becomes of a create whose answer is lost. */

import type { Exchange } from '../core/exchange.ts';
import type { Outcome } from '../core/outcome.ts';
import type { EndpointPolicy, ErrorCondition, LookRequest, ProbeRecipe, ReconcileEntry } from '../core/policy.ts';
import { questionFor } from '../layers/reconcile-look.ts';
import { describeTime } from './explain-time.ts';

/** What would be asked about this very call, and what follows. */
export interface Search {
  readonly kind: ReconcileEntry['kind'] | 'undetectable';
  /** `GET /contacts/7/notes`, filled in; null when nothing can be asked. */
  readonly request: string | null;
  readonly recipe: ReconcileEntry | null;
}

/** What reconcile would do with an attempt that ended so; null when there is nothing in doubt. */
export async function searchAfter(exchange: Exchange, outcome: Outcome): Promise<Search | null> {
  const { policy, conflict, operation, attempts } = exchange;
  const { verdict } = outcome;
  if (operation === null || (exchange.operationClass ?? policy.operationClass) !== 'create') return null;
  const nowSeconds = Math.floor((attempts.at(-1)?.startedAtMs ?? 0) / 1000);
  const times = { sentAt: nowSeconds, since: nowSeconds };
  if (conflict !== null) {
    const question = await questionFor(conflict.recipe, exchange, times, conflict.names);
    if (question !== null) return searchOf(conflict.recipe, question.target);
  }
  if (verdict.class === 'ok' || verdict.effect === 'none') return null;
  for (const recipe of policy.reconcile) {
    const question = recipe.kind === 'on_error' ? null : await questionFor(recipe, exchange, times);
    if (question !== null) return searchOf(recipe, question.target);
  }
  return { kind: 'undetectable', request: null, recipe: null };
}

function searchOf(recipe: ReconcileEntry, target: string): Search {
  return { kind: recipe.kind, request: `${recipe.request.method} ${target}`, recipe };
}

/** Writes what would be done on one line. */
export function describeSearch({ request, recipe }: Search): string {
  if (recipe === null) return 'no: nothing shows whether it landed; its outcome stays unknown';
  if (recipe.kind === 'on_error') {
    return `${request}: created since the first sending, it is the success; older, this error is the answer  ${recipe.origin}`;
  }
  return `${request} ${describePlan(recipe)}  ${recipe.origin}`;
}

/** The recipes of a row, one line each; and that there are none, where there should be. */
export function describeRecipes({ operationClass, guardedBy, reconcile }: EndpointPolicy): string[] {
  if (operationClass !== 'create') return [];
  const lines = reconcile.map((recipe) => `${describeRecipe(recipe)}  ${recipe.origin}`);
  if (lines.length > 0 || guardedBy !== null) return lines;
  return ['undetectable: nothing shows whether one landed whose answer was lost'];
}

function describeRecipe(recipe: ReconcileEntry): string {
  const asked = requestText(recipe.request);
  const condition = recipe.holdsFor === null ? '' : ` when ${recipe.holdsFor.source}`;
  if (recipe.kind === 'on_error') return `after ${errorText(recipe.when)} on a repeat: ${asked}`;
  return `${recipe.kind}${condition}: ${asked} ${describePlan(recipe)}`;
}

function describePlan({ looksAtMs, resendIfAbsent }: ProbeRecipe): string {
  const times = looksAtMs.map(describeTime).join(', ');
  const absent =
    typeof resendIfAbsent === 'number'
      ? `unknown, for the queue after ${describeTime(resendIfAbsent)}`
      : resendIfAbsent
        ? 'sent again once'
        : 'unknown';
  return `after ${times}; absent: ${absent}`;
}

/** The request as its entry has it. */
export function requestText({ method, target }: LookRequest): string {
  const parts = target.map((part) => {
    if (part.kind === 'text') return part.text;
    return `{${part.kind === 'name' ? part.name : part.expression.source}}`;
  });
  return `${method} ${parts.join('')}`;
}

function errorText({ matchesStatus, codes, message }: ErrorCondition): string {
  const statuses = Array.from({ length: 600 }, (_, i) => i).filter((status) => matchesStatus?.(status) === true);
  const parts = [
    statuses.length > 0 && statuses.length < 10 ? statuses.join(' or ') : null,
    codes === null ? null : [...codes].join(' or '),
    message === null ? null : String(message),
  ];
  return parts.filter((part) => part !== null).join(' ');
}

/** The recipes for programs. */
export function recipesAsJson({ reconcile }: EndpointPolicy): unknown[] {
  return reconcile.map((recipe) => ({
    kind: recipe.kind,
    request: requestText(recipe.request),
    if: recipe.holdsFor?.source ?? null,
    landed: recipe.landed?.source ?? null,
    looks_ms: recipe.kind === 'on_error' ? null : recipe.looksAtMs,
    resend_if_absent: recipe.kind === 'on_error' ? null : recipe.resendIfAbsent,
    origin: recipe.origin,
  }));
}
