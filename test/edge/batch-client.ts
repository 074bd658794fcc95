import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Outcome } from '../../src/core/outcome.ts';
import type { Service } from '../../src/core/service.ts';
import { refused } from '../support/attempt-records.ts';
import { answered, HandDriven } from '../support/exchanges.ts';

/** One line of the answer. */
export interface ResultLine {
  readonly id: string | number | null;
  readonly line: number;
  readonly status: number;
  readonly holdfast: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly body_base64?: string;
  readonly truncated?: boolean;
}

/** A whole batch and its whole answer. */
export interface BatchAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly trailers: IncomingMessage['trailers'];
  readonly text: string;
  readonly lines: ResultLine[];
}

/** A batch that is being sent by hand. */
export interface OpenBatch {
  readonly request: ClientRequest;
  /** The head of the answer is here; nothing of its body is read. */
  readonly response: Promise<IncomingMessage>;
}

/** Opens a batch over a socket of its own. */
export function openBatch(port: number, headers: Record<string, string> = {}, method = 'POST'): OpenBatch {
  const request = httpRequest({
    host: '127.0.0.1',
    port,
    method,
    path: '/.holdfast/batch',
    headers: { Authorization: 'Bearer t', 'Content-Type': 'application/x-ndjson', ...headers },
    agent: false,
  });
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.on('response', resolve);
    request.on('error', reject);
  });
  response.catch(() => {});
  request.flushHeaders();
  return { request, response };
}

/** Reads an answer to its end. */
export async function readAnswer(response: IncomingMessage): Promise<BatchAnswer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  const isLines = response.headers['content-type'] === 'application/x-ndjson';
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    trailers: response.trailers,
    text,
    lines: isLines
      ? text
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line) as ResultLine)
      : [],
  };
}

/** Sends a batch whole and reads its answer whole; texts are lines as they are. */
export async function batch(
  port: number,
  records: readonly unknown[],
  headers: Record<string, string> = {},
): Promise<BatchAnswer> {
  const { request, response } = openBatch(port, headers);
  request.end(records.map((record) => `${typeof record === 'string' ? record : JSON.stringify(record)}\n`).join(''));
  return readAnswer(await response);
}

/** The lines of an answer, each as soon as it is here. */
export async function* resultLines(response: IncomingMessage): AsyncGenerator<ResultLine, void> {
  let rest = '';
  for await (const chunk of response) {
    const parts = (rest + String(chunk)).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) yield JSON.parse(part) as ResultLine;
  }
}

/** The lines that still come. */
export async function restOf(results: AsyncGenerator<ResultLine, void>): Promise<ResultLine[]> {
  const lines: ResultLine[] = [];
  for await (const line of results) lines.push(line);
  return lines;
}

/** A record that creates a contact. */
export const post = (id: string, body: unknown = { email: `${id}@x.example` }) => ({
  id,
  method: 'POST',
  path: '/contacts',
  body,
});

/** A whole JSON answer. */
export const json = (text: string): Outcome => answered(200, { body: { kind: 'bytes', bytes: Buffer.from(text) } });

/** A service whose answers come when the test says; it counts what runs at once. */
export function gated() {
  const driven = new HandDriven();
  const service: Service = (exchange) => {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    // As the deadline layer does for a client that left.
    exchange.cancel.signal.addEventListener('abort', () => resolve(refused('deadline')));
    void driven.service(exchange).then(resolve);
    return promise;
  };
  return { driven, service };
}

/** Resolves when the condition holds. */
export async function until(condition: () => boolean): Promise<void> {
  const from = performance.now();
  while (!condition()) {
    if (performance.now() - from > 20_000) throw new Error(`never: ${condition.toString()}`);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
