/**
 * Exported dead letters, taken in again: what `shownOperation` shows, read strictly where a redrive depends on it. They come
 * without credential, which no export has, and as rows of nobody: no caller's key or look may find them.
 */

import { hash } from 'node:crypto';
import { z } from 'zod';
import type { AttemptRecord } from '../core/exchange.ts';
import type { Operation } from '../core/operation.ts';
import { withoutHeaders } from '../core/raw-headers.ts';
import { OperationExists, type Store } from '../core/store.ts';
import type { Clock } from '../ops/clock.ts';
import { type AdminRoute, route } from './admin-route.ts';
import { UNKEPT_FIELDS, withLength } from './dead-letter-edit.ts';

const REASONS = ['exhausted', 'permanent', 'unknown', 'interrupted', 'refused'] as const;
const EFFECTS = ['none', 'applied', 'unknown'] as const;
const time = z.iso.datetime();
const text = z.string().max(8192);

const bodySchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.enum(['none', 'not_kept', 'withheld']) }),
  z.object({ kind: z.literal('text'), text: z.string() }),
  z
    .object({ kind: z.literal('json'), text: z.string(), json: z.unknown().optional() })
    .refine((body) => saysTheSame(body.text, body.json), {
      error: 'json and text differ; text is what is sent: take json out of the line, or edit after the import',
    }),
  z.object({ kind: z.literal('base64'), base64: z.base64() }),
]);

const attemptSchema = z.object({
  n: z.int().min(1),
  at: time,
  duration_ms: z.number(),
  waited_ms: z.number(),
  wait_reason: z.string().nullable(),
  status: z.int().nullable(),
  failure: z.string().nullable(),
  sent: z.enum(['no', 'maybe', 'yes']),
  verdict: z.enum(['ok', 'throttled', 'transient', 'permanent', 'unauthorized']),
  reason: z.string(),
  effect: z.enum(EFFECTS),
  code: z.string().nullish(),
  excerpt: z.string().nullish(),
  request_id: z.string().nullable(),
});

const letterSchema = z.object({
  id: z.string().regex(/^[\w-]{1,64}$/),
  state: z.string(),
  reason: z.enum(REASONS),
  cause: z.string().max(64).nullable(),
  cause_label: z.string().max(400).nullable(),
  count: z.int().min(1),
  endpoint: text,
  class: z.enum(['read', 'idempotent', 'create']),
  verdict: z.string().max(200),
  effect: z.enum(EFFECTS),
  context: z.record(z.string(), z.string()).nullable(),
  first_at: time,
  sent_at: time.nullable(),
  dead_at: time.nullable(),
  parent: z.string().max(64).nullable(),
  maybe_superseded_by: z.string().max(64).nullable(),
  request: z.object({
    method: z.string().regex(/^[A-Z]{1,20}$/),
    target: z.string().regex(/^\/[\x21-\x7e]*$/),
    headers: z
      .array(z.tuple([z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/), z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/)]))
      .max(200),
    body: bodySchema,
  }),
  attempts: z.array(attemptSchema).max(1000),
});

/** Whoever edits an export edits what reads better, and not what is sent. */
function saysTheSame(sent: string, shown: unknown): boolean {
  if (shown === undefined) return true;
  try {
    return JSON.stringify(JSON.parse(sent)) === JSON.stringify(shown);
  } catch {
    return false;
  }
}

type Letter = z.infer<typeof letterSchema>;

const AT_ONCE_MAX = 500;
/** States that want something done; a line in another one is history of another ledger. */
const OPEN = new Set(['dead', 'unknown']);

/** The call. */
export function importRoute({ store, clock }: { readonly store: Store; readonly clock: Clock }): AdminRoute {
  return route({
    method: 'POST',
    path: '/api/dead-letters/import',
    does: 'Takes exported dead letters in; ids that are there already stay as they are.',
    query: null,
    body: z.strictObject({ dead_letters: z.array(z.unknown()).min(1).max(AT_ONCE_MAX) }),
    answers: {
      status: 200,
      says: 'results in the same order: imported (without_body: it cannot be redriven), known, or refused with a message',
    },
    errors: [400],
    handle: async ({ body }) => ({
      status: 200,
      body: { results: await Promise.all(body.dead_letters.map((each) => taken(store, each, clock.wall()))) },
    }),
  });
}

