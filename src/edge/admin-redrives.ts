/** Redrives on the admin API, and the way back in for what was exported. */

import { z } from 'zod';
import {
  planRow,
  type Redrive,
  type RedriveForecast,
  type RedriveOrder,
  type RedriveRow,
  ROW_RESULTS,
} from '../core/redrive.ts';
import type { PaceEvent } from '../core/redrive-pace.ts';
import type { Settings } from '../core/settings.ts';
import type { Store } from '../core/store.ts';
import type { Clock } from '../ops/clock.ts';
import { deadLetterOf } from './admin-dead-letters.ts';
import { type AdminRoute, ApiRefusal, route } from './admin-route.ts';
import { filterOf, filterSchema, type WrittenFilter } from './dead-letter-filter.ts';
import { importRoute } from './dead-letter-import.ts';

/** The redrives, for the admin plane. */
export interface RedriveControl {
  readonly plan: (order: RedriveOrder) => Promise<RedriveForecast>;
  readonly start: (
    order: RedriveOrder,
    credential: string | null,
  ) => Promise<{ readonly redrive: Redrive | null; readonly known: boolean; readonly forecast: RedriveForecast }>;
  readonly get: (id: string) => Promise<Redrive | null>;
  readonly list: () => Promise<readonly Redrive[]>;
  readonly rows: (id: string, afterN: number, limit: number) => Promise<readonly RedriveRow[]>;
  readonly turn: (id: string, event: PaceEvent, credential: string | null) => Promise<Redrive | null>;
}

/** What the calls need. */
export interface RedriveApiParts {
  readonly redrives: RedriveControl;
  readonly store: Store;
  readonly settings: () => Settings;
  readonly clock: Clock;
}

const CANARY_DEFAULT = 5;
const CANARY_MAX = 1000;
const ROWS_DEFAULT = 100;
const ROWS_MAX = 1000;

const force = z
  .boolean()
  .optional()
  .describe('Runs what is superseded or expired as well, and with id what may have landed and nothing can show.');
const credential = z
  .string()
  .min(1)
  .max(8192)
  .regex(/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/, 'allowed is a token, or the value of Authorization')
  .optional()
  .describe('A token that is sent in the place of the stored ones. Kept in memory only.');
const orderSchema = z.strictObject({
  filter: filterSchema.describe('Which dead letters; dead and unknown ones, when neither state nor id is given.'),
  dry_run: z.boolean().optional().describe('Only says what would be done.'),
  velocity: z.number().gt(0).max(1).optional().describe('Share of the quota; default redrive.velocity.'),
  canary: z
    .int()
    .min(0)
    .max(CANARY_MAX)
    .optional()
    .describe(`Rows that go first, default ${CANARY_DEFAULT}; the others follow when they are well.`),
  force,
  credential,
});
const singleSchema = z.strictObject({ force, credential });
const resumeSchema = z.strictObject({ credential });
const rowsQuery = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,9}$/)
    .optional()
    .describe('The n of the last row that is known.'),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,3}$/)
    .optional()
    .describe(`At most so many, 1 to ${ROWS_MAX}.`),
});

/** The calls. */
export function redriveRoutes(parts: RedriveApiParts): AdminRoute[] {
  return [...startingRoutes(parts), ...readingRoutes(parts), ...steeringRoutes(parts), importRoute(parts)];
}

function startingRoutes({ redrives, store, settings, clock }: RedriveApiParts): AdminRoute[] {
  return [
    route({
      method: 'POST',
      path: '/api/redrives',
      does: 'Sends dead letters again, or says with dry_run what that would be. The same twice is one redrive.',
      query: null,
      body: orderSchema,
      answers: { status: 202, says: 'redrive, known: it was under way already, and the plan' },
      alsoAnswers: { status: 200, says: 'With dry_run the plan; redrive null: nothing is meant' },
      errors: [400, 404, 409],
      handle: async ({ body }) => {
        const filter = filterOf(meant(body.filter), clock.wall());
        const order: RedriveOrder = {
          filter,
          velocity: body.velocity ?? settings().redrive.velocity,
          canary: body.canary ?? CANARY_DEFAULT,
          force: body.force ?? false,
          trigger: 'person',
        };
        if (body.dry_run === true)
          return { status: 200, body: { dry_run: true, plan: shownPlan(await redrives.plan(order)) } };
        const { redrive, known, forecast } = await redrives.start(order, authorization(body.credential));
        if (redrive === null && filter.ids !== undefined && forecast.missing.length === filter.ids.length) {
          throw await noneMeant(store, filter.ids);
        }
        const shown = { redrive: redrive === null ? null : shownRedrive(redrive), known, plan: shownPlan(forecast) };
        return { status: redrive === null ? 200 : 202, body: shown };
      },
    }),
    route({
      method: 'POST',
      path: '/api/dead-letters/{id}/redrive',
      does: 'Sends one dead letter again: a redrive of one row.',
      query: null,
      body: singleSchema,
      answers: { status: 202, says: 'redrive, and known: it runs already' },
      errors: [400, 404, 409],
      handle: async ({ params, body }) => {
        const letter = await deadLetterOf(store, params['id']);
        const { redrive: rules } = settings();
        const isForced = body.force ?? false;
        const plan = planRow(letter, { force: isForced, maxAgeMs: rules.maxAgeMs, nowMs: clock.wall() });
        if (plan.kind !== 'run') {
          throw new ApiRefusal(409, `Dead letter ${letter.id} is not sent again (${plan.kind}): ${plan.why}.`);
        }
        const filter = { ids: [letter.id] };
        const order = { filter, velocity: rules.velocity, canary: 0, force: isForced, trigger: 'person' } as const;
        const { redrive, known } = await redrives.start(order, authorization(body.credential));
        return { status: 202, body: { redrive: redrive === null ? null : shownRedrive(redrive), known } };
      },
    }),
  ];
}

