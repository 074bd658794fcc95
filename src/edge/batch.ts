/**
 * `POST /.holdfast/batch`: requests as lines in, results as lines out, each when it is done (docs/batch.md). Every record
 * is a call like any other and passes the same layers; the batch only keeps a bounded number of them running and reads
 * no further while results are not taken. A bad line is the result of that line and nothing else. A batch that cannot be
 * finished (shutdown, too many lines, a client that fell silent) says in one last line from where on nothing was run.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CancelReason, Exchange } from '../core/exchange.ts';
import type { Outcome } from '../core/outcome.ts';
import type { CancelTimer } from '../ops/clock.ts';
import { exchangeOfRecord } from './batch-exchange.ts';
import { type Line, LineCutter } from './batch-lines.ts';
import { type BatchRecord, inheritedHeaders, type RecordId, recordOf } from './batch-record.ts';
import { BATCH_SILENT, BATCH_STOPPED, BATCH_TOO_LONG } from './batch-refusal.ts';
import { holdBody, resultLine } from './batch-result.ts';
import { clientLeft, outcomeOfBug } from './exchange.ts';
import type { Plane } from './plane.ts';
import type { Refusal } from './refusal.ts';
import { respond, respondRefusal } from './respond.ts';
import { LINGER_MS } from './send.ts';

/** Records of one batch that run at once; pacing decides how fast they go. */
const RUNNING_MAX = 64;
/** A client may write all of its lines before it reads a result: so much is kept for it. */
const UNREAD_BYTES_MAX = 8 * 1024 * 1024;
/** Read ahead, because a socket that nobody reads does not tell that its client has left. */
const BYTES_AHEAD_MAX = 1024 * 1024;
const LINES_AHEAD_MAX = 4096;
const RECORDS_MAX = 100_000;
/** Then other calls have their turn: a file that is no NDJSON is ten thousands of bad lines. */
const LINES_AT_ONCE = 64;
/** Others hold all there is, and no record of this batch will come back to say that there is room again. */
const LOOK_AGAIN_MS = 250;
/** What a line may be longer than the body in it. */
const LINE_OVERHEAD_BYTES = 64 * 1024;

/** One batch request. */
export interface BatchCall {
  readonly plane: Plane;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborted with a `CancelReason` when the client leaves or the process stops, with a `Refusal` when no further line can be read. */
  readonly signal: AbortSignal;
}

/** Runs a batch; resolves when its last record has ended and its answer is out, or its client is gone. */
export function runBatch(call: BatchCall): Promise<void> {
  return new Batch(call).run();
}

class Batch {
  readonly #call: BatchCall;
  readonly #inherited: readonly string[];
  readonly #cutter: LineCutter;
  readonly #idleMs: number;
  readonly #running = new Set<Exchange>();
  readonly #over = Promise.withResolvers<void>();
  #lines: Line[] = [];
  #heldBytes = 0;
  #read = false;
  /** Why no further line is run; null while they are. */
  #stopped: Refusal | null = null;
  #gone = false;
  /** The upload broke off: what is still written has perhaps no reader. */
  #broken = false;
  #ended = false;
  #records = 0;
  #ok = 0;
  #cancelTimer: CancelTimer | null = null;
  #cancelLook: CancelTimer | null = null;
  #progress = '';

  constructor(call: BatchCall) {
    this.#call = call;
    const { limits, match } = call.plane.settings();
    this.#inherited = inheritedHeaders(call.request.rawHeaders);
    this.#cutter = new LineCutter(limits.repeatableBodyBytes + LINE_OVERHEAD_BYTES);
    this.#idleMs = match('POST', '/.holdfast/batch').policy.timeout.bodyIdleMs;
  }

