/**
 * One request at the edge: from its head over its body to an exchange, and from the outcome to the last byte of the
 * answer. It ends exactly once, whatever the client, the stack or the upstream do.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Exchange, RequestBody } from '../core/exchange.ts';
import { type Outcome, streamOf } from '../core/outcome.ts';
import { headerListOf, type RawHeaders } from '../core/raw-headers.ts';
import type { EndpointMatch } from '../core/settings.ts';
import { type BodyEvents, InboundBody } from './body.ts';
import type { Connection, Turn } from './connection.ts';
import { clientLeft, exchangeOf, outcomeOfBug, outcomeOfClientGone } from './exchange.ts';
import { type Head, readHead } from './inbound.ts';
import type { Plane } from './plane.ts';
import { bodyTooLarge, type Refusal, SHUTTING_DOWN, UNAUTHORIZED, UNKNOWN_EXPECTATION } from './refusal.ts';
import { RESERVED_PREFIX } from './reserved-prefix.ts';
import { type Reply, respond, respondRefusal, respondUnwritable } from './respond.ts';
import { Sending } from './send.ts';

/** What `Expect` asked for. */
export type Expectation = 'nothing' | 'continue' | 'unknown';

/** What the log says of a call whose client left before there was anything to send. The usual code since nginx. */
const CLIENT_CLOSED_REQUEST = 499;

/** One request. */
export class Call implements Turn, BodyEvents {
  readonly #plane: Plane;
  readonly #connection: Connection;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #expectation: Expectation;
  readonly #id: string;
  readonly #receivedAtMs: number;
  #head: Head | null = null;
  #match: EndpointMatch | null = null;
  #body: InboundBody | null = null;
  #exchange: Exchange | null = null;
  /** A fault of the client's while its body was on the way; it explains whatever the stack says afterwards. */
  #bodyRefusal: Refusal | null = null;
  #outcome: Outcome | null = null;
  #reply: Reply | null = null;
  #sending: Sending | null = null;
  /** Set for a path of our own: says that the client left, the process stops, or the body is malformed. */
  #reserved: AbortController | null = null;
  #continued = false;
  #over = false;

  constructor(
    plane: Plane,
    connection: Connection,
    request: IncomingMessage,
    response: ServerResponse,
    expectation: Expectation,
  ) {
    this.#plane = plane;
    this.#connection = connection;
    this.#request = request;
    this.#response = response;
    this.#expectation = expectation;
    this.#id = plane.newId();
    this.#receivedAtMs = plane.clock.now();
  }

  get received(): boolean {
    return this.#request.complete;
  }

