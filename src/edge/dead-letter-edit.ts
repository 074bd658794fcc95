/**
 * An edited dead letter: a row of its own below the original, which stays and is passed by for as long as there
 * is one (`DeadLetterStore.supersede`). What was JSON must stay JSON, because
 * an edit that breaks it would be refused again, and by the upstream. Credentials are no part of an edit.
 */

import { hash, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { identityOf, NO_SCOPE } from '../core/fingerprint.ts';
import { HOP_BY_HOP } from '../core/hop-by-hop.ts';
import { type Operation, SECRET_FIELDS } from '../core/operation.ts';
import type { EndpointPolicy } from '../core/policy.ts';
import { type RawHeaders, withoutHeaders } from '../core/raw-headers.ts';
import { resourceOf } from '../core/resource.ts';
import type { EndpointMatch } from '../core/settings.ts';
import { isCredentialRefused } from '../core/supersede.ts';
import type { OperationClass } from '../core/verdict.ts';
import { ApiRefusal } from './admin-route.ts';
import { isJson } from './dead-letter-view.ts';
import { RESERVED_PREFIX } from './reserved-prefix.ts';

/** What an edit may change; what is left out stays. */
export const editSchema = z
  .strictObject({
    body: z.unknown().optional().describe('The new body: JSON, or a string that is sent as it stands; null for none.'),
    body_base64: z.base64().optional().describe('The new body as bytes; instead of body.'),
    target: z.string().min(1).max(8192).optional().describe('The new path and query.'),
    headers: z
      .record(z.string().min(1).max(200), z.union([z.string().max(8192), z.null()]))
      .optional()
      .describe('Fields that are set, or taken away with null.'),
  })
  .refine((edit) => Object.keys(edit).length > 0, { error: 'give body, body_base64, target or headers' })
  .refine((edit) => edit.body === undefined || edit.body_base64 === undefined, {
    error: 'body or body_base64, not both',
  });

/** Fields that no upstream is sent from a row: of one hop, and credentials, which are added when it is sent. */
export const UNKEPT_FIELDS: ReadonlySet<string> = new Set([
  ...SECRET_FIELDS,
  ...HOP_BY_HOP,
  'expect',
  'host',
  'http2-settings',
]);

/** Fields that an edit may not set: these, those that follow from the body, and our own. */
const FIXED_FIELDS: ReadonlySet<string> = new Set([
  ...UNKEPT_FIELDS,
  'content-length',
  'content-encoding',
  'idempotency-key',
  'prefer',
  'priority',
]);
const NEW_BODY: ReadonlySet<string> = new Set(['content-encoding']);

/** The row of the edited form. Rejects with `ApiRefusal`. */
export async function editedOperation(
  original: Operation,
  edit: z.infer<typeof editSchema>,
  facts: {
    readonly id: string;
    readonly nowMs: number;
    readonly namesKey: KeyObject;
    readonly match: (method: string, path: string) => EndpointMatch;
  },
): Promise<Operation> {
  const { nowMs } = facts;
  const changesBody = edit.body !== undefined || edit.body_base64 !== undefined;
  if (!original.bodyKept && !changesBody) {
    throw new ApiRefusal(422, 'The body of this call was not kept: give one.');
  }
  const body = changesBody ? newBody(original, edit) : original.body;
  const target = edit.target ?? original.target;
  if (!/^\/[\x21-\x7e]*$/.test(target) || target.includes('#') || target.startsWith(RESERVED_PREFIX)) {
    throw new ApiRefusal(422, 'target: allowed is a path of the upstream, percent-encoded, with its query.');
  }
  const { policy } = facts.match(original.method, target.split('?')[0] as string);
  const inDoubt = original.effect !== 'none';
  const { scope, method, credentialRef } = original;
  const identityScope = isCredentialRefused(original.attempts) ? NO_SCOPE : scope;
  const headers = changesBody ? withoutHeaders(original.headers, NEW_BODY) : original.headers;
  return {
    ...original,
    id: facts.id,
    parent: original.id,
    endpoint: policy.name,
    operationClass: await classOf(policy, body),
    target,
    resource: resourceOf({ policy, target, credentialRef }),
    headers: withLength(newHeaders(headers, edit.headers ?? {}), body),
    body,
    bodyKept: true,
    state: 'dead',
    count: 1,
    keyHash: null,
    fingerprint: null,
    // An equal call marks this row.
    identity: identityOf(facts.namesKey, { scope: identityScope, method, target }, { exact: hashOf(body) }),
    naturalKey: null,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    deadAtMs: nowMs,
    // Of what may have taken effect, the edited form is in doubt as well.
    sentAtMs: inDoubt ? original.sentAtMs : null,
    dueAtMs: null,
    expiresAtMs: null,
    answer: null,
    answerId: null,
    supersededBy: null,
    maybeSupersededBy: null,
    redriveId: null,
    attempts: [],
  };
}

/** As `operationClassOf` finds it for a call: an upsert that lost its key is a create. */
async function classOf({ operationClass, idempotentIf }: EndpointPolicy, body: Buffer | null): Promise<OperationClass> {
  if (idempotentIf === null) return operationClass;
  const document: unknown = body !== null && isJson(body) ? JSON.parse(body.toString()) : null;
  return (await idempotentIf.holds(document)) ? 'idempotent' : operationClass;
}

function hashOf(body: Buffer | null): string {
  return body === null ? 'none' : hash('sha256', body, 'hex');
}

function newBody(original: Operation, { body, body_base64: base64 }: z.infer<typeof editSchema>): Buffer | null {
  const given =
    base64 !== undefined
      ? Buffer.from(base64, 'base64')
      : body === null
        ? null
        : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const wasJson = original.body !== null && isJson(original.body);
  if (given !== null && wasJson && !isJson(given)) {
    throw new ApiRefusal(422, 'The body was JSON and the new one is not: nothing was changed.');
  }
  return given;
}

function newHeaders(headers: RawHeaders, edits: Readonly<Record<string, string | null>>): string[] {
  const names = new Set(Object.keys(edits).map((name) => name.toLowerCase()));
  for (const name of names) {
    if (FIXED_FIELDS.has(name) || name.startsWith('holdfast-') || !/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) {
      throw new ApiRefusal(
        422,
        `headers: ${name} is no field that an edit may set; credentials are given to a redrive.`,
      );
    }
  }
  const kept: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (!names.has((headers[i] as string).toLowerCase())) kept.push(headers[i] as string, headers[i + 1] as string);
  }
  for (const [name, value] of Object.entries(edits)) {
    if (value === null) continue;
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value))
      throw new ApiRefusal(422, `headers: ${name} has a control character.`);
    kept.push(name, value);
  }
  return kept;
}

/** Fields that say the length of the body that is there. */
export function withLength(headers: RawHeaders, body: Buffer | null): string[] {
  const kept = withoutHeaders(headers, LENGTH);
  return body === null ? kept : [...kept, 'Content-Length', String(body.length)];
}

const LENGTH: ReadonlySet<string> = new Set(['content-length']);
