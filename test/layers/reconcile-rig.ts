import { type AttemptRecord, type Exchange, newExchange, type OperationRun } from '../../src/core/exchange.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import type { Settings } from '../../src/core/settings.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { reconcile } from '../../src/layers/reconcile.ts';
import { record } from '../support/attempt-records.ts';
import { answered, HandDriven, type HeldCall, verdict } from '../support/exchanges.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** What a create may start with. */
export interface Given {
  readonly line: string;
  readonly body: unknown;
  readonly operation?: Partial<OperationRun> | null;
  readonly scope?: string;
}

let calls = 0;

/** The reconcile layer over the shipped map, with everything inside it in the test's hand. */
export class ReconcileRig {
  readonly clock = new VirtualClock();
  readonly inner = new HandDriven();
  readonly store = new MemoryStore();
  readonly recorded = recordedEvents();
  readonly stopping = new AbortController();
  readonly waiting = new WaitingRoom(() => 100);
  skew: { seconds: number; errorSeconds: number } | null = null;
  readonly #settings: Settings;
  readonly #service;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#service = reconcile({
      clock: this.clock,
      events: this.recorded.events,
      store: this.store,
      waiting: this.waiting,
      match: settings.match,
      stopping: this.stopping.signal,
      clockSkew: () => this.skew,
    })(this.inner.service);
  }

  /** Sends a create inward; `exchange.operation` is as the ledger would have set it directly before its dispatch. */
  async send({
    line,
    body,
    operation,
    scope = 'scope',
  }: Given): Promise<{ exchange: Exchange; outcome: Promise<Outcome> }> {
    const [method = '', target = ''] = line.split(' ');
    const { policy, params } = this.#settings.match(method, target);
    const bytes = Buffer.from(JSON.stringify(body));
    const exchange = newExchange({
      id: `call-${(calls += 1)}`,
      policy,
      params,
      method,
      target,
      headers: ['Authorization', 'Bearer secret', 'Accept-Encoding', 'gzip', 'Content-Length', String(bytes.length)],
      body: { kind: 'bytes', bytes },
      receivedAtMs: this.clock.now(),
      deadlineAtMs: this.clock.now() + policy.timeout.totalMs,
      priority: 3,
      credentialRef: 'ref',
      scope,
      idempotencyKey: null,
      context: null,
      onInformational: null,
    });
    if (operation !== null) {
      exchange.operation = { id: exchange.id, recorded: true, sentAtMs: this.clock.wall(), doubt: null, ...operation };
    }
    exchange.operationClass = policy.operationClass;
    const outcome = this.#service(exchange);
    await this.clock.settle();
    return { exchange, outcome };
  }

  /** Ends the create's attempt without an answer. */
  async lose(call: HeldCall = this.inner.last, overrides: Partial<AttemptRecord> = {}): Promise<void> {
    attempted(call, { failure: 'reset', sent: 'maybe', effect: 'unknown', reason: 'reset', ...overrides });
    call.answer({
      kind: 'failed',
      failure: 'reset',
      sent: 'maybe',
      detail: 'lost',
      verdict: verdict({ class: 'transient', reason: 'reset', effect: 'unknown' }),
    });
    await this.clock.settle();
  }

  /** Answers the last call inward, a look or a create. */
  async answer(status: number, body: unknown, call: HeldCall = this.inner.last): Promise<void> {
    const isRead = call.exchange.policy.operationClass === 'read';
    const ok = status < 400;
    const effect = ok && !isRead ? 'applied' : 'none';
    attempted(call, {
      status,
      failure: null,
      sent: 'yes',
      effect,
      verdict: ok ? 'ok' : 'permanent',
      reason: `s${status}`,
    });
    call.answer(
      answered(status, {
        body: { kind: 'bytes', bytes: Buffer.from(JSON.stringify(body)) },
        verdict: verdict({ class: ok ? 'ok' : 'permanent', reason: ok ? 'ok' : `s${status}`, effect }),
      }),
    );
    await this.clock.settle();
  }

  /** What was asked, in order: `POST /contacts/7/notes`. */
  get asked(): string[] {
    return this.inner.calls.map(({ exchange }) => `${exchange.method} ${exchange.target}`);
  }

  /** Epoch seconds of the wall clock. */
  get nowSeconds(): number {
    return Math.floor(this.clock.wall() / 1000);
  }

  /** `landed after 2`: what the events say. */
  get findings(): string[] {
    return this.recorded.named('reconciled').map((line) => `${String(line['result'])} after ${String(line['looks'])}`);
  }
}

function attempted({ exchange }: HeldCall, overrides: Partial<AttemptRecord>): void {
  exchange.attempts.push(record({ n: exchange.attempts.length + 1, ...overrides }));
}

/** The JSON of an answered outcome. */
export function jsonOfOutcome(outcome: Outcome): unknown {
  if (outcome.kind !== 'answered' || outcome.body.kind !== 'bytes') throw new Error(`no answer: ${outcome.kind}`);
  return JSON.parse(outcome.body.bytes.toString());
}
