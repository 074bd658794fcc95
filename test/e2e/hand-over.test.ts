import { afterEach, describe, expect, test } from 'vitest';
import type { RuleInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { dataFolder } from '../support/data-folder.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';

let simulator: Simulator;
let holdfast: TestInstance;

afterEach(async () => {
  await holdfast.stop();
  await simulator.close();
});

/** Fast enough for a test, and otherwise as shipped. */
const QUICK = `version: 1
defaults:
  retry: { max_retries: 1, base_delay: 10ms, max_delay: 20ms }
  breaker: { open_for: 500ms, max_open_for: 1s }
`;

async function start(rules: readonly RuleInput[] = [], yaml = QUICK): Promise<void> {
  simulator = await startSimulator({ port: 0, scenario: { rules } });
  holdfast = await startTestInstance(simulator.url, yaml, dataFolder());
}

interface Got {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Record<string, unknown> & { errors?: { code: string }[] };
  readonly text: string;
}

async function ask(method: string, path: string, given: { body?: unknown; fields?: Record<string, string> } = {}) {
  const response = await fetch(holdfast.url + path, {
    method,
    headers: { Authorization: 'Bearer t', 'Content-Type': 'application/json', ...given.fields },
    ...(given.body === undefined ? {} : { body: JSON.stringify(given.body) }),
  });
  const text = await response.text();
  const json = (text === '' ? {} : JSON.parse(text)) as Got['json'];
  return { status: response.status, headers: response.headers, json, text } satisfies Got;
}

const ASYNC = { Prefer: 'respond-async' };
const contact = (n: number) => ({ external_id: `u${n}`, email: `u${n}@example.com` });
const handOver = (n: number, fields: Record<string, string> = {}) =>
  ask('POST', '/contacts', { body: contact(n), fields: { ...ASYNC, ...fields } });
const addressOf = (got: Got): string => got.headers.get('location') ?? '';
const wait = (address: string, seconds = 20) => ask('GET', address, { fields: { Prefer: `wait=${seconds}` } });
const codeOf = ({ json }: Got): string => json.errors?.[0]?.code ?? '';

describe('§8: respond-async', () => {
  test('is stored, answered 202 with its address, and executed once; its answer is the upstream’s, verbatim', async () => {
    await start();
    const accepted = await handOver(1);
    expect(accepted.status).toBe(202);
    expect(accepted.headers.get('preference-applied')).toBe('respond-async');
    expect(accepted.headers.get('retry-after')).toBe('1');
    expect(accepted.headers.get('holdfast')).toContain('from=proxy');
    expect(accepted.json).toMatchObject({ state: 'waiting', done: false, endpoint: 'POST /contacts' });
    const done = await wait(addressOf(accepted));
    expect(done.json).toMatchObject({ state: 'succeeded', done: true, effect: 'applied', status: 200 });
    expect(done.headers.get('cache-control')).toBe('no-store');
    const answer = await ask('GET', `${addressOf(accepted)}/response`);
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ type: 'contact', external_id: 'u1' });
    expect(simulator.effects()).toHaveLength(1);
  });

  test('on a read, and on nothing that is named wait alone, is ignored', async () => {
    await start();
    expect((await ask('GET', '/admins', { fields: ASYNC })).status).toBe(200);
    const live = await ask('POST', '/contacts', { body: contact(1), fields: { Prefer: 'wait=5, unheard-of="x, y"' } });
    expect(live.status).toBe(200);
    expect(live.headers.get('preference-applied')).toBeNull();
  });

  test('the same key again, body and all, is the same operation: 202 while it waits, a replay afterwards', async () => {
    await start([{ match: 'POST /contacts', times: 2, fault: { kind: 'status', status: 503 } }]);
    const [first, again] = [
      await handOver(1, { 'Idempotency-Key': 'k' }),
      await handOver(1, { 'Idempotency-Key': 'k' }),
    ];
    expect([first.status, again.status]).toEqual([202, 202]);
    expect(addressOf(again)).toBe(addressOf(first));
    expect((await wait(addressOf(first), 40)).json).toMatchObject({ state: 'succeeded' });
    const replay = await handOver(1, { 'Idempotency-Key': 'k' });
    expect(replay.status).toBe(200);
    expect(replay.headers.get('idempotent-replayed')).toBe('true');
    expect(simulator.effects()).toHaveLength(1);
  });

  test('what the upstream refuses for good becomes a dead letter, and its address has the upstream’s words', async () => {
    await start();
    const accepted = await ask('POST', '/contacts/nobody/notes', { body: { body: 'x' }, fields: ASYNC });
    const done = await wait(addressOf(accepted));
    expect(done.json).toMatchObject({ state: 'dead', dead_reason: 'permanent', done: true });
    const answer = await ask('GET', `${addressOf(accepted)}/response`);
    expect(answer.status).toBe(404);
    expect(answer.json['type']).toBe('error.list');
    expect(codeOf(answer)).not.toMatch(/^holdfast/);
  });

  test('attempts are counted over all runs', async () => {
    await start([{ match: 'POST /contacts', times: 3, fault: { kind: 'status', status: 503 } }]);
    const accepted = await handOver(1);
    const done = await wait(addressOf(accepted), 40);
    expect(done.json).toMatchObject({ state: 'succeeded', attempts: 4 });
  });
});

