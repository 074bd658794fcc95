/** Dead letters and operations as the admin API shows them. Credentials are not even read. */

import type { DeadGroup, DeadHead } from '../core/dead-letters.ts';
import type { AttemptRecord } from '../core/exchange.ts';
import { type Operation, SECRET_FIELDS } from '../core/operation.ts';
import { type RawHeaders, withoutHeaders } from '../core/raw-headers.ts';

/** A row of a list. */
export function shownHead(head: DeadHead): Record<string, unknown> {
  const { attempts, lastAttempt } = head;
  return {
    ...shownFacts(head),
    attempts,
    last_attempt: lastAttempt === null ? null : shownAttempt(lastAttempt),
  };
}

/** The whole, with history and bodies. */
export function shownOperation(operation: Operation): Record<string, unknown> {
  const { headers, body, bodyKept, attempts, answer } = operation;
  return {
    ...shownFacts(operation),
    request: {
      method: operation.method,
      target: operation.target,
      headers: pairsOf(headers),
      body: shownBody(body, bodyKept),
    },
    attempts: attempts.map(shownAttempt),
    answer: answer && {
      status: answer.status,
      headers: pairsOf(withoutHeaders(answer.headers, SECRET_FIELDS)),
      body: shownBody(answer.body, answer.body !== null),
    },
  };
}

/** A cause group. */
export function shownGroup(group: DeadGroup): Record<string, unknown> {
  return {
    cause: group.causeId,
    label: group.label,
    endpoint: group.endpoint,
    reason: group.deadReason,
    rows: group.rows,
    calls: group.calls,
    states: group.states,
    bytes: group.bytes,
    first_at: time(group.firstAtMs),
    last_at: time(group.lastAtMs),
    samples: group.samples,
  };
}

function shownFacts(row: Omit<DeadHead, 'attempts' | 'lastAttempt'>): Record<string, unknown> {
  return {
    id: row.id,
    state: row.state,
    reason: row.deadReason,
    cause: row.causeId,
    cause_label: row.causeLabel,
    count: row.count,
    endpoint: row.endpoint,
    class: row.operationClass,
    method: row.method,
    target: row.target,
    verdict: row.reason,
    effect: row.effect,
    context: row.context,
    credential_ref: row.credentialRef,
    first_at: time(row.createdAtMs),
    sent_at: time(row.sentAtMs),
    dead_at: time(row.deadAtMs),
    updated_at: time(row.updatedAtMs),
    due_at: time(row.dueAtMs),
    body_kept: row.bodyKept,
    handed_over: row.handedOver,
    answer_id: row.answerId,
    config_hash: row.configHash,
    parent: row.parent,
    superseded_by: row.supersededBy,
    maybe_superseded_by: row.maybeSupersededBy,
    redrive: row.redriveId,
  };
}

function shownAttempt(record: AttemptRecord): Record<string, unknown> {
  return {
    n: record.n,
    at: time(record.startedAtMs),
    duration_ms: Math.round(record.durationMs * 10) / 10,
    waited_ms: Math.round(record.waitedMs),
    wait_reason: record.waitReason,
    status: record.status,
    failure: record.failure,
    sent: record.sent,
    verdict: record.verdict,
    reason: record.reason,
    effect: record.effect,
    code: record.code ?? null,
    excerpt: record.excerpt ?? null,
    request_id: record.requestId,
  };
}

/** Whether the bytes are JSON; they were meant to be when the first one says so. */
export function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(utf8.decode(bytes));
    return true;
  } catch {
    return false;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** JSON as JSON, when it says the same after a parse; other text as text; anything else in base64. */
function shownBody(body: Buffer | null, kept: boolean): Record<string, unknown> {
  if (body === null) return { kind: kept ? 'none' : 'not_kept' };
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    return { kind: 'base64', base64: body.toString('base64') };
  }
  return isJson(body) ? { kind: 'json', json: JSON.parse(text), text } : { kind: 'text', text };
}

function pairsOf(headers: RawHeaders): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < headers.length; i += 2) pairs.push([headers[i] as string, headers[i + 1] as string]);
  return pairs;
}

function time(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
