import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createExpression } from '../../src/config/conditions.ts';
import type { Settings } from '../../src/core/settings.ts';
import { settingsOf } from '../config/load-harness.ts';
import { row } from '../store/rows.ts';
import { verdict } from '../support/exchanges.ts';
import { jsonOfOutcome, ReconcileRig } from './reconcile-rig.ts';

let settings: Settings;
let rig: ReconcileRig;

beforeAll(async () => {
  settings = await settingsOf(null);
  // Loads JSONata, which takes real time.
  await createExpression('1').evaluate(null);
});

beforeEach(() => {
  rig = new ReconcileRig(settings);
});

const NOTE = { line: 'POST /contacts/7/notes', body: { body: 'Called & < 5', admin_id: 9 } };
const LEAD = { line: 'POST /contacts', body: { role: 'lead', email: 'Ada@example.com', name: 'Ada' } };
const USER = { line: 'POST /contacts', body: { external_id: 'u 7', email: 'ada@example.com' } };

function noteOf(id: string, createdAt: number) {
  return { type: 'note', id, created_at: createdAt, author: { id: '9' }, body: '<p>Called &amp; &lt; 5</p>' };
}

const NONE = { data: [] };

/** Answers looks with nothing until the search ends or the given number of them was made. */
async function findNothing(times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    const before = rig.inner.calls.length;
    for (let step = 0; step < 600 && rig.inner.calls.length === before; step += 1) await rig.clock.advance(100);
    await rig.answer(200, NONE);
  }
}

describe('§7: a create that nothing happened to', () => {
  test('passes, and costs no look', async () => {
    const { outcome } = await rig.send(NOTE);
    await rig.answer(200, noteOf('1', 1));
    expect(await outcome).toMatchObject({ kind: 'answered', from: 'upstream', status: 200 });
    expect(rig.asked).toEqual(['POST /contacts/7/notes']);
    expect(rig.clock.pending).toBe(0);
  });

  test('that was refused, or not sent, is not looked for', async () => {
    const { outcome } = await rig.send(NOTE);
    await rig.answer(422, { errors: [] });
    expect(await outcome).toMatchObject({ status: 422 });
    expect(rig.asked).toHaveLength(1);
  });

  test('without an operation is passed by, whatever becomes of it', async () => {
    const { outcome } = await rig.send({ ...NOTE, operation: null });
    await rig.lose();
    expect(await outcome).toMatchObject({ kind: 'failed', verdict: { effect: 'unknown' } });
    expect(rig.clock.pending).toBe(0);
  });
});

/** Shows one answer to every look, for two minutes. */
async function show(body: unknown): Promise<void> {
  for (let step = 0, answered = 1; step < 1200; step += 1) {
    await rig.clock.advance(100);
    if (rig.inner.calls.length === answered) continue;
    answered = rig.inner.calls.length;
    await rig.answer(200, body);
  }
}

const youngOthers = (since: number) =>
  Array.from({ length: 50 }, (_, i) => ({ ...noteOf(`o${i}`, since - i), body: '<p>Another</p>' }));

describe('§7: a page that ends before the send proves nothing', () => {
  const pages = { type: 'pages', next: '…/notes?page=2', page: 1, per_page: 50, total_pages: 2 };

  test.each([
    ['when everything on it is younger, it stays unknown and nothing is sent again', 1000, 1],
    ['when it reaches behind the send, what is not on it is absent and sent again', -40, 2],
  ])('%s', async (_, laterS, sent) => {
    const { outcome } = await rig.send(NOTE);
    await rig.lose();
    const since = Math.floor(rig.clock.wall() / 1000) + laterS;
    await show({ data: youngOthers(since), pages });
    if (sent === 1) expect(await outcome).toMatchObject({ verdict: { effect: 'unknown' } });
    expect(rig.asked.filter((line) => line.startsWith('POST'))).toHaveLength(sent);
  });
});

