import { type Clock, sleep } from '../ops/clock.ts';
import type { Random } from '../ops/random.ts';

/** How one call of the pipeline ended, as its client saw it. */
export type Reply =
  | { readonly kind: 'ok'; readonly body: unknown }
  /** Holdfast says that it cannot say: it may have taken effect, and was not sent again. */
  | { readonly kind: 'unknown'; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string };

/** Makes one call of the pipeline. */
export type Client = (method: string, path: string, body: unknown) => Promise<Reply>;

/** What a client counts. */
interface Waits {
  waitedMs: number;
}

/** What both clients need. */
export interface ClientContext {
  readonly origin: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Ends everything. */
  readonly signal: AbortSignal;
  readonly waits: Waits;
}

const RETRIES_MAX = 2;
const WAIT_MAX_MS = 60_000;
const TIMEOUT_MS = 20_000;

/**
 * Behaves as the official Node SDK 7.0.3 does (intercom.md §5): two retries on 408, 429 and every 5xx, creates
 * included; none when the connection breaks; a success with an empty body is a success.
 */
export function sdkLikeClient(context: ClientContext): Client {
  return async (method, path, body) => {
    for (let retry = 0; ; retry++) {
      let response: Response;
      let text: string;
      try {
        response = await send(context, method, path, body, AbortSignal.timeout(TIMEOUT_MS));
        text = await response.text();
      } catch (error) {
        return { kind: 'failed', why: whyOf(error) };
      }
      const again = response.status === 408 || response.status === 429 || response.status >= 500;
      if (!again || retry === RETRIES_MAX) return replyOf(response.status, text);
      const waitMs = sdkWait(context, response, retry);
      context.waits.waitedMs += waitMs;
      if ((await sleep(context.clock, waitMs, context.signal)) === 'aborted') return { kind: 'failed', why: 'stopped' };
    }
  };
}

/** Leaves everything to Holdfast: one call, no retries, no timeout of its own. */
export function plainClient(context: ClientContext): Client {
  return async (method, path, body) => {
    try {
      const response = await send(context, method, path, body, context.signal);
      const waited = /waited=(\d+)/.exec(response.headers.get('holdfast') ?? '');
      context.waits.waitedMs += Number(waited?.[1] ?? 0);
      return replyOf(response.status, await response.text());
    } catch (error) {
      return { kind: 'failed', why: whyOf(error) };
    }
  };
}

function send(
  context: ClientContext,
  method: string,
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Response> {
  return fetch(context.origin + path, {
    method,
    headers: { authorization: 'Bearer demo', 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.any([signal, context.signal]),
  });
}

function sdkWait({ clock, random }: ClientContext, response: Response, retry: number): number {
  const after = response.headers.get('retry-after');
  const reset = response.headers.get('x-ratelimit-reset');
  const named = after === null ? Number.NaN : Number(after) * 1000 || Date.parse(after) - clock.wall();
  if (named > 0) return Math.min(named, WAIT_MAX_MS);
  const untilReset = reset === null ? Number.NaN : Number(reset) * 1000 - clock.wall();
  if (untilReset > 0) return Math.min(untilReset, WAIT_MAX_MS) * (1 + 0.2 * random());
  return Math.min(1000 * 2 ** retry, WAIT_MAX_MS) * (0.9 + 0.2 * random());
}

function replyOf(status: number, text: string): Reply {
  let body: unknown;
  try {
    body = text === '' ? undefined : JSON.parse(text);
  } catch {
    return { kind: 'failed', why: status < 300 ? 'an answer that is not JSON' : `status ${status}` };
  }
  if (status < 300) return { kind: 'ok', body };
  const code = (body as { errors?: { code?: string }[] } | undefined)?.errors?.[0]?.code ?? `status ${status}`;
  return { kind: code === 'holdfast_outcome_unknown' ? 'unknown' : 'failed', why: code };
}

function whyOf(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string }; message: string };
  return cause?.code ?? message;
}
