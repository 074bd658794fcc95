/**
 * Writes one reply to one client: fields as they came, backpressure into the upstream, a broken stream as a broken
 * answer and never as a clean end.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AnswerSink, AnswerStream } from '../core/outcome.ts';
import { headerOf, type RawHeaders } from '../core/raw-headers.ts';
import type { CancelTimer, Clock } from '../ops/clock.ts';
import { buffersPassed } from '../ops/passing-buffers.ts';
import type { Reply } from './respond.ts';

/** How long, and how much of, an upload is read and thrown away behind an early answer (semantics §10). */
export const LINGER_MS = 2000;
export const LINGER_BYTES_MAX = 1024 * 1024;

/** Where a reply goes. */
export interface Client {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly clock: Clock;
  /** The connection ends after this answer. */
  readonly close: boolean;
  /** The request's body may still be on its way: closing at once would reset the connection under the answer. */
  readonly uploading: boolean;
  /** The answer is out and the rest of the upload is thrown away from here on. */
  readonly onLinger: () => void;
  /** The last byte went out, or will not. Called once. */
  readonly onDone: (complete: boolean) => void;
}

/** One reply being written. */
export class Sending implements AnswerSink {
  readonly #client: Client;
  #stream: AnswerStream | null = null;
  #hasLength = true;
  #done = false;
  /** The answer is out; what goes on is the end of the upload. */
  #lingering = false;
  #lingeredBytes = 0;
  #cancelLinger: CancelTimer | null = null;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Writes the reply; false when its head cannot be written, with nothing done. */
  start({ status, headers, body, trailers }: Reply): boolean {
    const { request, response, close } = this.#client;
    if (!hasNoBody(request, status) && headerOf(headers, 'content-length') === null) {
      if (body.kind === 'bytes' && trailers.length === 0) headers.push('Content-Length', String(body.bytes.length));
      else this.#hasLength = false;
    }
    if (close) headers.push('Connection', 'close');
    try {
      response.writeHead(status, headers);
    } catch {
      return false;
    }
    response.on('finish', () => this.#finish(true));
    if (body.kind === 'stream') {
      this.#stream = body.stream;
      response.on('drain', () => body.stream.resume());
      sendHead(request, response);
      body.stream.start(this);
    } else {
      if (body.bytes.length > 0 && this.#client.uploading) response.write(body.bytes);
      this.#end(trailers, this.#client.uploading ? null : body.bytes);
    }
    return true;
  }

  /** The client is gone. */
  gone(): void {
    this.#stream?.discard();
    this.#finish(this.#lingering);
  }

  data(chunk: Buffer): void {
    buffersPassed(chunk.length);
    if (!this.#done && !this.#client.response.write(chunk)) this.#stream?.pause();
  }

  end(trailers: RawHeaders): void {
    this.#end(trailers, null);
  }

  fail(): void {
    if (this.#done) return;
    const { response } = this.#client;
    const { socket } = response;
    // An answer that ends with its connection looks whole after a FIN: only a reset shows that it is not. A TLS socket
    // cannot be reset from here; there the missing close_notify has to do.
    const endsWithConnection = !response.chunkedEncoding && !this.#hasLength;
    if (endsWithConnection && socket !== null && !('encrypted' in socket)) socket.resetAndDestroy();
    else response.destroy();
    this.#finish(false);
  }

  /** Nothing more of the upload can come. */
  uploadOver(): void {
    if (this.#lingering) this.#endLinger();
  }

  #end(trailers: RawHeaders, last: Buffer | null): void {
    if (this.#done) return;
    const { request, response, uploading } = this.#client;
    if (trailers.length > 0) addTrailers(response, trailers);
    if (uploading && !request.complete) {
      sendHead(request, response);
      this.#linger();
    } else if (last !== null && last.length > 0) {
      response.end(last);
    } else {
      response.end();
    }
  }

  #linger(): void {
    const { request, clock, onLinger } = this.#client;
    onLinger();
    this.#lingering = true;
    this.#cancelLinger = clock.timer(LINGER_MS, () => this.#endLinger());
    request.on('data', (chunk: Buffer) => {
      this.#lingeredBytes += chunk.length;
      if (this.#lingeredBytes > LINGER_BYTES_MAX) this.#endLinger();
    });
    request.on('end', () => this.#endLinger());
    request.resume();
  }

  #endLinger(): void {
    this.#cancelLinger?.();
    this.#cancelLinger = null;
    this.#client.response.end();
  }

  #finish(complete: boolean): void {
    if (this.#done) return;
    this.#done = true;
    this.#cancelLinger?.();
    this.#client.onDone(complete);
  }
}

const NOTHING = Buffer.alloc(0);

/**
 * Sends the head before the body is here. Not by `flushHeaders` where a body follows: that writes UTF-8 and every other way
 * latin1, so that each byte beyond ASCII would become two.
 */
function sendHead(request: IncomingMessage, response: ServerResponse): void {
  if (hasNoBody(request, response.statusCode)) response.flushHeaders();
  else response.write(NOTHING);
}

/** Answers that have no body may do without its length, or carry that of another (RFC 9110 §8.6). */
function hasNoBody(request: IncomingMessage, status: number): boolean {
  return status === 204 || status === 304 || request.method === 'HEAD';
}

/** Node sends them on a chunked answer only, which is never one to HTTP/1.0. Fields that cannot be written are dropped. */
function addTrailers(response: ServerResponse, trailers: RawHeaders): void {
  const pairs: [string, string][] = [];
  for (let i = 0; i < trailers.length; i += 2) pairs.push([trailers[i] as string, trailers[i + 1] as string]);
  try {
    response.addTrailers(pairs);
  } catch {
    response.addTrailers({});
  }
}