describe('§7: an answer that could not be read through proves nothing', () => {
  test('an error that says 200 is a look that failed: nothing is sent again', async () => {
    const { outcome } = await rig.send(NOTE);
    await rig.lose();
    await show({ type: 'error.list', errors: [{ code: 'server_error', message: 'try again' }] });
    expect(await outcome).toMatchObject({ verdict: { effect: 'unknown' } });
    expect(rig.asked.filter((line) => line.startsWith('POST'))).toHaveLength(1);
  });

  /** An expression without an end, as any is over an answer that is too long for its time. */
  const ENDLESS = '($f := function($n) { $f($n + 1) }; $f(0))';

  test.each([
    ['landed', `landed: '${ENDLESS}'`],
    ['more', `landed: data, more: '${ENDLESS}'`],
    ['as', `landed: data, as: '${ENDLESS}'`],
  ])('%s: looked at again, and never sent again', async (_, keys) => {
    const recipe = `{ probe: direct, request: 'GET /contacts/{contact_id}/notes', resend_if_absent: true, ${keys} }`;
    const rule = `version: 1\nendpoints: [{ match: 'POST /contacts/{contact_id}/notes', reconcile: [${recipe}] }]\n`;
    rig = new ReconcileRig(await settingsOf(rule));
    const { outcome } = await rig.send(NOTE);
    const sentAt = rig.nowSeconds;
    await rig.lose();
    await show({ data: [noteOf('1', sentAt)] });
    expect(await outcome).toMatchObject({ kind: 'failed', verdict: { effect: 'unknown' } });
    expect(rig.asked.filter((line) => line.startsWith('POST'))).toHaveLength(1);
    expect(rig.asked.length).toBeGreaterThan(3);
  });
});

