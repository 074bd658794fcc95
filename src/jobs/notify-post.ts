import type { Dispatcher } from 'undici';
import type { Notice } from '../core/notify-notice.ts';
import type { NotifyTarget } from '../core/settings.ts';
import type { Clock } from '../ops/clock.ts';

/** A webhook that needs longer than this, ms, has failed. */
const TIMEOUT_MS = 10_000;
const RETRY_AFTER_MAX_MS = 60_000;
const TEXT_MAX = 2900;

/** Why a message did not arrive. */
export interface PostFault {
  /** Never has the URL: a status, or the code of an error. */
  readonly why: string;
  /** It may arrive when it is sent again. */
  readonly passing: boolean;
  /** What the webhook asked for, at most a minute; 0 when it asked for nothing. */
  readonly retryAfterMs: number;
}

/** Posts messages to one webhook. */
export interface Poster {
  /** Null: it has arrived. Never rejects. */
  readonly send: (notice: Notice, signal: AbortSignal) => Promise<PostFault | null>;
  readonly close: () => Promise<void>;
}

/** Makes the way to a webhook. Redirects are not followed: a webhook has none, and a secret is in the URL. */
export function createPoster({ url, proxy }: NotifyTarget, instance: string, clock: Clock): Poster {
  let dispatcher: Dispatcher | null = null;
  return {
    send: async (notice, signal) => {
      const limit = new AbortController();
      const stop = (): void => limit.abort();
      const cancel = clock.timer(TIMEOUT_MS, stop);
      signal.addEventListener('abort', stop);
      try {
        // Loaded with the first message: 70 ms of processor time and 14 MB at the start of a process that sends none.
        const { Agent, ProxyAgent, request } = await import('undici');
        dispatcher ??= proxy === null ? new Agent() : new ProxyAgent(proxy);
        const { statusCode, headers, body } = await request(url, {
          dispatcher,
          method: 'POST',
          headers: { 'content-type': 'application/json; charset=utf-8' },
          body: JSON.stringify(slackMessage(notice, instance)),
          signal: limit.signal,
          // The one timer above is for all of it.
          headersTimeout: 0,
          bodyTimeout: 0,
        });
        await body.dump({ limit: 64 * 1024 }).catch(() => {});
        return faultOf(statusCode, headers['retry-after']);
      } catch (error) {
        const { code = 'unknown' } = error as { code?: string };
        const why = limit.signal.aborted ? `no answer within ${TIMEOUT_MS / 1000} s` : `error ${code}`;
        return { why, passing: !signal.aborted, retryAfterMs: 0 };
      } finally {
        cancel();
        signal.removeEventListener('abort', stop);
      }
    },
    close: async () => {
      await dispatcher?.destroy();
    },
  };
}

function faultOf(status: number, retryAfter: string | string[] | undefined): PostFault | null {
  if (status >= 200 && status < 300) return null;
  const wishMs = typeof retryAfter === 'string' && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) * 1000 : 0;
  const passing = status >= 500 || status === 429 || status === 408;
  return { why: `status ${status}`, passing, retryAfterMs: Math.min(wishMs, RETRY_AFTER_MAX_MS) };
}

interface SlackMessage {
  readonly text: string;
  readonly blocks: readonly unknown[];
}

/** `text` is for notifications and for receivers that know no blocks. */
function slackMessage({ title, lines, next }: Notice, instance: string): SlackMessage {
  const list = lines.map((line) => `• ${plain(line)}`).join('\n');
  return {
    text: `Holdfast ${plain(instance)}: ${plain(title)}`,
    blocks: [
      section(`*${plain(title)}*\n${list}`),
      section(plain(next)),
      { type: 'context', elements: [{ type: 'mrkdwn', text: `Holdfast on ${plain(instance)}` }] },
    ],
  };
}

function section(text: string) {
  return { type: 'section', text: { type: 'mrkdwn', text: text.slice(0, TEXT_MAX) } };
}

/** Slack's three control characters. */
function plain(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