  run(): Promise<void> {
    const { request, response, signal, plane } = this.#call;
    response.writeHead(200, [
      'Content-Type',
      'application/x-ndjson',
      'Via',
      `1.1 ${plane.via}`,
      'Holdfast',
      // What was done stands in each line.
      'from=proxy, attempts=0, verdict=ok, effect=none',
      ...(this.#hasTrailers ? ['Trailer', 'Holdfast-Batch'] : []),
    ]);
    response.flushHeaders();
    request.on('data', this.#onData);
    request.on('end', this.#onEnd);
    response.on('drain', this.#pump);
    response.on('error', noop);
    signal.addEventListener('abort', this.#onAbort);
    if (signal.aborted) this.#onAbort();
    else this.#watch();
    return this.#over.promise;
  }

  get #hasTrailers(): boolean {
    return this.#call.request.httpVersionMinor === 1;
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#stopped !== null) return;
    for (const line of this.#cutter.cut(chunk)) this.#hold(line);
    this.#pump();
  };

  readonly #onEnd = (): void => {
    this.#read = true;
    const rest = this.#cutter.rest();
    if (rest !== null) this.#hold(rest);
    this.#pump();
  };

  #hold(line: Line): void {
    this.#lines.push(line);
    this.#heldBytes += line.bytes?.length ?? 0;
  }

  readonly #onAbort = (): void => {
    const reason = this.#call.signal.reason as CancelReason | Refusal;
    this.#gone = reason === 'client_gone';
    this.#broken = typeof reason !== 'string';
    this.#stopped ??= typeof reason === 'string' ? BATCH_STOPPED : reason;
    for (const exchange of this.#running) {
      if (reason === 'shutdown') exchange.cancel.abort(reason);
      else clientLeft(exchange);
    }
    this.#pump();
  };

  /** Runs what may run, and reads on when nothing waits. */
  readonly #pump = (): void => {
    let taken = 0;
    while (this.#stopped === null && this.#lines.length > 0 && taken < LINES_AT_ONCE && this.#hasRoom()) {
      if (!this.#take(this.#lines[0] as Line)) break;
      taken += 1;
      this.#heldBytes -= this.#lines.shift()?.bytes?.length ?? 0;
    }
    const { request } = this.#call;
    if (this.#lines.length > LINES_AHEAD_MAX || this.#heldBytes > BYTES_AHEAD_MAX) request.pause();
    else if (!this.#read) request.resume();
    if (this.#stopped === null && this.#lines.length > 0) {
      if (taken === LINES_AT_ONCE) this.#pumpIn(0);
      else if (this.#running.size === 0) this.#pumpIn(LOOK_AGAIN_MS);
    }
    const nothingMore = this.#stopped !== null || (this.#read && this.#lines.length === 0);
    if (nothingMore && this.#running.size === 0) this.#end();
  };

  #hasRoom(): boolean {
    const { plane, response } = this.#call;
    // Rather later than shed.
    return this.#running.size < RUNNING_MAX && response.writableLength < UNREAD_BYTES_MAX && !plane.full();
  }

  #pumpIn(ms: number): void {
    this.#cancelLook ??= this.#call.plane.clock.timer(ms, () => {
      this.#cancelLook = null;
      this.#pump();
    });
  }

  /** False: not yet, there is no room for its body. */
  #take(line: Line): boolean {
    const { plane } = this.#call;
    if (this.#records >= RECORDS_MAX) {
      this.#stopped ??= BATCH_TOO_LONG;
      return false;
    }
    const record = recordOf(line.bytes, this.#inherited, plane.via, plane.settings().limits);
    const bodyBytes = record.kind === 'record' ? (record.body?.length ?? 0) : 0;
    if (!plane.buffered.tryTake(bodyBytes)) return false;
    this.#records += 1;
    if (record.kind === 'bad') this.#refuse(record.id, line.number, record.refusal);
    else void this.#run(record, line.number, bodyBytes);
    return true;
  }

  async #run(record: BatchRecord, line: number, bodyBytes: number): Promise<void> {
    const { plane } = this.#call;
    const exchange = exchangeOfRecord(plane, record);
    this.#running.add(exchange);
    plane.enter();
    let outcome: Outcome;
    try {
      outcome = await plane.service(exchange);
    } catch (error) {
      plane.events.bug(error, 'service');
      outcome = outcomeOfBug(exchange);
    }
    try {
      await this.#answer(record, line, exchange, outcome);
    } catch (error) {
      plane.events.bug(error, 'batch');
    }
    const release = (): void => plane.buffered.giveBack(bodyBytes);
    if (outcome.settled === undefined) release();
    else {
      plane.settling(outcome.settled);
      outcome.settled.then(release, release);
    }
    this.#running.delete(exchange);
    plane.leave();
    this.#pump();
  }

  async #answer({ id }: BatchRecord, line: number, exchange: Exchange, outcome: Outcome): Promise<void> {
    const { plane } = this.#call;
    const reply = respond(exchange, outcome, plane.via);
    const { held, takenBytes } = await holdBody(reply.body, plane, this.#call.signal);
    const { status, headers, code } = reply;
    const finished = (complete: boolean): void => {
      const durationMs = plane.clock.now() - exchange.receivedAtMs;
      const whole = complete && held !== null;
      plane.events.exchangeFinished(exchange, outcome, { status, code, durationMs, complete: whole });
      exchange.onDelivered?.(whole);
    };
    if (this.#gone) finished(false);
    else this.#write(resultLine({ id, line, status, headers, body: held }), status, finished);
    plane.buffered.giveBack(takenBytes);
  }

  /** A line that is not run: its error, in the shape of all our errors. */
  #refuse(id: RecordId, line: number, refusal: Refusal): void {
    const { plane } = this.#call;
    plane.events.malformed(refusal.status, refusal.reason);
    const { status, headers, body } = respondRefusal(refusal, null, plane.newId(), null, plane.via);
    const held = body.kind === 'bytes' ? body.bytes : null;
    this.#write(resultLine({ id, line, status, headers, body: held }), status, noop);
  }

  #write(text: string, status: number, delivered: (complete: boolean) => void): void {
    if (status < 400) this.#ok += 1;
    const { request, response } = this.#call;
    if (response.destroyed || request.socket.destroyed) return delivered(false);
    // Called with an error when the client leaves before it has the line. What is written to one that has closed its
    // side may have met nobody.
    response.write(text, (error) => delivered(!error && !this.#broken && !request.socket.readableEnded));
  }

  /** Every record has its result. Once. */
  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelTimer?.();
    this.#cancelLook?.();
    const { request, response, signal, plane } = this.#call;
    signal.removeEventListener('abort', this.#onAbort);
    const unrun = this.#stopped !== null && (this.#lines.length > 0 || !this.#read);
    if (this.#gone || response.destroyed) return this.#over.resolve();
    if (unrun) this.#refuse(null, this.#lines[0]?.number ?? this.#cutter.next, this.#stopped as Refusal);
    if (this.#hasTrailers) {
      const counts = `records=${this.#records}, ok=${this.#ok}, failed=${this.#records - this.#ok}`;
      response.addTrailers([['Holdfast-Batch', unrun ? `${counts}, complete=?0` : `${counts}, complete`]]);
    }
    const finish = (): void => {
      response.end(() => this.#over.resolve());
    };
    response.once('close', () => this.#over.resolve());
    if (this.#read || request.socket.readableEnded) return finish();
    // Closed at once, the rest of the upload would reset the connection under the last results.
    request.resume();
    const cancel = plane.clock.timer(LINGER_MS, finish);
    request.once('end', () => {
      cancel();
      finish();
    });
  }

  /** A client that neither sends nor takes anything, while it waits for nothing, has gone without a word. */
  #watch(): void {
    this.#cancelTimer = this.#call.plane.clock.timer(this.#idleMs, () => {
      const { request, response } = this.#call;
      const { bytesRead, bytesWritten } = request.socket;
      const progress = `${bytesRead} ${bytesWritten} ${this.#records}`;
      // Lines that wait while no result does wait for us.
      const isOurs = this.#running.size > 0 || (this.#lines.length > 0 && response.writableLength === 0);
      const silent = progress === this.#progress && !isOurs;
      this.#progress = progress;
      if (!silent) this.#watch();
      else if (response.writableLength > 0) request.socket.destroy();
      else {
        this.#stopped ??= BATCH_SILENT;
        this.#pump();
      }
    });
  }
}

const noop = (): void => {};