describe('§8: respond-async, wait=N', () => {
  const waiting = { Prefer: 'respond-async, wait=2' };

  test('a call that is done in time is answered as any other', async () => {
    await start();
    const got = await ask('POST', '/contacts', { body: contact(1), fields: waiting });
    expect(got.status).toBe(200);
    expect(got.headers.get('location')).toBeNull();
    expect(simulator.effects()).toHaveLength(1);
  });

  test('one that fails for good is answered so, and one that may fare better later is handed over', async () => {
    await start([{ match: 'POST /contacts', times: 2, fault: { kind: 'status', status: 503 } }]);
    const note = await ask('POST', '/contacts/nobody/notes', { body: { body: 'x' }, fields: waiting });
    expect(note.status).toBe(404);
    const got = await ask('POST', '/contacts', { body: contact(1), fields: waiting });
    expect(got.status).toBe(202);
    expect(got.headers.get('preference-applied')).toBe('respond-async, wait=2');
    expect((await wait(addressOf(got), 40)).json).toMatchObject({ state: 'succeeded', attempts: 3 });
  });

  test('an attempt that hangs past N goes on behind the 202, and is the one execution', async () => {
    await start([{ match: 'POST /contacts', times: 1, fault: { kind: 'delay', by: '3s' } }]);
    const got = await ask('POST', '/contacts', { body: contact(1), fields: { Prefer: 'respond-async, wait=1' } });
    expect(got.status).toBe(202);
    expect(got.json).toMatchObject({ state: 'sent' });
    expect((await wait(addressOf(got))).json).toMatchObject({ state: 'succeeded', attempts: 1 });
    expect(simulator.effects()).toHaveLength(1);
  });

  test('an open breaker hands over at once, and costs no attempt', async () => {
    await start([], 'version: 1\n');
    const held = await fetch(`${holdfast.adminUrl}/api/breakers/${encodeURIComponent('POST /contacts')}/open`, {
      method: 'POST',
    });
    expect(held.status).toBe(200);
    const got = await ask('POST', '/contacts', { body: contact(1), fields: { Prefer: 'respond-async, wait=60' } });
    expect([got.status, got.json['attempts'], got.json['state']]).toEqual([202, 0, 'waiting']);
    await fetch(`${holdfast.adminUrl}/api/breakers/${encodeURIComponent('POST /contacts')}/auto`, { method: 'POST' });
    await fetch(`${holdfast.adminUrl}/api/breakers/${encodeURIComponent('POST /contacts')}/close`, { method: 'POST' });
    expect((await wait(addressOf(got), 50)).json).toMatchObject({ state: 'succeeded', attempts: 1 });
  });
});

describe('the address of an operation', () => {
  test('exists for the credential that made the call, and for nobody else', async () => {
    await start();
    const address = addressOf(await handOver(1));
    const fields = { Authorization: 'Bearer other' };
    for (const method of ['GET', 'DELETE']) expect((await ask(method, address, { fields })).status).toBe(404);
    expect((await ask('GET', '/.holdfast/operations/none')).status).toBe(404);
    expect((await ask('POST', address)).status).toBe(405);
    expect((await ask('GET', address)).status).toBe(200);
  });

  test('cancels what has done nothing yet, and nothing else', async () => {
    await start([], 'version: 1\n');
    const breaker = `${holdfast.adminUrl}/api/breakers/${encodeURIComponent('POST /contacts')}`;
    await fetch(`${breaker}/open`, { method: 'POST' });
    const accepted = await handOver(1);
    const early = await ask('GET', `${addressOf(accepted)}/response`);
    expect([early.status, codeOf(early)]).toEqual([409, 'holdfast_in_flight']);
    expect((await ask('DELETE', addressOf(accepted))).json).toMatchObject({ state: 'discarded', done: true });
    await fetch(`${breaker}/close`, { method: 'POST' });
    const second = await handOver(2);
    await wait(addressOf(second));
    expect((await ask('DELETE', addressOf(second))).status).toBe(409);
    expect(simulator.effects()).toHaveLength(1);
  });
});

