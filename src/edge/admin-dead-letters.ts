/** The dead letter queue on the admin API. */

import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { OPEN_DEAD_STATES } from '../core/dead-letters.ts';
import type { Operation } from '../core/operation.ts';
import type { Settings } from '../core/settings.ts';
import type { Store } from '../core/store.ts';
import type { Clock } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import { type AdminRoute, ApiRefusal, route } from './admin-route.ts';
import { editedOperation, editSchema } from './dead-letter-edit.ts';
import { filterMembers, filterOf, filterSchema } from './dead-letter-filter.ts';
import { shownGroup, shownHead, shownOperation } from './dead-letter-view.ts';

/** What the calls need. */
export interface DeadLetterApiParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly events: Pick<Events, 'deadLetters'>;
  readonly settings: () => Settings;
  readonly newId: () => string;
  /** As the idempotency layer has it. */
  readonly namesKey: KeyObject;
}

const PAGE_MAX = 500;
const PAGE_DEFAULT = 50;
const GROUPS_MAX = 1000;

const limit = (most: number) =>
  z
    .string()
    .regex(/^[1-9]\d{0,3}$/, `allowed is 1 to ${most}`)
    .optional()
    .describe(`At most so many, 1 to ${most}.`);
const listQuery = z.strictObject({
  ...filterMembers,
  limit: limit(PAGE_MAX),
  cursor: z
    .string()
    .regex(/^\d{1,15}$/, 'allowed is the next of an earlier page')
    .optional()
    .describe('The next of an earlier page.'),
});

/** The calls. */
export function deadLetterRoutes(parts: DeadLetterApiParts): AdminRoute[] {
  return [...readingRoutes(parts), ...changingRoutes(parts)];
}

function readingRoutes({ store, clock }: DeadLetterApiParts): AdminRoute[] {
  return [
    route({
      method: 'GET',
      path: '/api/dead-letters',
      does: 'Lists dead letters, newest first; a page may be short and not the last: next is null at the end.',
      query: listQuery,
      body: null,
      answers: { status: 200, says: 'dead_letters, and next: the cursor of the next page, or null' },
      errors: [400],
      handle: async ({ query }) => {
        const { limit: asked, cursor, ...written } = query;
        const most = Math.min(Number(asked ?? PAGE_DEFAULT), PAGE_MAX);
        const at = cursor === undefined ? null : Number(cursor);
        const { letters, next } = await store.listDead(filterOf(written, clock.wall()), at, most);
        return {
          status: 200,
          body: { dead_letters: letters.map(shownHead), next: next === null ? null : String(next) },
        };
      },
    }),
    route({
      method: 'GET',
      path: '/api/dead-letters/groups',
      does: 'Counts dead letters by cause, the largest group first.',
      query: z.strictObject({ ...filterMembers, limit: limit(GROUPS_MAX) }),
      body: null,
      answers: { status: 200, says: 'groups, each with label, counts, first and last seen, and ids of samples' },
      errors: [400],
      handle: async ({ query }) => {
        const { limit: asked, ...written } = query;
        const most = Math.min(Number(asked ?? GROUPS_MAX), GROUPS_MAX);
        const groups = await store.groupDead(filterOf(written, clock.wall()), most);
        return { status: 200, body: { groups: groups.map(shownGroup) } };
      },
    }),
    route({
      method: 'GET',
      path: '/api/dead-letters/{id}',
      does: 'Shows one dead letter whole: request, every attempt, lineage. Credentials are never shown.',
      query: null,
      body: null,
      answers: { status: 200, says: 'The dead letter' },
      errors: [404],
      handle: async ({ params }) => ({ status: 200, body: shownOperation(await deadLetterOf(store, params['id'])) }),
    }),
    route({
      method: 'GET',
      path: '/api/operations/{id}',
      does: 'Shows one operation of the ledger, in whatever state.',
      query: null,
      body: null,
      answers: { status: 200, says: 'The operation' },
      errors: [404],
      handle: async ({ params }) => ({ status: 200, body: shownOperation(await operationOf(store, params['id'])) }),
    }),
  ];
}