describe('§7: direct probe', () => {
  test('looks at 0.5, 2, 5 and 10 s, and answers with what it finds', async () => {
    const { outcome, exchange } = await rig.send(NOTE);
    const sentAt = rig.nowSeconds;
    await rig.lose();
    const at: number[] = [];
    const lostAtMs = rig.clock.now();
    for (let i = 0; i < 4; i += 1) {
      const before = rig.inner.calls.length;
      while (rig.inner.calls.length === before) await rig.clock.advance(50);
      at.push(rig.clock.now() - lostAtMs);
      if (i < 3) await rig.answer(200, NONE);
    }
    expect(at).toEqual([500, 2000, 5000, 10_000]);
    expect(rig.inner.last.exchange).toMatchObject({
      method: 'GET',
      target: '/contacts/7/notes?per_page=50',
      priority: 0,
    });
    expect(rig.inner.last.exchange.headers).toEqual(['Authorization', 'Bearer secret', 'Accept', 'application/json']);
    await rig.answer(200, { data: [noteOf('11', sentAt)] });
    const found = await outcome;
    expect(found).toMatchObject({
      kind: 'answered',
      from: 'reconcile',
      status: 200,
      verdict: { class: 'ok', reason: 'reconciled', effect: 'applied' },
    });
    expect(jsonOfOutcome(found)).toEqual(noteOf('11', sentAt));
    expect(exchange.looks.map(({ n, result, request }) => `${n} ${result} ${request}`)).toEqual([
      '1 absent GET /contacts/7/notes?per_page=50',
      '2 absent GET /contacts/7/notes?per_page=50',
      '3 absent GET /contacts/7/notes?per_page=50',
      '4 landed GET /contacts/7/notes?per_page=50',
    ]);
    expect(exchange.attempts).toHaveLength(1);
    expect(rig.findings).toEqual(['landed after 4']);
    expect(rig.clock.pending).toBe(0);
  });

  test('absent at all looks: sent again, once', async () => {
    const { outcome } = await rig.send(NOTE);
    await rig.lose();
    await findNothing(4);
    expect(rig.asked.filter((each) => each === 'POST /contacts/7/notes')).toHaveLength(2);
    await rig.lose();
    await findNothing(4);
    expect(await outcome).toMatchObject({ kind: 'failed', verdict: { effect: 'unknown' } });
    expect(rig.asked.filter((each) => each === 'POST /contacts/7/notes')).toHaveLength(2);
    expect(rig.findings).toEqual(['absent after 4', 'absent after 8']);
  });

  test('a refusal of the second sending says that neither took effect', async () => {
    const { outcome, exchange } = await rig.send(NOTE);
    await rig.lose();
    await findNothing(4);
    await rig.answer(422, { errors: [] });
    expect(await outcome).toMatchObject({ status: 422, verdict: { effect: 'none' } });
    expect(exchange.attempts.map(({ effect }) => effect)).toEqual(['none', 'none']);
  });

  test('a match must be young, of the author, and of the same text', async () => {
    const { outcome } = await rig.send(NOTE);
    const sentAt = rig.nowSeconds;
    await rig.lose();
    await rig.clock.advance(500);
    const others = [
      noteOf('1', sentAt - 6),
      { ...noteOf('2', sentAt), author: { id: '8' } },
      { ...noteOf('3', sentAt), body: '<p>Called</p>' },
    ];
    await rig.answer(200, { data: others });
    await rig.clock.advance(1500);
    await rig.answer(200, { data: [noteOf('4', sentAt - 4), ...others] });
    expect(jsonOfOutcome(await outcome)).toMatchObject({ id: '4' });
  });

  test('a known difference of the clocks takes the place of five seconds', async () => {
    rig.skew = { seconds: 60, errorSeconds: 0.1 };
    const { outcome } = await rig.send(NOTE);
    const sentAt = rig.nowSeconds;
    await rig.lose();
    await rig.clock.advance(500);
    await rig.answer(200, { data: [noteOf('1', sentAt + 50)] });
    await rig.clock.advance(1500);
    await rig.answer(200, { data: [noteOf('1', sentAt + 50), noteOf('2', sentAt + 60)] });
    expect(jsonOfOutcome(await outcome)).toMatchObject({ id: '2' });
  });

  test('several matches: unknown at once, and nothing is sent', async () => {
    const { outcome } = await rig.send(NOTE);
    const at = rig.nowSeconds;
    await rig.lose();
    await rig.clock.advance(500);
    await rig.answer(200, { data: [noteOf('1', at), noteOf('2', at)] });
    expect(await outcome).toMatchObject({ kind: 'failed', verdict: { effect: 'unknown' } });
    expect(rig.asked).toHaveLength(2);
    expect(rig.findings).toEqual(['undecided after 1']);
  });

  test('a look that fails proves nothing: it is made again, and at last the outcome is unknown', async () => {
    const { outcome } = await rig.send(NOTE);
    await rig.lose();
    for (let looks = 1; looks <= 10; looks += 1) {
      for (let step = 0; step < 600 && rig.inner.calls.length === looks; step += 1) await rig.clock.advance(100);
      await rig.answer(500, {});
    }
    expect(rig.asked.filter((each) => each.startsWith('GET'))).toHaveLength(10);
    expect(await outcome).toMatchObject({ verdict: { effect: 'unknown' } });
    expect(rig.asked.filter((each) => each.startsWith('POST'))).toHaveLength(1);
  });

  test('a 2xx whose body was lost is looked for too', async () => {
    const { outcome } = await rig.send(NOTE);
    const at = rig.nowSeconds;
    rig.inner.last.answer({
      kind: 'failed',
      failure: 'broken',
      sent: 'yes',
      detail: 'cut',
      verdict: verdict({ class: 'transient', reason: 'broken_cut', effect: 'applied' }),
    });
    await rig.clock.advance(500);
    await rig.answer(200, { data: [noteOf('5', at)] });
    expect(await outcome).toMatchObject({ from: 'reconcile', status: 200 });
  });

  test('a 2xx whose body was lost is never sent again, whatever the looks do not show', async () => {
    const { outcome } = await rig.send(NOTE);
    await rig.lose(rig.inner.last, { status: 200, failure: 'truncated', sent: 'yes', effect: 'applied' });
    await findNothing(4);
    expect(await outcome).toMatchObject({ kind: 'failed' });
    expect(rig.asked.filter((each) => each.startsWith('POST'))).toHaveLength(1);
  });

  test('looking goes on when the caller is gone or its time is over; absent at all: nothing was applied, and nothing is sent', async () => {
    for (const reason of ['deadline', 'client_gone'] as const) {
      rig = new ReconcileRig(settings);
      const { outcome, exchange } = await rig.send(NOTE);
      exchange.cancel.abort(reason);
      await rig.lose();
      await findNothing(4);
      expect(await outcome).toMatchObject({ verdict: { effect: 'none' } });
      expect(exchange.attempts).toMatchObject([{ effect: 'none' }]);
      expect(rig.asked.filter((each) => each.startsWith('POST'))).toHaveLength(1);
    }
  });

  test('a shutdown ends the search: the outcome stays unknown', async () => {
    const { outcome } = await rig.send(NOTE);
    await rig.lose();
    await rig.clock.advance(100);
    rig.stopping.abort();
    expect(await outcome).toMatchObject({ verdict: { effect: 'unknown' } });
    expect(rig.clock.pending).toBe(0);
  });

  test('a shutdown during a look breaks it off, and blames nobody', async () => {
    const { outcome } = await rig.send(NOTE);
    await rig.lose();
    await rig.clock.advance(500);
    rig.stopping.abort();
    expect(rig.inner.last.exchange.cancel.signal.reason).toBe('client_gone');
    await rig.answer(500, {});
    expect(await outcome).toMatchObject({ verdict: { effect: 'unknown' } });
  });
});

