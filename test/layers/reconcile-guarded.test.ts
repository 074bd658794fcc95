import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createExpression } from '../../src/config/conditions.ts';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import { compose, type Service } from '../../src/core/service.ts';
import type { Settings } from '../../src/core/settings.ts';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { reconcile } from '../../src/layers/reconcile.ts';
import { retry } from '../../src/layers/retry.ts';
import { settingsOf } from '../config/load-harness.ts';
import { row } from '../store/rows.ts';
import { exchange as newCall } from '../support/exchanges.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { AttemptHarness } from './attempt-harness.ts';

/** Reconcile and retry around the real attempt: what the upstream answers is written on its wire. */
class GuardedRig extends AttemptHarness {
  readonly store = new MemoryStore();
  readonly #settings: Settings;
  readonly #stack: Service;

  constructor(settings: Settings) {
    super();
    this.#settings = settings;
    const { clock } = this;
    const { events } = this.recorded;
    const waiting = new WaitingRoom(() => 100);
    const stopping = new AbortController().signal;
    const credentials = { reread: () => Promise.resolve(null) };
    this.#stack = compose(
      [
        reconcile({
          clock,
          events,
          waiting,
          stopping,
          store: this.store,
          match: settings.match,
          clockSkew: () => null,
        }),
        retry({ clock, events, waiting, credentials, random: () => 0.5 }),
      ],
      this.service,
    );
  }

  async send(line: string, body: unknown, passedMs = 0): Promise<{ exchange: Exchange; outcome: Promise<Outcome> }> {
    const [method = '', target = ''] = line.split(' ');
    const { policy, params } = this.#settings.match(method, target);
    const exchange = newCall({
      policy,
      params,
      method,
      target,
      body: { kind: 'bytes', bytes: Buffer.from(JSON.stringify(body)) },
      operation: { id: 'op', recorded: true, sentAtMs: this.clock.wall() - passedMs, doubt: null },
      scope: 'scope',
    });
    const outcome = this.#stack(exchange);
    await this.clock.settle();
    return { exchange, outcome };
  }

  get asked(): string[] {
    return this.wire.calls.map(({ request }) => `${request.method} ${request.target}`);
  }

  /** Ends the last call after its bytes went out. */
  async reset(): Promise<void> {
    const { handler } = this.wire.last;
    handler.onStart();
    handler.onFailure({ kind: 'reset', sent: 'maybe', fault: 'upstream', detail: 'reset' });
    await this.clock.settle();
  }

  async reply(status: number, body: unknown): Promise<void> {
    this.answer(status, JSON.stringify(body), ['Content-Type', 'application/json']);
    await this.clock.settle();
  }

  /** Lets time pass until the next call is on the wire, or nothing more comes. */
  async next(): Promise<void> {
    const before = this.wire.calls.length;
    for (let step = 0; step < 500 && this.wire.calls.length === before; step += 1) await this.clock.advance(100);
  }

  get nowSeconds(): number {
    return Math.floor(this.clock.wall() / 1000);
  }
}

let settings: Settings;
let rig: GuardedRig;

beforeAll(async () => {
  settings = await settingsOf(null);
  await createExpression('1').evaluate(null);
});

beforeEach(() => {
  rig = new GuardedRig(settings);
});

const USER = { external_id: 'u7', email: 'ada@example.com' };

function conflict(id: string) {
  const message = `A contact matching those details already exists with id=${id}`;
  return { type: 'error.list', request_id: 'r', errors: [{ code: 'conflict', message }] };
}

