import type { IncomingMessage, ServerResponse } from 'node:http';
import type { getRequestListener } from '@hono/node-server';

type Fetch = Parameters<typeof getRequestListener>[0];
type Listener = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/**
 * Serves an application of hono's. The adapter is loaded with the first request, which nearly all processes never see: it
 * derives from the global `Request`, and Node loads its own undici for that (see `ops/node-http.ts`).
 */
export function honoListener(fetch: Fetch): Listener {
  let loaded: Promise<Listener> | null = null;
  return async (request, response) => {
    loaded ??= import('@hono/node-server').then((adapter) =>
      adapter.getRequestListener(fetch, { overrideGlobalObjects: false }),
    );
    await (await loaded)(request, response);
  };
}
