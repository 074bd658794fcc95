/**
 * One function per event: the log line and the counter together, so that neither is ever forgotten and both agree.
 * Bodies and credentials are no parameter of anything here, hence cannot be logged (semantics §12).
 */

import type { BreakerKind } from '../core/breaker.ts';
import type { CauseGroup } from '../core/cause-group.ts';
import type { AttemptRecord, Exchange, WaitReason, WithheldReason } from '../core/exchange.ts';
import { isFailure, type OperatorEvent } from '../core/notify.ts';
import type { DeadReason } from '../core/operation.ts';
import type { HoldfastCode, Outcome } from '../core/outcome.ts';
import { BoundedLabels } from './bounded-labels.ts';
import { ContextLabels } from './context-labels.ts';
import { DeadLetterEvents } from './dead-letter-events.ts';
import type { Log } from './log.ts';
import { type Metrics, TOKEN_LABELS_MAX } from './metrics.ts';
import { RedriveEvents } from './redrive-events.ts';
import { unmappedEntry } from './unmapped-entry.ts';

const UNMAPPED_LOG_INTERVAL_MS = 3_600_000;
const UNMAPPED_CODE_CHARS_MAX = 100;

/** A layer that holds back, repeats or refuses. */
export type ActingLayer =
  | 'shed'
  | 'idempotency'
  | 'reconcile'
  | 'resource-order'
  | 'retry'
  | 'breaker'
  | 'bulkhead'
  | 'pacing';

/** What the ledger did with a call (contract, `holdfast_idempotency_total`). */
export type IdempotencyResult = 'new' | 'replayed' | 'joined' | 'in_flight' | 'reused' | 'hold';

/** What came of looking for a lost create (contract, `holdfast_reconciliations_total`). */
export type ReconcileResult = 'landed' | 'absent' | 'undecided';

/** What was sent to the client in the end. */
export interface Sending {
  readonly status: number;
  readonly code: HoldfastCode | null;
  readonly durationMs: number;
  /** The whole answer went out; false when the client left or the upstream broke off. */
  readonly complete: boolean;
}

/** The events of one process. */
export class Events {
  readonly #log: Log;
  readonly #metrics: Metrics;
  /** In passthrough mode clients invent tokens. */
  readonly #tokenLabels = new BoundedLabels(TOKEN_LABELS_MAX);
  readonly #unmappedLoggedAt = new Map<string, number>();
  /** Calls by `Holdfast-Context`. */
  readonly contextLabels: ContextLabels;
  readonly deadLetters: DeadLetterEvents;
  readonly redrives: RedriveEvents;
  #listener: ((event: OperatorEvent) => void) | null = null;

  constructor(log: Log, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
    this.contextLabels = new ContextLabels(metrics);
    this.deadLetters = new DeadLetterEvents(log, metrics);
    this.redrives = new RedriveEvents(log, metrics);
  }

  /** Tells what an operator may have to hear of; called on the way of a call, so it must neither wait nor throw. */
  listen(listener: (event: OperatorEvent) => void): void {
    this.#listener = listener;
  }