/** The depth of the queue, by the metric and by the status. */
const told = async (): Promise<[string | undefined, unknown]> => {
  const metrics = await (await fetch(`${holdfast.adminUrl}/metrics`)).text();
  const status = (await (await fetch(`${holdfast.adminUrl}/api/status`)).json()) as { queue: { waiting: number } };
  return [/^holdfast_queue_depth (\d+)$/m.exec(metrics)?.[1], status.queue.waiting];
};
/** As soon as the address shows this. */
const shown = async (address: string, is: (json: Got['json']) => boolean): Promise<Got> => {
  for (;;) {
    const got = await ask('GET', address);
    if (is(got.json)) return got;
  }
};

describe('§8: between two attempts', () => {
  test('a call shows what was tried and until when it waits, is counted, and can be taken back', async () => {
    const fault = { kind: 'status', status: 503, retry_after: '50s' } as const;
    await start([{ match: 'POST /contacts', fault }], 'version: 1\n');
    const address = addressOf(await handOver(1));
    const { json } = await shown(address, ({ attempts }) => attempts === 1);
    expect(json).toMatchObject({ state: 'waiting', effect: 'none', attempts: 1, done: false });
    expect(Date.parse(String(json['due_at'])) - Date.parse(String(json['updated_at']))).toBeGreaterThanOrEqual(50_000);
    expect(await told()).toEqual(['1', 1]);
    const taken = await ask('DELETE', address);
    expect([taken.status, taken.json['state'], taken.json['attempts']]).toEqual([200, 'discarded', 1]);
    expect(await told()).toEqual(['0', 0]);
  });

  test('one that is on the wire is counted, and cannot be taken back; one that may have landed neither', async () => {
    await start(
      [
        { match: 'POST /contacts', fault: { kind: 'hang' } },
        { match: 'PUT /contacts/{id}', fault: { kind: 'status', status: 502, retry_after: '50s' } },
      ],
      'version: 1\n',
    );
    const [created, updated] = [
      addressOf(await handOver(1)),
      addressOf(await ask('PUT', '/contacts/c1', { body: { name: 'x' }, fields: ASYNC })),
    ];
    await shown(created, ({ state }) => state === 'sent');
    const { json } = await shown(updated, ({ attempts }) => attempts === 1);
    expect(json).toMatchObject({ state: 'waiting', effect: 'unknown', attempts: 1 });
    expect(await told()).toEqual(['2', 2]);
    expect((await ask('DELETE', created)).status).toBe(409);
    expect((await ask('DELETE', updated)).status).toBe(409);
  });
});

test('§8: one failing lane starves no other', async () => {
  await start([{ match: 'PUT /contacts/{id}', fault: { kind: 'status', status: 503 } }]);
  const failing = await Promise.all(
    Array.from({ length: 40 }, (_, i) => ask('PUT', `/contacts/c${i}`, { body: { name: 'x' }, fields: ASYNC })),
  );
  expect(failing.every(({ status }) => status === 202)).toBe(true);
  const others = await Promise.all(Array.from({ length: 20 }, (_, i) => handOver(i)));
  for (const other of others) expect((await wait(addressOf(other))).json).toMatchObject({ state: 'succeeded' });
});

test('§8: writes to one resource run in the order in which they were handed over', async () => {
  await start();
  const made = await ask('POST', '/contacts', { body: contact(1) });
  const id = String(made.json['id']);
  const accepted: Got[] = [];
  for (let n = 1; n <= 8; n++) {
    accepted.push(await ask('PUT', `/contacts/${id}`, { body: { name: `name ${n}` }, fields: ASYNC }));
  }
  for (const each of accepted) await wait(addressOf(each));
  expect((await ask('GET', `/contacts/${id}`)).json['name']).toBe('name 8');
});

test('the depth and the age of the queue are told', async () => {
  await start([], 'version: 1\n');
  await fetch(`${holdfast.adminUrl}/api/breakers/${encodeURIComponent('POST /contacts')}/open`, { method: 'POST' });
  await handOver(1);
  await ask('GET', '/admins');
  const metrics = await (await fetch(`${holdfast.adminUrl}/metrics`)).text();
  expect(metrics).toMatch(/^holdfast_queue_depth 1$/m);
  expect(metrics).toMatch(/^holdfast_queue_oldest_age_seconds \d+\.\d/m);
  const status = (await (await fetch(`${holdfast.adminUrl}/api/status`)).json()) as Record<string, unknown>;
  expect(status['queue']).toEqual({ waiting: 1, oldest_seconds: expect.any(Number) as number });
  expect(status['dead_letters']).toEqual({ dead: 0, unknown: 0 });
  expect(simulator.effects()).toHaveLength(0);
});