  start(): void {
    this.#plane.enter();
    const head = readHead(this.#request, this.#plane.via);
    if (head.kind === 'refusal') return this.#refuse(head);
    if (this.#expectation === 'unknown') return this.#refuse(UNKNOWN_EXPECTATION);
    if (this.#plane.draining) return this.#refuse(SHUTTING_DOWN);
    this.#head = head;
    const { clients } = this.#plane.settings();
    const admitted = clients.kind === 'open' || this.#plane.clientToken.accepts(clients.file, head.clientAuthorization);
    if (admitted === true) return this.#admitted(head);
    if (admitted === false) return this.#refuse(UNAUTHORIZED);
    admitted.then(
      (accepted) => (accepted ? this.#admitted(head) : this.#refuse(UNAUTHORIZED)),
      (error: unknown) => this.#bug(error, 'client token'),
    );
  }

  gone(): void {
    if (this.#over) return;
    if (this.#exchange !== null) clientLeft(this.#exchange);
    this.#reserved?.abort('client_gone');
    this.#body?.abandon();
    if (this.#sending !== null) return this.#sending.gone();
    const exchange = this.#exchange;
    if (exchange === null) return this.#end(false);
    // The signal was used up by the shutdown: nobody inside hears of the client, and a drain waits for what is a read.
    if (exchange.cancel.reason === 'shutdown' && exchange.policy.operationClass === 'read') {
      this.#outcome = outcomeOfClientGone();
      this.#end(false);
    }
  }

  bodyMalformed(refusal: Refusal): void {
    this.#reserved?.abort(refusal);
    if (this.#body === null) this.#bodyRefusal = refusal;
    else this.#body.fail(refusal);
  }

  uploadOver(): void {
    this.#sending?.uploadOver();
    if (this.#exchange === null || this.#exchange.inputEnded) return;
    this.#exchange.inputEnded = true;
    this.#exchange.onInputEnded?.();
  }

  bodyWanted(): void {
    if (this.#expectation !== 'continue' || this.#response.headersSent) return;
    this.#continued = true;
    this.#response.writeContinue();
  }

  bodyFailed(refusal: Refusal): void {
    if (this.#exchange === null) this.#refuse(refusal);
    else this.#bodyRefusal = refusal;
  }

  /** The process stops: waits end, what is on the wire may finish. */
  shutdown(): void {
    this.#exchange?.cancel.abort('shutdown');
    this.#reserved?.abort('shutdown');
  }

  #admitted(head: Head): void {
    if (this.#over) return;
    const { settings, clock, buffered } = this.#plane;
    const { limits, match } = settings();
    const target = this.#request.url as string;
    if (target.startsWith(RESERVED_PREFIX)) return this.#serveReserved();
    if (head.bodyBytes !== null && head.bodyBytes > limits.requestBodyBytes) {
      return this.#refuse(bodyTooLarge(limits.requestBodyBytes));
    }
    if (this.#bodyRefusal !== null) return this.#refuse(this.#bodyRefusal);
    const query = target.indexOf('?');
    this.#match = match(this.#request.method as string, query === -1 ? target : target.slice(0, query));
    if (head.bodyBytes === 0) return this.bodyReady({ kind: 'none' });
    const idleMs = this.#match.policy.timeout.bodyIdleMs;
    this.#body = new InboundBody(this.#request, head.bodyBytes, { clock, buffered, limits, idleMs }, this);
    // Nothing is buffered for a call that will be shed; it goes inward all the same, to be counted and logged there.
    if (this.#plane.full() && this.#match.policy.mode === 'enforce') this.#body.flow();
    else this.#body.start();
  }

  bodyReady(body: RequestBody): void {
    if (this.#plane.draining) return this.#refuse(SHUTTING_DOWN);
    const { service, clock, events, settings, credentialRefs } = this.#plane;
    const head = this.#head as Head;
    const passthrough = settings().upstream.credentials.kind === 'passthrough';
    // With credentials of ours, whose call it is says the client's own token.
    const name = credentialRefs.of(passthrough ? head.authorization : head.clientAuthorization);
    const exchange = exchangeOf({
      id: this.#id,
      method: this.#request.method as string,
      target: this.#request.url as string,
      head,
      match: this.#match as EndpointMatch,
      body,
      receivedAtMs: this.#receivedAtMs,
      nowMs: clock.now(),
      credentialRef: passthrough ? name.ref : 'own',
      scope: name.scope,
      onInformational: this.#request.httpVersionMinor === 1 ? this.#onInformational : null,
    });
    exchange.inputEnded = this.#connection.readEnded;
    this.#exchange = exchange;
    service(exchange).then(
      (outcome) => this.#answer(exchange, outcome),
      (error: unknown) => {
        events.bug(error, 'service');
        this.#answer(exchange, outcomeOfBug(exchange));
      },
    );
  }

  readonly #onInformational = (status: number, headers: RawHeaders): void => {
    if (this.#response.headersSent || this.#response.destroyed) return;
    try {
      this.#response.writeInformation(status, headers.slice());
    } catch {
      // What cannot be written is left out: an interim answer is only a hint (RFC 8297 §2).
    }
  };

  #answer(exchange: Exchange, outcome: Outcome): void {
    this.#outcome = outcome;
    const { draining, via } = this.#plane;
    try {
      if (this.#connection.socket.destroyed) {
        streamOf(outcome)?.discard();
        this.#end(false);
      } else if (this.#bodyRefusal !== null) {
        streamOf(outcome)?.discard();
        const accept = headerListOf(exchange.headers, 'accept');
        this.#send(respondRefusal(this.#bodyRefusal, exchange, this.#id, accept, via), true);
      } else if (!this.#send(respond(exchange, outcome, via), draining)) {
        this.#send(respondUnwritable(exchange, outcome, via), draining);
      }
    } catch (error) {
      this.#bug(error, 'answer');
    }
  }

  /** Answers without an exchange, and ends the connection: what follows on it cannot be trusted, or is not wanted. */
  #refuse(refusal: Refusal): void {
    const { events, via } = this.#plane;
    events.malformed(refusal.status, refusal.reason);
    const accept = headerListOf(this.#request.rawHeaders, 'accept');
    this.#send(respondRefusal(refusal, null, this.#id, accept, via), true);
  }

  /** False when the head of the reply cannot be written; then nothing was. */
  #send(reply: Reply, last: boolean): boolean {
    const unread = !this.#request.complete && announcesBody(this.#request);
    const close = last || unread;
    if (close) this.#connection.close();
    this.#reply = reply;
    this.#sending = new Sending({
      request: this.#request,
      response: this.#response,
      clock: this.#plane.clock,
      close,
      // A client that waits for 100 Continue sends nothing that would have to be read.
      uploading: unread && !this.#connection.readEnded && (this.#expectation !== 'continue' || this.#continued),
      onLinger: this.#onLinger,
      onDone: this.#onDone,
    });
    return this.#sending.start(reply);
  }

  readonly #onLinger = (): void => this.#body?.abandon();

  readonly #onDone = (complete: boolean): void => this.#end(complete);

  #serveReserved(): void {
    this.#response.once('close', () => this.#end(true));
    this.#reserved = new AbortController();
    if (announcesBody(this.#request)) {
      // Nobody promises to read all of the body, so the connection cannot be used again behind one.
      this.#response.shouldKeepAlive = false;
      this.bodyWanted();
    }
    const call = { request: this.#request, response: this.#response, signal: this.#reserved.signal };
    this.#plane.reserved(call).catch((error: unknown) => this.#bug(error, 'reserved path'));
  }

  #bug(error: unknown, where: string): void {
    this.#plane.events.bug(error, where);
    this.#response.destroy();
    this.#end(false);
  }

  #end(complete: boolean): void {
    if (this.#over) return;
    this.#over = true;
    const { events, clock } = this.#plane;
    const body = this.#body;
    const settled = this.#outcome?.settled;
    if (settled !== undefined) this.#plane.settling(settled);
    if (body !== null) {
      if (settled === undefined) body.release();
      else settled.then(() => body.release(), noop);
    }
    if (this.#exchange !== null && this.#outcome !== null) {
      events.exchangeFinished(this.#exchange, this.#outcome, {
        status: this.#reply?.status ?? CLIENT_CLOSED_REQUEST,
        code: this.#reply?.code ?? null,
        durationMs: clock.now() - this.#receivedAtMs,
        complete,
      });
    }
    // What was written to a client that had closed its side may have met nobody.
    this.#exchange?.onDelivered?.(complete && !this.#connection.readEnded);
    this.#plane.leave();
    if (this.#reserved !== null && !this.#response.shouldKeepAlive) this.#connection.close();
    this.#connection.turnOver();
  }
}

const noop = (): void => {};

function announcesBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}