  /** A client request got its answer, or lost its client. One line per exchange. */
  exchangeFinished(exchange: Exchange, outcome: Outcome, sending: Sending): void {
    const endpoint = exchange.policy.name;
    const from = outcome.kind === 'answered' ? outcome.from : 'proxy';
    const verdict = outcome.verdict;
    this.#metrics.requests.tally([endpoint, exchange.method, sending.status, from, verdict.class]);
    this.#metrics.requestDuration.note(endpoint, sending.durationMs / 1000);
    if (exchange.context !== null) this.contextLabels.count(exchange.context, verdict.class);
    this.#listener?.({ kind: 'ended', endpoint, failed: isFailure(verdict) });
    if (!this.#log.isLevelEnabled('info')) return;
    const line: Record<string, unknown> = {
      event: 'exchange',
      id: exchange.id,
      endpoint,
      method: exchange.method,
      status: sending.status,
      from,
      verdict: verdict.class,
      effect: verdict.effect,
      attempts: exchange.attempts.length,
      ms: Math.round(sending.durationMs),
    };
    if (verdict.reason !== 'ok') line['reason'] = verdict.reason;
    if (exchange.withheld !== null) line['withheld'] = exchange.withheld;
    if (exchange.waitedMs > 0) line['waitedMs'] = Math.round(exchange.waitedMs);
    if (sending.code !== null) line['code'] = sending.code;
    if (!sending.complete) line['complete'] = false;
    if (exchange.context !== null) line['context'] = exchange.context;
    if (outcome.kind === 'failed') line['detail'] = outcome.detail;
    const requestId = exchange.attempts.at(-1)?.requestId;
    if (requestId) line['upstreamRequestId'] = requestId;
    this.#log.line(line);
  }

  /** An attempt has its verdict. */
  attemptFinished(exchange: Exchange, record: AttemptRecord): void {
    const endpoint = exchange.policy.name;
    this.#metrics.attempts.tally([endpoint, record.verdict, record.reason]);
    this.#metrics.attemptDuration.note(endpoint, record.durationMs / 1000);
    if (record.verdict === 'throttled') {
      this.#metrics.throttled.inc({ endpoint, token: this.#tokenLabels.of(exchange.credentialRef) });
    }
    if (this.#log.isLevelEnabled('debug')) {
      const { excerpt: _, ...shown } = record;
      this.#log.debug({ event: 'attempt', id: exchange.id, endpoint, ...shown });
    }
  }

  /** A failed attempt was sent again, after its wait. Its own line is that of the attempt. */
  retrySent(exchange: Exchange, failureReason: string): void {
    this.#metrics.retries.inc({ endpoint: exchange.policy.name, reason: failureReason });
  }

  /** A failed attempt is to be sent again after a wait; whether it was, `retrySent` counts. */
  retryScheduled(exchange: Exchange, waitMs: number, waitReason: WaitReason, failureReason: string): void {
    this.#log.debug({ event: 'retry', id: exchange.id, waitMs: Math.round(waitMs), waitReason, reason: failureReason });
  }

  /** A failed attempt will not be sent again. In mode observe `would` is what enforce had done instead. */
  retryWithheld(exchange: Exchange, reason: WithheldReason): void {
    this.#metrics.retriesWithheld.inc({ endpoint: exchange.policy.name, reason });
    this.#log.debug({ event: 'retry_withheld', id: exchange.id, reason });
  }

  /** Mode observe: what a layer would have done here. */
  wouldHave(exchange: Exchange, layer: ActingLayer, action: string): void {
    const endpoint = exchange.policy.name;
    this.#metrics.would.inc({ endpoint, layer });
    this.#log.info({ event: 'would', id: exchange.id, endpoint, layer, action });
  }

  /** A circuit breaker changed its state; `endpoint` may be `host`. */
  breakerChanged(endpoint: string, from: BreakerKind, to: BreakerKind): void {
    this.#metrics.breakerTransitions.inc({ endpoint, to });
    this.#listener?.({ kind: 'breaker', endpoint, to });
    const line = { event: 'breaker', endpoint, from, to };
    if (to === 'open' && from === 'closed') this.#log.warn(line);
    else this.#log.info(line);
  }

  /** A call that had to wait for a slot of its token's quota waits no more, whether it got one or not. */
  waitedForSlot(exchange: Exchange, waitedMs: number): void {
    this.#metrics.pacingWait.observe({ priority: exchange.priority }, waitedMs / 1000);
  }

  /** All calls of a token pause, or those to one endpoint. */
  paused(token: string, forMs: number, endpoint: string | null): void {
    this.#log.info({ event: 'paused', credentialRef: token, forMs: Math.round(forMs), endpoint });
  }

  /** The ledger knows the call as an operation: a new one, or one that it replays, joins, refuses or holds. */
  idempotency(exchange: Exchange, result: IdempotencyResult): void {
    this.#metrics.idempotency.inc({ endpoint: exchange.policy.name, result });
    if (result === 'new') return;
    this.#log.debug({
      event: 'idempotency',
      id: exchange.id,
      endpoint: exchange.policy.name,
      result,
      operation: exchange.operation?.id ?? null,
    });
  }

  /** The store would not take the ending of an operation; it is tried again. The caller was told the truth. */
  operationUnrecorded(exchange: Exchange, ending: string): void {
    const operation = exchange.operation?.id ?? null;
    this.#log.error({
      event: 'operation_unrecorded',
      id: exchange.id,
      endpoint: exchange.policy.name,
      operation,
      ending,
    });
  }

  /** A lost create was looked for, and this is what is known now. */
  reconciled(exchange: Exchange, result: ReconcileResult, looks: number): void {
    const endpoint = exchange.policy.name;
    this.#metrics.reconciliations.inc({ endpoint, result });
    const operation = exchange.operation?.id ?? null;
    this.#log.info({ event: 'reconciled', id: exchange.id, endpoint, result, looks, operation });
  }

  /** A call that failed for good is kept. */
  deadLettered(exchange: Exchange, reason: DeadReason, cause: CauseGroup, operation: string): void {
    this.deadLetters.kept(exchange.id, exchange.policy.name, reason, cause.id, operation);
    this.#listener?.({ kind: 'dead_letter', reason, cause });
  }

  /** What an earlier process was killed over is a dead letter now, and nobody else will speak of it. */
  deadLetterLeft(endpoint: string, reason: DeadReason, cause: CauseGroup, operation: string): void {
    this.deadLetters.kept(null, endpoint, reason, cause.id, operation);
    this.#listener?.({ kind: 'dead_letter', reason, cause });
  }

  /** A notification target was told, or could not be; `why` never has the URL. */
  notified(target: string, topic: string, result: 'sent' | 'failed' | 'dropped', why: string | null): void {
    this.#metrics.notifications.inc({ target, result });
    if (result === 'sent') this.#log.debug({ event: 'notified', target, topic });
    else this.#log.warn({ event: 'notification_lost', target, topic, result, why });
  }

  /** The store works, or does not any more; `fault` says what is wrong and what to do. */
  storeChanged(fault: string | null): void {
    this.#metrics.storeHealthy.set(fault === null ? 1 : 0);
    if (fault === null) this.#log.info({ event: 'store_healthy' });
    else this.#log.error({ event: 'store_unavailable', fault });
  }

  /** What an earlier process left in the ledger was taken up; `unwritten` could not be changed there. */
  recovered(counts: { released: number; dead: number; unknown: number; unwritten: number }): void {
    this.#log.info({ event: 'recovered', ...counts });
  }

  /** What an earlier process left could not be read: calls are served, and its lost ones taken up when it can be. */
  recoveryFailed(fault: string): void {
    this.#log.error({ event: 'recovery_failed', fault });
  }

  /** A request was refused because too much was in flight. */
  shed(exchange: Exchange): void {
    this.#metrics.shed.inc();
    this.#log.debug({ event: 'shed', id: exchange.id, endpoint: exchange.policy.name });
  }

  /** An error answer of a known operation that no rule names. Counted always, logged once an hour with a ready entry. */
  unmappedError(exchange: Exchange, status: number, code: string | null, message: string | null, nowMs: number): void {
    const endpoint = exchange.policy.name;
    this.#metrics.unmappedErrors.inc({ endpoint, status });
    // Not by the code as well: an upstream that makes them up would write a line for each.
    const key = `${endpoint} ${status}`;
    const last = this.#unmappedLoggedAt.get(key);
    if (last !== undefined && nowMs - last < UNMAPPED_LOG_INTERVAL_MS) return;
    if (this.#unmappedLoggedAt.size >= 1000) this.#unmappedLoggedAt.clear();
    this.#unmappedLoggedAt.set(key, nowMs);
    const shownCode = code?.slice(0, UNMAPPED_CODE_CHARS_MAX) ?? null;
    this.#log.warn({
      event: 'unmapped_error',
      endpoint,
      status,
      code: shownCode,
      upstreamMessage: message?.slice(0, 200) ?? null,
      paste: unmappedEntry(endpoint, status, shownCode),
    });
  }

  /** The upstream answered 401. With own credentials they are read again; `changed` says whether that helped. */
  credentialRejected(exchange: Exchange, changed: boolean | null): void {
    // A rotation that worked is nobody's alarm.
    if (changed !== true) this.#listener?.({ kind: 'credential_rejected', credentialRef: exchange.credentialRef });
    this.#log.warn({ event: 'credential_rejected', id: exchange.id, credentialRef: exchange.credentialRef, changed });
  }

  /** A request was refused before it became an exchange. */
  malformed(status: number, why: string): void {
    this.#metrics.malformed.inc({ status });
    this.#log.debug({ event: 'malformed', status, why });
  }

  /** A configuration is in force. */
  configLoaded(hash: string, source: string): void {
    this.#metrics.configLastReloadSuccessful.set(1);
    this.#log.info({ event: 'config_loaded', hash, source });
  }

  /** A new configuration was refused; the running one stays. */
  configRejected(faults: readonly string[]): void {
    this.#metrics.configLastReloadSuccessful.set(0);
    this.#log.error({ event: 'config_rejected', faults });
  }

  /** The configuration file is gone and stays away; the running configuration stays. */
  configMissing(file: string): void {
    this.#log.warn({ event: 'config_missing', file });
  }

  /** A state change of the process: listening, draining, stopped. */
  lifecycle(event: string, fields: Record<string, unknown>): void {
    this.#log.info({ event, ...fields });
  }

  /** A bug: something threw that must not. */
  bug(error: unknown, where: string): void {
    this.#log.error({ event: 'bug', where, err: error instanceof Error ? error : new Error(String(error)) });
  }
}