interface Taken {
  readonly result: 'imported' | 'known' | 'refused';
  readonly message?: string;
  readonly without_body?: true;
}

async function taken(store: Store, given: unknown, nowMs: number): Promise<Taken> {
  const read = letterSchema.safeParse(given);
  if (!read.success) {
    const [issue] = read.error.issues;
    return { result: 'refused', message: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is no dead letter'}` };
  }
  if (!OPEN.has(read.data.state)) return { result: 'refused', message: `is ${read.data.state}: nothing is to be done` };
  try {
    const operation = operationOf(read.data, nowMs);
    await store.insert(operation);
    return { result: 'imported', ...(operation.bodyKept ? {} : { without_body: true }) };
  } catch (error) {
    if (error instanceof OperationExists) return { result: 'known' };
    throw error;
  }
}

function operationOf(letter: Letter, nowMs: number): Operation {
  const { request } = letter;
  const body = bytesOf(request.body);
  const bodyKept = body !== null || request.body.kind === 'none';
  return {
    id: letter.id,
    kind: 'outbound',
    endpoint: letter.endpoint,
    operationClass: letter.class,
    method: request.method,
    target: request.target,
    // A length that is not that of the body would end the connection in the middle of a redrive.
    headers: withLength(withoutHeaders(request.headers.flat(), UNKEPT_FIELDS), body),
    body,
    bodyKept,
    scope: NOBODY,
    credentialRef: 'none',
    credential: null,
    keyHash: null,
    fingerprint: null,
    identity: hash('sha256', `imported ${letter.id}`, 'hex'),
    context: letter.context,
    parent: letter.parent,
    // A create in doubt stays in doubt: it is looked for before it is sent.
    state: letter.class === 'create' && letter.effect !== 'none' ? 'unknown' : 'dead',
    effect: letter.effect,
    reason: letter.verdict,
    deadReason: letter.reason,
    deadAtMs: ms(letter.dead_at) ?? nowMs,
    causeId: letter.cause,
    causeLabel: letter.cause_label,
    count: letter.count,
    formerKeyHash: null,
    naturalKey: null,
    configHash: null,
    handedOver: false,
    lane: null,
    resource: null,
    supersededBy: null,
    maybeSupersededBy: letter.maybe_superseded_by,
    redriveId: null,
    createdAtMs: ms(letter.first_at) ?? nowMs,
    updatedAtMs: nowMs,
    sentAtMs: ms(letter.sent_at),
    dueAtMs: null,
    expiresAtMs: null,
    answer: null,
    answerId: null,
    delivered: true,
    looks: 0,
    attempts: letter.attempts.map(attemptOf),
  };
}

function ms(iso: string | null): number | null {
  return iso === null ? null : Date.parse(iso);
}

const NOBODY = '0'.repeat(32);

function bytesOf(body: Letter['request']['body']): Buffer | null {
  if (body.kind === 'base64') return Buffer.from(body.base64, 'base64');
  return 'text' in body ? Buffer.from(body.text) : null;
}

function attemptOf(attempt: Letter['attempts'][number]): AttemptRecord {
  return {
    n: attempt.n,
    startedAtMs: Date.parse(attempt.at),
    durationMs: attempt.duration_ms,
    status: attempt.status,
    failure: attempt.failure as AttemptRecord['failure'],
    sent: attempt.sent,
    verdict: attempt.verdict,
    reason: attempt.reason,
    effect: attempt.effect,
    waitedMs: attempt.waited_ms,
    waitReason: attempt.wait_reason as AttemptRecord['waitReason'],
    requestId: attempt.request_id,
    code: attempt.code ?? null,
    excerpt: attempt.excerpt ?? null,
  };
}
