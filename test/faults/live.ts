import { Agent, request } from 'node:http';
import type { TestInstance } from '../support/instance.ts';

/** What `/api/status` says of what is going on. */
export interface Standing {
  readonly in_flight: number;
  readonly waiting: number;
  readonly buffered_bytes_free: number;
  readonly upstream: { readonly running: number; readonly waiting: number };
}

/** Reads the status of a running instance, on a connection that does not stay. */
export async function standing({ adminUrl }: TestInstance): Promise<Standing> {
  const response = await fetch(`${adminUrl}/api/status`, { headers: { Connection: 'close' } });
  return (await response.json()) as Standing;
}

/** Resolves when `holds` is true; asks every few milliseconds, for `seconds` and some more at most. */
export async function eventually(
  what: string | (() => string),
  holds: () => boolean | Promise<boolean>,
  seconds = 10,
): Promise<void> {
  for (let tries = 0; tries < seconds * 200; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`never: ${typeof what === 'string' ? what : what()}`);
}

/** Waits until nothing goes on inside, and returns what stands then. */
export async function idle(holdfast: TestInstance, seconds?: number): Promise<Standing> {
  let now = await standing(holdfast);
  const isIdle = async (): Promise<boolean> => {
    now = await standing(holdfast);
    return now.in_flight === 0 && now.waiting === 0 && now.upstream.running === 0;
  };
  await eventually('nothing in flight', isIdle, seconds);
  return now;
}

/** The log's lines of one event. */
export function lines({ log }: TestInstance, event: string): Record<string, unknown>[] {
  return log.filter((line) => line['event'] === event);
}

export interface Got {
  readonly status: number;
  readonly body: Buffer;
}

/** A client that keeps its connections, as SDKs do. */
export class KeepAliveClient {
  readonly #agent: Agent;
  readonly #url: string;

  constructor(url: string, sockets: number) {
    this.#url = url;
    this.#agent = new Agent({ keepAlive: true, maxSockets: sockets });
  }

  call(method: string, target: string, body: string | null = null): Promise<Got> {
    return new Promise((resolve, reject) => {
      const headers = { Authorization: 'Bearer t', ...(body !== null && { 'Content-Type': 'application/json' }) };
      const sent = request(this.#url + target, { method, agent: this.#agent, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
        response.on('error', reject);
      });
      sent.on('error', reject);
      sent.end(body ?? undefined);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
