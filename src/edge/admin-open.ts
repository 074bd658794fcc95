/** What of the admin plane everybody may ask: probes and metrics. Answered without hono, which most processes never load. */

import type { ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';

/** Whether the instance can serve, and what hinders it. */
export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

/** What the open paths show. */
export interface OpenParts {
  readonly registry: Registry;
  readonly readiness: () => Readiness;
}

/** The answer of an open path. */
export interface OpenAnswer {
  readonly status: 200 | 503;
  readonly type: string;
  readonly body: string;
}

type Answer = (parts: OpenParts) => OpenAnswer | Promise<OpenAnswer>;

const json = (status: 200 | 503, value: object): OpenAnswer => ({
  status,
  type: 'application/json',
  body: JSON.stringify(value),
});

/** The open paths; only GET is answered here. */
export const OPEN_PATHS: ReadonlyMap<string, Answer> = new Map<string, Answer>([
  ['/healthz', () => json(200, { alive: true })],
  [
    '/readyz',
    ({ readiness }) => {
      const state = readiness();
      return json(state.ready ? 200 : 503, state);
    },
  ],
  ['/metrics', async ({ registry }) => ({ status: 200, type: registry.contentType, body: await registry.metrics() })],
]);

/** Fields of every answer of the admin plane. */
export const ADMIN_FIELDS = { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' } as const;

/** Writes the answer of an open path. */
export async function answerOpen(answer: Answer, parts: OpenParts, response: ServerResponse): Promise<void> {
  const { status, type, body } = await answer(parts);
  response.writeHead(status, { ...ADMIN_FIELDS, 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}
