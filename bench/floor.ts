/**
 * The floor: the least that a buffering proxy on Node can do. http.createServer, undici `Pool.dispatch`, both bodies
 * buffered, raw header fields passed on, one writeHead and one end. No policy, no log, no error handling worth the name.
 * Everything that Holdfast costs is expressed as a ratio to it. `node floor.ts UPSTREAM PORT`.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Dispatcher, Pool } from 'undici';

const HOP_BY_HOP = /^(?:connection|keep-alive|transfer-encoding|te|trailer|upgrade|host|expect)$/i;

const [upstream = '', port = ''] = process.argv.slice(2);
const pool = new Pool(upstream, { connections: 128, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });

class Forward implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;
  readonly #chunks: Buffer[] = [];
  #status = 0;
  #fields: string[] = [];

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  onRequestStart(): void {}

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200) return;
    this.#status = status;
    this.#fields = endToEnd(
      ((controller.rawHeaders as Buffer[] | null) ?? []).map((field) => field.toString('latin1')),
    );
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    this.#response.writeHead(this.#status, this.#fields);
    this.#response.end(this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks));
  }

  onResponseError(): void {
    this.#response.writeHead(502);
    this.#response.end();
  }
}

function endToEnd(fields: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] ?? '';
    if (!HOP_BY_HOP.test(name)) kept.push(name, fields[index + 1] ?? '');
  }
  return kept;
}

function forward(request: IncomingMessage, response: ServerResponse, body: Buffer | null): void {
  const method = request.method as Dispatcher.HttpMethod;
  const headers = endToEnd(request.rawHeaders);
  pool.dispatch({ path: request.url ?? '/', method, headers, body, reset: false }, new Forward(response));
}

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    forward(request, response, null);
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => forward(request, response, Buffer.concat(chunks)));
});
server.keepAliveTimeout = 75_000;
server.listen(Number(port), '127.0.0.1');
process.on('disconnect', () => process.exit());
