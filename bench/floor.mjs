/**
 * The floor: the least that a buffering proxy on Node can do. http.createServer, undici `Pool.dispatch`, both bodies
 * buffered, raw header fields passed on, one writeHead and one end. No policy, no log, no error handling worth the name.
 * Everything that Holdfast costs is expressed as a ratio to it. Plain JavaScript, because the type stripper would stay in
 * its memory. `node floor.mjs UPSTREAM PORT`.
 */

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import process from 'node:process';

// Holdfast's own undici, not the one that a peer brings into this folder.
const { Pool } = createRequire(new URL('../package.json', import.meta.url))('undici');

const HOP_BY_HOP = /^(?:connection|keep-alive|transfer-encoding|te|trailer|upgrade|host|expect)$/i;

const [upstream, port] = process.argv.slice(2);
const pool = new Pool(upstream, { connections: 128, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });

class Forward {
  #response;
  #chunks = [];
  #status = 0;
  #fields = [];

  constructor(response) {
    this.#response = response;
  }

  onRequestStart() {}

  onResponseStart(controller, status) {
    if (status < 200) return;
    this.#status = status;
    this.#fields = endToEnd(
      controller.rawHeaders.map((field) => field.toString('latin1')),
    );
  }

  onResponseData(_controller, chunk) {
    this.#chunks.push(chunk);
  }

  onResponseEnd() {
    this.#response.writeHead(this.#status, this.#fields);
    this.#response.end(this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks));
  }

  onResponseError() {
    this.#response.writeHead(502);
    this.#response.end();
  }
}

function endToEnd(fields) {
  const kept = [];
  for (let index = 0; index < fields.length; index += 2) {
    if (!HOP_BY_HOP.test(fields[index])) kept.push(fields[index], fields[index + 1]);
  }
  return kept;
}

function forward(request, response, body) {
  const headers = endToEnd(request.rawHeaders);
  pool.dispatch({ path: request.url, method: request.method, headers, body, reset: false }, new Forward(response));
}

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    forward(request, response, null);
    return;
  }
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => forward(request, response, Buffer.concat(chunks)));
});
server.keepAliveTimeout = 75_000;
server.listen(Number(port), '127.0.0.1');
process.on('disconnect', () => process.exit());