function changingRoutes({ store, clock, events, settings, newId, namesKey }: DeadLetterApiParts): AdminRoute[] {
  return [
    route({
      method: 'PATCH',
      path: '/api/dead-letters/{id}',
      does: 'Makes an edited form of a dead letter, a row of its own with the original as its parent, which is passed by from then on.',
      query: null,
      body: editSchema,
      answers: { status: 201, says: 'The new dead letter' },
      errors: [400, 404, 409, 422],
      handle: async ({ params, body }) => {
        const original = await deadLetterOf(store, params['id']);
        if (original.state === 'redriving' || original.state === 'sent') throw busy(original);
        await refuseSecond(store, original);
        const { match } = settings();
        const edited = await editedOperation(original, body, { id: newId(), nowMs: clock.wall(), namesKey, match });
        await store.insert(edited);
        events.deadLetters.handled('edit', { operation: edited.id, parent: original.id });
        return { status: 201, body: shownOperation(edited) };
      },
    }),
    route({
      method: 'POST',
      path: '/api/dead-letters/{id}/discard',
      does: 'Marks a dead letter as one that nobody needs any more; retention takes it first.',
      query: null,
      body: null,
      answers: { status: 200, says: 'The dead letter' },
      errors: [404, 409],
      handle: async ({ params }) => {
        const { id } = await deadLetterOf(store, params['id']);
        const done = await store.change(id, { state: 'discarded', updatedAtMs: clock.wall() }, ['dead', 'unknown']);
        const now = await deadLetterOf(store, id);
        if (!done && now.state !== 'discarded') throw busy(now);
        if (done) events.deadLetters.handled('discard', { operation: id });
        return { status: 200, body: shownOperation(now) };
      },
    }),
    route({
      method: 'POST',
      path: '/api/dead-letters/purge',
      does: 'Deletes the dead letters that a filter means, but none that is being sent: a person asked to be forgotten.',
      query: null,
      body: z.strictObject({
        filter: filterSchema.describe('All states when state is left out.'),
        dry_run: z.boolean().optional().describe('Only counts.'),
      }),
      answers: { status: 200, says: 'purged: how many; with dry_run how many it would be' },
      errors: [400],
      handle: async ({ body }) => {
        if (Object.keys(body.filter).length === 0) {
          throw new ApiRefusal(400, 'filter: give at least one member; {"state": "all"} means everything.');
        }
        const filter = filterOf({ ...body.filter, state: body.filter.state ?? 'all' }, clock.wall());
        if (body.dry_run === true) {
          const groups = await store.groupDead(filter, Number.MAX_SAFE_INTEGER);
          return { status: 200, body: { purged: groups.reduce((sum, { rows }) => sum + rows, 0), dry_run: true } };
        }
        const purged = await store.purgeDead(filter);
        events.deadLetters.handled('purge', { purged });
        return { status: 200, body: { purged, dry_run: false } };
      },
    }),
  ];
}

async function operationOf(store: Store, id: string | undefined): Promise<Operation> {
  const operation = id === undefined ? null : await store.get(id);
  if (operation === null) throw new ApiRefusal(404, 'There is no operation with this id; retention may have taken it.');
  return operation;
}

/** One that is dead, or was; throws `ApiRefusal`. */
export async function deadLetterOf(store: Store, id: string | undefined): Promise<Operation> {
  const operation = id === undefined ? null : await store.get(id);
  if (operation === null || operation.deadReason === null) {
    throw new ApiRefusal(404, 'There is no dead letter with this id; retention may have taken it.');
  }
  return operation;
}

/** Two edited forms of one call would both be sent. */
async function refuseSecond(store: Store, { id, maybeSupersededBy }: Operation): Promise<void> {
  const edited = maybeSupersededBy === null ? null : await store.get(maybeSupersededBy);
  if (edited?.parent !== id || !OPEN_DEAD_STATES.includes(edited.state)) return;
  throw new ApiRefusal(409, `Dead letter ${id} has an edited form: edit or discard ${edited.id}. Nothing was changed.`);
}

function busy({ id, state }: Operation): ApiRefusal {
  return new ApiRefusal(409, `Dead letter ${id} is ${state}: nothing was changed.`);
}