describe('§7: guarded', () => {
  test('sent again with the normal backoff; a conflict with what it made itself is its success', async () => {
    const { outcome } = await rig.send('POST /contacts', USER);
    const at = rig.nowSeconds;
    await rig.reset();
    await rig.next();
    expect(rig.asked).toEqual(['POST /contacts', 'POST /contacts']);
    await rig.reply(409, conflict('c1'));
    await rig.next();
    expect(rig.asked.at(-1)).toBe('GET /contacts/c1');
    await rig.reply(200, { type: 'contact', id: 'c1', ...USER, created_at: at });
    expect(await outcome).toMatchObject({
      from: 'reconcile',
      status: 200,
      verdict: { class: 'ok', reason: 'reconciled', effect: 'applied' },
    });
  });

  test('a contact that has existed for a year, attempt 1 reset before execution: the caller gets the 409', async () => {
    const { outcome, exchange } = await rig.send('POST /contacts', USER);
    await rig.reset();
    await rig.next();
    await rig.reply(409, conflict('c1'));
    await rig.next();
    await rig.reply(200, { type: 'contact', id: 'c1', ...USER, created_at: rig.nowSeconds - 31_536_000 });
    expect(await outcome).toMatchObject({
      from: 'upstream',
      status: 409,
      verdict: { class: 'permanent', reason: 'contact_exists', effect: 'none' },
    });
    expect(exchange.attempts.map(({ effect }) => effect)).toEqual(['none', 'none']);
  });

  test('a conflict with what another operation made goes to the caller', async () => {
    await rig.store.insert(row({ id: 'other', scope: 'scope', endpoint: 'POST /contacts' }));
    await rig.store.change('other', { state: 'succeeded', updatedAtMs: 1, answerId: 'c1' });
    const { outcome } = await rig.send('POST /contacts', USER);
    await rig.reset();
    await rig.next();
    await rig.reply(409, conflict('c1'));
    await rig.next();
    await rig.reply(200, { type: 'contact', id: 'c1', ...USER, created_at: rig.nowSeconds });
    expect(await outcome).toMatchObject({ status: 409, verdict: { effect: 'none' } });
  });

  test('a 409 on a first attempt is the upstream’s answer', async () => {
    const { outcome } = await rig.send('POST /contacts', USER);
    await rig.reply(409, conflict('c1'));
    expect(await outcome).toMatchObject({ from: 'upstream', status: 409, verdict: { effect: 'none' } });
    expect(rig.asked).toHaveLength(1);
  });

  test('whose conflict cannot be looked into is unknown', async () => {
    const { outcome } = await rig.send('POST /contacts', USER);
    await rig.reset();
    await rig.next();
    await rig.reply(409, conflict('c1'));
    for (let i = 0; i < 4; i += 1) {
      await rig.next();
      await rig.reply(500, {});
    }
    expect(await outcome).toMatchObject({ verdict: { effect: 'unknown' } });
    expect(rig.asked).toEqual([
      ...Array<string>(2).fill('POST /contacts'),
      ...Array<string>(4).fill('GET /contacts/c1'),
    ]);
  });

  test('a 2xx whose body was lost is repeated too, and its conflict is its success', async () => {
    const { outcome } = await rig.send('POST /contacts', USER);
    const at = rig.nowSeconds;
    rig.answer(200, '{"type":"contact","id":"c', ['Content-Type', 'application/json']);
    await rig.next();
    await rig.reply(409, conflict('c1'));
    await rig.next();
    await rig.reply(200, { type: 'contact', id: 'c1', ...USER, created_at: at });
    expect(await outcome).toMatchObject({ from: 'reconcile', status: 200, verdict: { effect: 'applied' } });
  });

  test('a rule that calls the conflict a success is confirmed as well: an older one is an error', async () => {
    for (const [age, status, from] of [
      [0, 200, 'reconcile'],
      [3600, 409, 'upstream'],
    ] as const) {
      rig = new GuardedRig(settings);
      const redirect = { from_url: 'https://a.example/x', locale: 'en', target_type: 'article', target_id: '1' };
      const { outcome } = await rig.send('POST /help_center/help_centers/7/redirects', redirect);
      const at = rig.nowSeconds - age;
      await rig.reset();
      await rig.next();
      await rig.reply(409, {
        errors: [{ code: 'resource_conflict', message: 'A redirect with that URL already exists' }],
      });
      await rig.next();
      await rig.reply(200, { data: [{ id: 'r1', ...redirect, created_at: at }] });
      expect(await outcome).toMatchObject({ status, from });
    }
  });

  test('is not sent again beyond `guarded_for`', async () => {
    const message = { conversation_id: 'c', message: { timestamp: 't', body: 'Hi' } };
    for (const [passedMs, calls] of [
      [0, 2],
      [5 * 60_000, 1],
    ] as const) {
      rig = new GuardedRig(settings);
      const { outcome } = await rig.send('POST /fin/reply', message, passedMs);
      await rig.reset();
      await rig.next();
      expect(rig.asked).toHaveLength(calls);
      if (calls === 2) await rig.reply(200, { status: 'thinking' });
      expect(await outcome).toMatchObject({ verdict: { effect: calls === 2 ? 'applied' : 'unknown' } });
    }
  });

  test('a lead without an external id is not guarded: it is looked for, and not sent again', async () => {
    await rig.send('POST /contacts', { role: 'lead', email: 'ada@example.com' });
    await rig.reset();
    await rig.next();
    expect(rig.asked).toEqual(['POST /contacts', 'POST /contacts/search']);
  });
});
