import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { RequestBody } from '../core/exchange.ts';
import { dropHopByHop } from '../core/hop-by-hop.ts';
import type { RawHeaders } from '../core/raw-headers.ts';
import { headerOf } from '../core/raw-headers.ts';
import type { WireCall, WireFailure, WireHandler, WireRequest } from '../core/wire.ts';
import type { Connection } from './connection.ts';
import { failureOf, type Phase } from './failure.ts';
import { rawFields } from './raw-fields.ts';

type Controller = Dispatcher.DispatchController;

/** How a call left its connection: able to serve again, or spoiled. */
export type Leave = (connection: Connection, clean: boolean) => void;

/**
 * One call under way: undici's handler on one side, ours on the other. It keeps the phase, turns fields, and sees to it
 * that exactly one ending is reported and the connection is left exactly once.
 */
export class Call implements WireCall, Dispatcher.DispatchHandler {
  readonly #handler: WireHandler;
  readonly #connection: Connection;
  readonly #leave: Leave;
  #controller: Controller | null = null;
  #phase: Phase = 'waiting';
  #upload: Readable | null = null;
  #uploadBroke = false;

  constructor(handler: WireHandler, connection: Connection, leave: Leave) {
    this.#handler = handler;
    this.#connection = connection;
    this.#leave = leave;
  }

  /** Hands the request to undici. Failures of any kind come through the handler, possibly before this returns. */
  send(request: WireRequest): void {
    this.#connection.client.dispatch(
      {
        method: request.method,
        path: request.target,
        headers: fieldsToSend(request) as string[],
        body: this.#bodyOf(request.body) as NonNullable<Dispatcher.DispatchOptions['body']> | null,
        // Without it a HEAD asks for `connection: close`, and a GET with a body closes the socket.
        reset: false,
      },
      this,
    );
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  abort(): void {
    if (this.#phase === 'ended') return;
    this.#end(false);
  }

  onRequestStart(controller: Controller): void {
    if (this.#phase !== 'waiting') {
      // Given up while it waited for a connection: this keeps it from being written after all.
      controller.abort(new Error('given up before it was written'));
      return;
    }
    this.#controller = controller;
    this.#phase = 'started';
    this.#handler.onStart();
  }

  onBodySent(): void {
    if (this.#upload !== null && this.#phase !== 'ended') this.#handler.onUpload(false);
  }

  onRequestSent(): void {
    if (this.#upload !== null && this.#phase !== 'ended') this.#handler.onUpload(true);
  }

  onResponseStart(controller: Controller, status: number): void {
    if (this.#phase === 'ended') return;
    if (status < 200) {
      this.#phase = 'interim';
      // undici itself breaks off on a 100 and on most 101: nobody asked for either (semantics §10).
      if (status === 101)
        this.#fail({ kind: 'reset', sent: 'yes', fault: 'upstream', detail: 'it switched protocols' });
      else if (status === 102 || status === 103) this.#handler.onInformational(status, fieldsOf(controller.rawHeaders));
      return;
    }
    this.#phase = 'head';
    this.#handler.onHead(status, fieldsOf(controller.rawHeaders));
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    if (this.#phase === 'head') this.#handler.onData(chunk);
  }

  onResponseEnd(controller: Controller): void {
    if (this.#phase !== 'head') return;
    const trailers = controller.rawTrailers ? fieldsOf(controller.rawTrailers) : [];
    this.#end(true);
    this.#handler.onEnd(trailers);
  }

  onResponseError(_controller: Controller | null, error: Error): void {
    if (this.#phase === 'ended') return;
    const failure = failureOf(error, this.#phase);
    this.#fail(
      this.#uploadBroke ? { ...failure, fault: 'caller', detail: `request body: ${failure.detail}` } : failure,
    );
  }

  #fail(failure: WireFailure): void {
    this.#end(false);
    this.#handler.onFailure(failure);
  }

  #end(clean: boolean): void {
    this.#phase = 'ended';
    this.#leave(this.#connection, clean);
    // After an early answer, or a failure, nobody reads the rest of the upload.
    this.#upload?.destroy();
  }

  #bodyOf(body: RequestBody): Buffer | AsyncIterable<Buffer> | null {
    if (body.kind === 'none') return null;
    return body.kind === 'bytes' ? body.bytes : this.#uploadOf(body);
  }

  /** Opened at the first read, which is when it is written: a call that found no connection leaves it untouched. */
  async *#uploadOf(body: Extract<RequestBody, { kind: 'stream' }>): AsyncGenerator<Buffer> {
    body.opened = true;
    const upload = body.open();
    this.#upload = upload;
    try {
      for await (const chunk of upload) yield chunk as Buffer;
    } catch (error) {
      this.#uploadBroke = true;
      throw error;
    }
  }
}

function fieldsOf(fields: Controller['rawHeaders']): RawHeaders {
  return dropHopByHop(rawFields(fields));
}

/** The request's own list in nearly all cases. A stream of known length needs its Content-Length, else it goes chunked. */
function fieldsToSend({ headers, body }: WireRequest): RawHeaders {
  if (body.kind !== 'stream' || body.lengthBytes === null || headerOf(headers, 'content-length') !== null)
    return headers;
  return [...headers, 'Content-Length', String(body.lengthBytes)];
}