function readingRoutes({ redrives }: RedriveApiParts): AdminRoute[] {
  return [
    route({
      method: 'GET',
      path: '/api/redrives',
      does: 'Lists redrives, those under way first, then the newest.',
      query: null,
      body: null,
      answers: { status: 200, says: 'redrives' },
      errors: [],
      handle: async () => ({ status: 200, body: { redrives: (await redrives.list()).map(shownRedrive) } }),
    }),
    route({
      method: 'GET',
      path: '/api/redrives/{id}',
      does: 'Shows a redrive: state, why it stopped, results.',
      query: null,
      body: null,
      answers: { status: 200, says: 'The redrive' },
      errors: [404],
      handle: async ({ params }) => ({
        status: 200,
        body: shownRedrive(found(await redrives.get(params['id'] ?? ''))),
      }),
    }),
    route({
      method: 'GET',
      path: '/api/redrives/{id}/rows',
      does: 'Lists the rows of a redrive with their results, in the order in which they go.',
      query: rowsQuery,
      body: null,
      answers: { status: 200, says: 'rows, and next: what to give as after, or null' },
      errors: [400, 404],
      handle: async ({ params, query }) => {
        const { id } = found(await redrives.get(params['id'] ?? ''));
        const limit = Math.min(Number(query.limit ?? ROWS_DEFAULT), ROWS_MAX);
        const rows = await redrives.rows(id, Number(query.after ?? 0), limit);
        const next = rows.length === limit ? String(rows.at(-1)?.n) : null;
        return { status: 200, body: { rows: rows.map(shownRow), next } };
      },
    }),
  ];
}

function steeringRoutes({ redrives }: RedriveApiParts): AdminRoute[] {
  const steer = (verb: string, does: string, event: PaceEvent): AdminRoute =>
    route({
      method: 'POST',
      path: `/api/redrives/{id}/${verb}`,
      does,
      query: null,
      body: resumeSchema,
      answers: { status: 200, says: 'The redrive' },
      errors: [400, 404, 409],
      handle: async ({ params, body }) => {
        const { id, state } = found(await redrives.get(params['id'] ?? ''));
        if (state === 'done' || state === 'cancelled') throw new ApiRefusal(409, `Redrive ${id} is ${state}.`);
        const turned = found(await redrives.turn(id, event, authorization(body.credential)));
        return { status: 200, body: shownRedrive(turned) };
      },
    });
  return [
    steer('pause', 'Stops a redrive until it is resumed; rows under way finish.', {
      kind: 'pause',
      by: 'person',
      why: 'paused by a person',
    }),
    steer('resume', 'Lets a redrive go on, with a canary first.', { kind: 'resume' }),
    steer('cancel', 'Ends a redrive; rows that were not tried stay as they are.', { kind: 'cancel' }),
  ];
}

/** Named ones in whatever state, for the plan says what hinders them; everything only when it is said. */
function meant(written: WrittenFilter): WrittenFilter {
  if (Object.keys(written).length === 0) {
    throw new ApiRefusal(400, 'filter: give at least one member; {"state": "open"} means everything.');
  }
  return written.id !== undefined && written.state === undefined ? { ...written, state: 'all' } : written;
}

/** Ids that are told one by one. */
const NAMED_MAX = 5;

/** None of these is to be sent: they are in another state, or not there. */
async function noneMeant(store: Store, ids: readonly string[]): Promise<ApiRefusal> {
  const rows = await Promise.all(ids.map((id) => store.get(id)));
  const there = rows.filter((row) => row !== null);
  if (there.length === 0) {
    return new ApiRefusal(404, 'None of these ids is a dead letter; retention may have taken them.');
  }
  const said = there.slice(0, NAMED_MAX).map(({ id, state }) => `${id} is ${state}`);
  const more = there.length > NAMED_MAX ? [`and ${there.length - NAMED_MAX} more`] : [];
  return new ApiRefusal(409, `Nothing is sent again: ${[...said, ...more].join(', ')}.`);
}

function found(redrive: Redrive | null): Redrive {
  if (redrive === null) throw new ApiRefusal(404, 'There is no redrive with this id.');
  return redrive;
}

/** A bare token is a bearer token. */
function authorization(given: string | undefined): string | null {
  if (given === undefined) return null;
  return given.includes(' ') ? given : `Bearer ${given}`;
}

function shownPlan({ perSecond, missing, ...counts }: RedriveForecast): Record<string, unknown> {
  return { ...counts, per_second: Math.round(perSecond * 100) / 100, missing };
}

function shownRedrive(redrive: Redrive): Record<string, unknown> {
  const { id, state, why, trigger, velocity, canary, rows, counts } = redrive;
  const tried = ROW_RESULTS.reduce((sum, result) => sum + counts[result], 0);
  return {
    id,
    state,
    why,
    trigger,
    filter: redrive.filter,
    velocity,
    canary,
    force: redrive.force,
    own_credential: redrive.ownCredential,
    rows,
    pending: rows - tried,
    results: counts,
    created_at: new Date(redrive.createdAtMs).toISOString(),
    updated_at: new Date(redrive.updatedAtMs).toISOString(),
  };
}

function shownRow({ n, operation, result, detail, atMs }: RedriveRow): Record<string, unknown> {
  return { n, id: operation, result, detail, at: atMs === null ? null : new Date(atMs).toISOString() };
}
