import { fc, test } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import { ResourceWrites, resourceOf } from '../../src/core/resource.ts';
import { record } from '../support/attempt-records.ts';
import { exchange, policy } from '../support/exchanges.ts';

const never = { source: 'false', holds: () => Promise.resolve(false) };

describe('the resource of a write', () => {
  for (const [name, target, path] of [
    ['PUT /contacts/{id}', '/contacts/1', '/contacts/1'],
    ['PUT /contacts/{id}', '/contacts/1?a=/b', '/contacts/1'],
    ['POST /contacts/{id}/notes', '/contacts/%31/notes', '/contacts/%31'],
    [
      'PUT /conversations/attributes/{id}/options/{option_id}',
      '/conversations/attributes/7/options/8',
      '/conversations/attributes/7',
    ],
    ['DELETE /things/{type}/{id}', '/things/a/5?x', '/things/a/5'],
    ['* /v2/{id}', '/v2/9', '/v2/9'],
  ] as const) {
    it(`${name} of ${target} is ${path}`, () => {
      const x = exchange({ policy: policy({ name, operationClass: 'idempotent' }), target, credentialRef: 'c' });
      expect(resourceOf(x)).toBe(`c ${path}`);
    });
  }

  it('is unknown for reads, paths without a name, and upserts keyed in the body', () => {
    const target = '/contacts/1';
    expect(
      resourceOf(exchange({ target, policy: policy({ name: 'GET /contacts/{id}', operationClass: 'read' }) })),
    ).toBeNull();
    expect(resourceOf(exchange({ target, policy: policy({ name: 'other' }) }))).toBeNull();
    expect(resourceOf(exchange({ policy: policy({ name: 'POST /contacts' }) }))).toBeNull();
    expect(
      resourceOf(exchange({ target, policy: policy({ name: 'POST /x/{type}', idempotentIf: never }) })),
    ).toBeNull();
  });
});

const lost = record({ effect: 'unknown' });

test.prop(
  [
    fc.array(
      fc.tuple(
        fc.oneof(
          { weight: 4, arbitrary: fc.constant('arrive' as const) },
          { weight: 3, arbitrary: fc.constant('end' as const) },
          { weight: 2, arbitrary: fc.constant('lose' as const) },
          { weight: 1, arbitrary: fc.constant('give up' as const) },
        ),
        fc.nat(),
      ),
      { minLength: 30, maxLength: 60, size: 'max' },
    ),
  ],
  { numRuns: 300 },
)(
  '§2: nobody starts beside an undecided write or before one that came earlier and waits; all of them get their turn',
  (steps) => {
    const writes = new ResourceWrites<string>();
    const running: Exchange[] = [];
    const waiting: { x: Exchange; leave: () => boolean }[] = [];
    let arrived = 0;

    const end = (which: number): void => {
      const [ended] = running.splice(which % running.length, 1);
      const next = writes.leave(ended as Exchange);
      if (next !== null) {
        expect(next).toBe(waiting[0]?.x.id);
        expect(running).toEqual([]);
        running.push((waiting.shift() as { x: Exchange }).x);
      } else expect(running.length > 0 || waiting.length === 0).toBe(true);
      expect(writes.idle).toBe(running.length === 0);
    };

    for (const [step, which] of steps) {
      visited.add(`${step}: ${running.length === 0 ? 'idle' : waiting.length === 0 ? 'running' : 'waiting'}`);
      if (step === 'arrive') {
        const x = exchange({ id: String(arrived++), receivedAtMs: arrived });
        const doubtful = running.some(({ attempts }) => attempts.length > 0);
        expect(writes.held).toBe(doubtful || waiting.length > 0);
        if (writes.held) {
          const { line } = writes;
          const place = line.push(0, x.receivedAtMs, { exchange: x, letGo: x.id });
          waiting.push({ x, leave: () => line.remove(place) });
        } else {
          writes.enter(x);
          running.push(x);
        }
      } else if (step === 'give up') {
        const [gone] = waiting.length === 0 ? [] : waiting.splice(which % waiting.length, 1);
        if (gone !== undefined) expect(gone.leave()).toBe(true);
      } else if (running.length > 0) {
        if (step === 'end') end(which);
        else running[which % running.length]?.attempts.push(lost);
      }
    }
    while (running.length > 0) end(0);
    expect(waiting).toEqual([]);
    expect(writes.idle).toBe(true);
  },
);

const visited = new Set<string>();

it('the property above met every step in every state', () => {
  const steps = ['arrive', 'end', 'lose', 'give up'];
  const all = steps.flatMap((step) => ['idle', 'running', 'waiting'].map((state) => `${step}: ${state}`));
  expect([...visited].sort()).toEqual(all.sort());
});
