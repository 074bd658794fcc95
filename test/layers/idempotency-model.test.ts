import { fc, test as property } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Operation } from '../../src/core/operation.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import { refused } from '../support/attempt-records.ts';
import type { HeldCall } from '../support/exchanges.ts';
import {
  answer,
  create,
  created,
  deliver,
  idempotencyRig,
  lost,
  type Rig,
  rejected,
  stillUnknown,
} from './idempotency-rig.ts';

/*
 * A model of callers, upstream and crashes around the layer, all with one identical request. The upstream applies a
 * request or not, and answers or not; `reconcile` is an oracle that finds what landed, or fails to look. Persons send
 * again until they have a success, and recovery runs what it has read long before. Whatever the order: never more
 * effects than intentions, and nobody is told "applied" of something that was not, nor two persons of the same effect.
 */

type Command =
  | 'intend'
  | 'resend'
  | 'apply and answer'
  | 'apply and lose'
  | 'lose'
  | 'reject'
  | 'refuse'
  | 'client leaves'
  | 'client closes its side'
  | 'next answer is cut'
  | 'time passes'
  | 'recovery reads'
  | 'recovery runs'
  | 'crash';

interface Person {
  readonly key: string | null;
  exchange: Exchange | null;
  done: boolean;
}

const visited = new Set<string>();

class World {
  rig: Rig = idempotencyRig();
  readonly persons: Person[] = [];
  /** How often each operation took effect. */
  readonly effects = new Map<string, number>();
  #epoch = 0;
  #cutNext = false;
  /** Rows that recovery has read; what it does with them comes later, whatever became of them. */
  #read: Operation[] = [];
  #answered = new Set<HeldCall>();

  readonly #keyed: boolean;

  constructor(keyed: boolean) {
    this.#keyed = keyed;
  }