describe('§7: search probe', () => {
  test('looks at 0.5, 2, 5, 15 and 30 s; absent is unknown for the caller, and not sent again', async () => {
    const { outcome } = await rig.send(LEAD);
    await rig.lose();
    await findNothing(5);
    expect(await outcome).toMatchObject({ kind: 'failed', verdict: { effect: 'unknown' } });
    expect(rig.asked).toEqual(['POST /contacts', ...Array<string>(5).fill('POST /contacts/search')]);
    expect(rig.findings).toEqual(['absent after 5']);
  });

  test('finds a lead by its address, and answers with the whole contact', async () => {
    const { outcome } = await rig.send(LEAD);
    const at = rig.nowSeconds;
    await rig.lose();
    await rig.clock.advance(500);
    const look = rig.inner.last.exchange;
    expect(look.policy.operationClass).toBe('read');
    expect(look.body.kind === 'bytes' && JSON.parse(look.body.bytes.toString())).toEqual({
      query: { field: 'email', operator: '=', value: 'Ada@example.com' },
      pagination: { per_page: 150 },
    });
    const lead = { id: 'c1', role: 'lead', email: 'ada@example.com', name: 'Ada', created_at: at };
    await rig.answer(200, { data: [{ ...lead, id: 'c0', role: 'user' }, lead] });
    await rig.answer(200, { ...lead, custom_attributes: {} });
    expect(rig.asked.at(-1)).toBe('GET /contacts/c1');
    expect(jsonOfOutcome(await outcome)).toEqual({ ...lead, custom_attributes: {} });
  });
});

describe('§7: undetectable', () => {
  test('unknown at once', async () => {
    for (const given of [
      { line: 'POST /phone_call_redirects', body: { phone: '+431' } },
      { line: 'POST /contacts', body: { role: 'lead', name: 'Nobody' } },
      { line: 'POST /messages', body: { body: 'Hi', from: { id: '1' } } },
    ]) {
      rig = new ReconcileRig(settings);
      const { outcome } = await rig.send(given);
      await rig.lose();
      expect(await outcome).toMatchObject({ verdict: { effect: 'unknown' } });
      expect(rig.asked).toHaveLength(1);
      expect(rig.findings).toEqual([]);
    }
  });
});

