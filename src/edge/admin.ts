/**
 * The admin plane: health, metrics, status and configuration, on a listener of its own, so that a flood on the proxy's
 * port cannot hide what is going on. Hono serves it: nothing here is on the hot path.
 */

import type { Server } from 'node:http';
import { type Context, Hono } from 'hono';
import type { HoldfastCode } from '../core/outcome.ts';
import type { Events } from '../ops/events.ts';
import { createServer } from '../ops/node-http.ts';
import { adminAccess } from './admin-access.ts';
import { type BreakerControl, holdBreaker } from './admin-breakers.ts';
import { type DeadLetterApiParts, deadLetterRoutes } from './admin-dead-letters.ts';
import { ADMIN_FIELDS, answerOpen, OPEN_PATHS, type OpenParts } from './admin-open.ts';
import { type RedriveApiParts, redriveRoutes } from './admin-redrives.ts';
import { type AdminRoute, ApiRefusal, mountRoutes, route } from './admin-route.ts';
import { shownLedger } from './admin-status.ts';
import { honoListener } from './hono-listener.ts';
import { openApiOf } from './openapi.ts';

/** How a reload ended; `faults` are lines for people, `restart` names keys that keep their running value. */
export interface ReloadResult {
  readonly ok: boolean;
  readonly hash: string;
  readonly faults: readonly string[];
  readonly restart: readonly string[];
}

/** What the admin plane shows and can ask for. */
export interface AdminParts extends OpenParts, DeadLetterApiParts, RedriveApiParts {
  readonly events: Events;
  readonly status: () => Record<string, unknown>;
  readonly breakers: BreakerControl;
  readonly reload: () => Promise<ReloadResult>;
  readonly version: string;
}

/** Builds the server; the caller listens and closes. */
export function createAdminPlane(parts: AdminParts): Server {
  const listener = honoListener(createAdminApp(parts).fetch);
  return createServer(
    { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 1000, keepAliveTimeout: 75_000 },
    (request, response) => {
      const open = request.method === 'GET' ? OPEN_PATHS.get(request.url ?? '') : undefined;
      const answered = open === undefined ? listener(request, response) : answerOpen(open, parts, response);
      answered.catch((error: unknown) => parts.events.bug(error, 'admin'));
    },
  );
}

/** The routes alone, for tests that need no socket. */
export function createAdminApp(parts: AdminParts): Hono {
  const app = new Hono();
  const refuse = (
    c: Context,
    status: 400 | 401 | 403 | 404 | 409 | 422 | 500 | 503,
    code: HoldfastCode,
    message: string,
  ) => c.json({ type: 'error.list', request_id: parts.newId(), errors: [{ code, message }] }, status);

  app.use(async (c, next) => {
    for (const [name, value] of Object.entries(ADMIN_FIELDS)) c.header(name, value);
    if (OPEN_PATHS.has(c.req.path)) return next();
    const field = (name: string) => c.req.header(name) ?? null;
    const denied = adminAccess(
      {
        method: c.req.method,
        host: field('host'),
        origin: field('origin'),
        fetchSite: field('sec-fetch-site'),
        authorization: field('authorization'),
      },
      parts.settings().admin.token,
    );
    if (denied === null) return next();
    if (denied.status === 401) c.header('WWW-Authenticate', 'Bearer realm="holdfast admin"');
    return refuse(c, denied.status, 'holdfast_unauthorized', denied.message);
  });

  for (const [path, answer] of OPEN_PATHS) {
    app.get(path, async (c) => {
      const { status, type, body } = await answer(parts);
      return c.body(body, status, { 'Content-Type': type });
    });
  }
  mountRoutes(app, routesOf(parts));
  app.notFound((c) =>
    refuse(
      c,
      404,
      'holdfast_not_found',
      `No ${c.req.method} ${c.req.path} on the admin plane; docs/admin-api.md lists it.`,
    ),
  );
  app.onError((error, c) => {
    if (error instanceof ApiRefusal) return refuse(c, error.status, error.code, error.message);
    parts.events.bug(error, 'admin');
    return refuse(c, 500, 'holdfast_bad_request', 'The admin plane failed; the log has the details.');
  });
  return app;
}

/** Every call that wants a token, but for the document that describes them. */
function routesOf(parts: AdminParts): AdminRoute[] {
  const routes = [...instanceRoutes(parts), ...deadLetterRoutes(parts), ...redriveRoutes(parts)];
  const document: AdminRoute = route({
    ...PLAIN,
    method: 'GET',
    path: '/api/openapi.json',
    does: 'Describes this API.',
    answers: { status: 200, says: 'An OpenAPI 3.1 document' },
    handle: () => ({ status: 200, body: openApiOf([...routes, document], parts.version) }),
  });
  return [...routes, document];
}

const PLAIN = { query: null, body: null, errors: [] } as const;

function instanceRoutes({ settings, status, breakers, reload, store, clock }: AdminParts): AdminRoute[] {
  return [
    route({
      ...PLAIN,
      method: 'GET',
      path: '/api/status',
      does: 'Shows what runs: version, configuration, breakers, quotas, load, queue, dead letters.',
      answers: { status: 200, says: 'The status' },
      handle: async () => ({ status: 200, body: { ...status(), ...(await shownLedger(store, clock.wall())) } }),
    }),
    route({
      ...PLAIN,
      method: 'GET',
      path: '/api/config',
      does: 'Shows the configuration in force, secrets left out.',
      answers: { status: 200, says: 'config, its hash and its source' },
      handle: () => {
        const { hash, source, shown } = settings();
        return { status: 200, body: { hash, source, config: shown } };
      },
    }),
    route({
      ...PLAIN,
      method: 'POST',
      path: '/api/config/reload',
      does: 'Reads the configuration again; a faulty one changes nothing.',
      answers: { status: 200, says: 'ok, hash in force, faults (warnings), restart (keys that wait for one)' },
      errors: [422],
      handle: async () => {
        const result = await reload();
        return { status: result.ok ? 200 : 422, body: result };
      },
    }),
    route({
      ...PLAIN,
      method: 'POST',
      path: '/api/breakers/{endpoint}/{order}',
      does: 'Takes a circuit breaker in hand: open, close, or auto to let it go.',
      answers: { status: 200, says: 'The breaker' },
      errors: [404],
      handle: ({ params }) => {
        const result = holdBreaker(breakers, params['endpoint'] ?? '', params['order'] ?? '');
        if (!result.ok) throw new ApiRefusal(404, result.message);
        return { status: 200, body: result.breaker };
      },
    }),
  ];
}