  async run(command: Command, pick: number): Promise<void> {
    const { rig } = this;
    const idle = this.persons.filter(({ exchange, done }) => exchange === null && !done);
    const asking = this.persons.filter(({ exchange }) => exchange !== null);
    const onWire = rig.wire.calls.filter((call) => !this.#answered.has(call));
    const call = onWire[pick % onWire.length];
    if (command === 'intend') {
      const person = { key: this.#keyed ? `k${this.persons.length}` : null, exchange: null, done: false };
      this.persons.push(person);
      this.#ask(person);
    } else if (command === 'resend' && idle.length > 0) {
      this.#ask(idle[pick % idle.length] as Person);
    } else if (command === 'client leaves' && asking.length > 0) {
      const { exchange } = asking[pick % asking.length] as Person;
      exchange?.cancel.abort('client_gone');
      await rig.clock.advance(1);
    } else if (command === 'client closes its side' && asking.length > 0) {
      // It gave up, and nothing but the end of its input says so: its answer will go nowhere.
      const person = asking[pick % asking.length] as Person;
      const exchange = person.exchange as Exchange;
      person.exchange = null;
      exchange.inputEnded = true;
      exchange.onInputEnded?.();
      visited.add('closed its side');
    } else if (command === 'next answer is cut') {
      this.#cutNext = true;
    } else if (command === 'time passes') {
      await rig.clock.advance(pick * 200);
    } else if (command === 'recovery reads') {
      this.#read = rig.store.rows().filter(({ state }) => state === 'unknown');
    } else if (command === 'recovery runs') {
      for (const row of this.#read.splice(0)) this.#recover(row);
    } else if (command === 'crash') {
      await this.#crash(pick);
    } else if (call !== undefined) {
      this.#answered.add(call);
      answer(call, this.#upstream(command, call));
    }
    await rig.clock.settle();
    this.#check();
  }

  /** What the upstream does with a request, or `reconcile` with an operation in doubt. */
  #upstream(command: Command, { exchange }: HeldCall): Outcome {
    const operation = exchange.operation as NonNullable<Exchange['operation']>;
    const { doubt } = operation;
    if (doubt !== null) {
      if (command === 'refuse') return refused('breaker');
      if (command === 'lose') return stillUnknown();
      if (command === 'reject' && (doubt.lookOnly || this.#effectsOf(operation.id) > 0)) return stillUnknown();
      if (this.#effectsOf(operation.id) > 0) {
        visited.add('found');
        return created(operation.id, { from: 'reconcile' });
      }
      if (doubt.lookOnly) return stillUnknown();
      if (command === 'reject') {
        // Absent, sent again, refused: nothing was applied.
        exchange.operation = { ...operation, doubt: null };
        visited.add('proven absent');
        return rejected(422);
      }
      visited.add('sent again');
    }
    if (command === 'reject') return rejected(422);
    if (command === 'refuse') return refused('breaker');
    if (command !== 'lose') this.effects.set(operation.id, this.#effectsOf(operation.id) + 1);
    return command === 'apply and answer' ? created(operation.id) : lost();
  }

  #effectsOf(id: string): number {
    return this.effects.get(id) ?? 0;
  }

  #ask(person: Person): void {
    const exchange = create({ idempotencyKey: person.key, deadlineAtMs: this.rig.clock.now() + 120_000 });
    person.exchange = exchange;
    const epoch = this.#epoch;
    void this.rig.service(exchange).then((outcome) => this.#told(person, exchange, outcome, epoch));
  }

  /** Its looks; where they may be followed by a sending, the wire has that as well. */
  #recover(row: Operation): void {
    const exchange = create({ deadlineAtMs: this.rig.clock.now() + 120_000 });
    const { id, sentAtMs, updatedAtMs, looks } = row;
    exchange.operation = { id, recorded: true, sentAtMs, doubt: { looks, lookOnly: false, lostAtMs: updatedAtMs } };
    if (this.rig.idempotency.resume(exchange, this.rig.inner) !== null) visited.add('recovery');
  }

  #told(person: Person, exchange: Exchange, outcome: Outcome, epoch: number): void {
    if (epoch !== this.#epoch) return;
    if (person.exchange !== exchange) return deliver(exchange, false);
    person.exchange = null;
    const success = outcome.kind === 'answered' && outcome.verdict.class === 'ok';
    const gone = exchange.cancel.signal.aborted || this.#cutNext;
    this.#cutNext = false;
    if (success) {
      const id = exchange.operation?.id ?? '';
      visited.add(outcome.from);
      expect(this.#effectsOf(id), `"applied" of ${id} is true`).toBe(1);
      person.done = !gone;
    }
    deliver(exchange, !gone);
  }

  /** What was on the wire may have been applied. The memory is gone, the store stays. */
  async #crash(pick: number): Promise<void> {
    visited.add('crash');
    for (const [i, call] of this.rig.wire.calls.entries()) {
      const { operation } = call.exchange;
      if (this.#answered.has(call) || operation === null) continue;
      const mayHave = operation.doubt === null || (!operation.doubt.lookOnly && this.#effectsOf(operation.id) === 0);
      if (mayHave && (pick >> i) % 2 === 0) this.effects.set(operation.id, this.#effectsOf(operation.id) + 1);
    }
    for (const person of this.persons) person.exchange = null;
    this.#epoch += 1;
    this.#read = [];
    const next = idempotencyRig(this.rig.store, this.rig.clock, `p${this.#epoch}-`);
    // What `jobs/recovery` does with the rows of the dead process.
    const open = await this.rig.store.open(0);
    for (const { id, state, keyHash } of open) {
      if (state === 'sent') {
        await this.rig.store.change(id, { state: 'unknown', updatedAtMs: this.rig.clock.wall(), expiresAtMs: null });
      } else if (state === 'reserved' && keyHash !== null) {
        await this.rig.store.remove(id);
      }
    }
    next.idempotency.restore(open);
    this.rig = next;
  }

  #check(): void {
    for (const [id, count] of this.effects) expect(count, `effects of ${id}`).toBeLessThanOrEqual(1);
    const total = [...this.effects.values()].reduce((sum, count) => sum + count, 0);
    const done = this.persons.filter((person) => person.done).length;
    expect(total, 'effects').toBeLessThanOrEqual(this.persons.length);
    expect(done, 'told "done"').toBeLessThanOrEqual(total);
    if (total > 1) visited.add('several effects');
  }
}

const command = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Command>('intend') },
  { weight: 8, arbitrary: fc.constant<Command>('resend') },
  {
    weight: 14,
    arbitrary: fc.constantFrom<Command>(
      'apply and answer',
      'apply and lose',
      'lose',
      'lose',
      'reject',
      'refuse',
      'client leaves',
      'client closes its side',
      'next answer is cut',
      'time passes',
      'recovery reads',
      'recovery runs',
    ),
  },
  { weight: 1, arbitrary: fc.constant<Command>('crash') },
);

property.prop(
  [fc.boolean(), fc.array(fc.tuple(command, fc.nat(1000)), { minLength: 10, maxLength: 50, size: 'max' })],
  { numRuns: 300 },
)(
  '§6: at most one effect per intention, and every "applied" is true, across crashes',
  async (keyed, commands) => {
    const world = new World(keyed);
    for (const [each, pick] of commands) await world.run(each, pick);
  },
  60_000,
);

test('the property has seen every way to an answer', () => {
  expect([...visited].sort()).toEqual([
    'closed its side',
    'crash',
    'found',
    'proven absent',
    'reconcile',
    'recovery',
    'replay',
    'sent again',
    'several effects',
    'upstream',
  ]);
});