describe('§7: events', () => {
  test('one look at 3 s by the key that Intercom names, then sent again', async () => {
    const event = { user_id: 'u/1', event_name: 'did it', created_at: 1_700_000_000 };
    const { outcome } = await rig.send({ line: 'POST /events', body: event });
    await rig.lose();
    await rig.clock.advance(2999);
    expect(rig.asked).toHaveLength(1);
    await rig.clock.advance(1);
    expect(rig.asked.at(-1)).toBe('GET /events?type=user&user_id=u%2F1&per_page=50');
    await rig.answer(200, { events: [{ ...event, created_at: 1_700_000_001 }] });
    expect(rig.asked.at(-1)).toBe('POST /events');
    await rig.lose();
    await rig.clock.advance(3000);
    await rig.answer(200, { events: [{ ...event, id: 'e' }] });
    expect(await outcome).toMatchObject({ from: 'reconcile', status: 202, body: { bytes: Buffer.alloc(0) } });
  });
});

describe('§7: one object is the answer of one call', () => {
  test('what the ledger knows as the answer of another operation is no match', async () => {
    const at = rig.nowSeconds;
    await rig.store.insert(row({ id: 'other', scope: 'scope', endpoint: 'POST /contacts/{contact_id}/notes' }));
    await rig.store.change('other', { state: 'succeeded', updatedAtMs: 1, answerId: '1' });
    const { outcome } = await rig.send(NOTE);
    await rig.lose();
    await rig.clock.advance(500);
    await rig.answer(200, { data: [noteOf('1', at)] });
    await rig.clock.advance(1500);
    await rig.answer(200, { data: [noteOf('1', at), noteOf('2', at)] });
    expect(jsonOfOutcome(await outcome)).toMatchObject({ id: '2' });
  });

  test('while an identical call is on the wire, nobody can say whose it is', async () => {
    const at = rig.nowSeconds;
    const lost = await rig.send(NOTE);
    const other = await rig.send(NOTE);
    const [first, second] = rig.inner.calls;
    await rig.lose(first);
    await rig.clock.advance(500);
    await rig.answer(200, { data: [noteOf('1', at)] });
    expect(lost.exchange.looks.map(({ result }) => result)).toEqual(['contested']);
    // The other one's answer says that the note is its own.
    await rig.answer(200, noteOf('1', at), second);
    expect(await other.outcome).toMatchObject({ from: 'upstream' });
    await rig.clock.advance(1500);
    await rig.answer(200, { data: [noteOf('1', at)] });
    expect(lost.exchange.looks.map(({ result }) => result)).toEqual(['contested', 'absent']);
  });

  test('two identical calls that are both lost get one object each', async () => {
    const at = rig.nowSeconds;
    const one = await rig.send(NOTE);
    const two = await rig.send(NOTE);
    const [first, second] = rig.inner.calls;
    await rig.lose(first);
    await rig.lose(second);
    await rig.clock.advance(500);
    const [, , lookOne, lookTwo] = rig.inner.calls;
    const both = { data: [noteOf('1', at), noteOf('2', at)] };
    await rig.answer(200, both, lookOne);
    await rig.answer(200, both, lookTwo);
    const ids = [jsonOfOutcome(await one.outcome), jsonOfOutcome(await two.outcome)].map(
      (each) => (each as { id: string }).id,
    );
    expect(ids.sort()).toEqual(['1', '2']);
  });

  test('two identical calls that are both lost, and one of them landed: one object, one sent again', async () => {
    const at = rig.nowSeconds;
    const one = await rig.send(NOTE);
    const two = await rig.send(NOTE);
    const [first, second] = rig.inner.calls;
    await rig.lose(first);
    await rig.lose(second);
    const done: string[] = [];
    void one.outcome.then(() => done.push('one'));
    void two.outcome.then(() => done.push('two'));
    for (let step = 0; step < 120; step += 1) {
      await rig.clock.advance(100);
      for (const call of rig.inner.calls.slice(2)) {
        if (call.exchange.method === 'GET') await rig.answer(200, { data: [noteOf('1', at)] }, call);
      }
    }
    expect(done).toHaveLength(1);
    expect(rig.asked.filter((each) => each.startsWith('POST'))).toHaveLength(3);
    await rig.answer(200, noteOf('2', at), rig.inner.calls.at(-1));
    await rig.clock.settle();
    expect(done).toHaveLength(2);
  });

  test('a ledger that cannot be asked proves nothing', async () => {
    const { outcome } = await rig.send(NOTE);
    const at = rig.nowSeconds;
    await rig.lose();
    rig.store.fault = 'disk full';
    await rig.clock.advance(500);
    await rig.answer(200, { data: [noteOf('1', at)] });
    rig.store.fault = null;
    await rig.clock.advance(1500);
    await rig.answer(200, { data: [noteOf('1', at)] });
    expect(jsonOfOutcome(await outcome)).toMatchObject({ id: '1' });
  });
});

describe('§7: an operation of an earlier run', () => {
  const doubt = { looks: 0, lookOnly: false, lostAtMs: 0 };

  test('is looked for before anything is sent', async () => {
    const lostAtMs = rig.clock.wall() - 3000;
    const { outcome } = await rig.send({ ...NOTE, operation: { sentAtMs: lostAtMs, doubt: { ...doubt, lostAtMs } } });
    await rig.clock.advance(0);
    expect(rig.asked).toEqual(['GET /contacts/7/notes?per_page=50']);
    await rig.answer(200, { data: [noteOf('1', rig.nowSeconds - 3)] });
    expect(jsonOfOutcome(await outcome)).toMatchObject({ id: '1' });
  });

  test('with what remains of its plan, and is sent once when it is absent', async () => {
    const lostAtMs = rig.clock.wall() - 6000;
    const { outcome } = await rig.send({ ...NOTE, operation: { sentAtMs: lostAtMs, doubt: { ...doubt, lostAtMs } } });
    await findNothing(2);
    expect(rig.asked).toEqual([
      ...Array<string>(2).fill('GET /contacts/7/notes?per_page=50'),
      'POST /contacts/7/notes',
    ]);
    await rig.answer(200, noteOf('1', rig.nowSeconds));
    expect(await outcome).toMatchObject({ from: 'upstream', status: 200 });
  });

  test('with `lookOnly` one look, then 504', async () => {
    const sentAtMs = rig.clock.wall() - 100;
    const operation = { sentAtMs, doubt: { looks: 4, lookOnly: true, lostAtMs: sentAtMs } };
    const { outcome } = await rig.send({ ...NOTE, operation });
    await findNothing(1);
    expect(await outcome).toMatchObject({
      kind: 'refused',
      code: 'holdfast_outcome_unknown',
      verdict: { effect: 'unknown' },
    });
    expect(rig.asked).toHaveLength(1);
  });

  test('what search did not find is sent after 15 minutes, absent twice', async () => {
    for (const [minutes, looks, sent] of [
      [14, 5, 0],
      [16, 0, 0],
      [16, 5, 1],
    ] as const) {
      rig = new ReconcileRig(settings);
      const lostAtMs = rig.clock.wall() - minutes * 60_000;
      await rig.send({ ...LEAD, operation: { sentAtMs: lostAtMs, doubt: { looks, lookOnly: false, lostAtMs } } });
      await findNothing(1);
      expect(rig.asked.filter((each) => each === 'POST /contacts')).toHaveLength(sent);
    }
  });

  test('a guarded one is looked for once and sent again, for the upstream decides', async () => {
    const lostAtMs = rig.clock.wall() - 1000;
    await rig.send({ ...USER, operation: { sentAtMs: lostAtMs, doubt: { ...doubt, lostAtMs } } });
    await rig.clock.advance(0);
    await rig.answer(404, {});
    expect(rig.asked).toEqual(['GET /contacts/find_by_external_id/u%207', 'POST /contacts']);
  });
});
