import { fc, test } from '@fast-check/vitest';
import { describe, expect } from 'vitest';
import { FaultPlan } from '../../src/simulator/fault-plan.ts';
import { compileRule, type RuleInput } from '../../src/simulator/scenario.ts';
import { call, started } from './support.ts';

function struckAt(
  rules: RuleInput[],
  paths: string[],
  seed = 1,
  sinceMs: (i: number) => number = () => 0,
): (string | null)[] {
  const plan = new FaultPlan(rules.map(compileRule), seed, null);
  return paths.map((path, i) => plan.onRequest('POST', path, sinceMs(i))?.kind ?? null);
}

const five = Array.from({ length: 5 }, () => '/contacts');

async function run(seed: number): Promise<string> {
  const simulator = await started({
    seed,
    scenario: {
      rules: [
        { probability: 0.3, fault: { kind: 'status', status: 503 } },
        { probability: 0.3, fault: { kind: 'status', status: 500, effect: 'applied' } },
      ],
    },
  });
  const seen: string[] = [];
  for (let i = 0; i < 40; i++) {
    const { status, json } = await call(simulator, 'POST /contacts', { role: 'lead', email: `${i}@x.example` });
    seen.push(`${status} ${json.id ?? ''}`);
  }
  return seen.join();
}

describe('which fault strikes', () => {
  test('nth counts the requests that match, times the strikes', () => {
    const mixed = ['/contacts', '/notes', '/contacts', '/notes', '/contacts'];
    const rule: RuleInput = { match: 'POST /contacts', nth: [1, 3], fault: 'hang' };
    expect(struckAt([rule], mixed)).toEqual(['hang', null, null, null, 'hang']);
    expect(struckAt([{ times: 2, fault: 'hang' }], five)).toEqual(['hang', 'hang', null, null, null]);
  });

  test('a window holds from its begin up to its end, and the first rule that strikes wins', () => {
    const rules: RuleInput[] = [
      { during: { from: '1s', to: '3s' }, fault: 'reset' },
      { nth: 3, fault: 'hang' },
    ];
    expect(struckAt(rules, five, 1, (i) => i * 1000)).toEqual([null, 'reset', 'reset', null, null]);
  });

  test('templates match whole segments; * is any method or everything', () => {
    const paths = ['/contacts/1', '/contacts', '/contacts/1/notes'];
    expect(struckAt([{ match: '* /contacts/{id}', fault: 'hang' }], paths)).toEqual(['hang', null, null]);
    expect(struckAt([{ match: '*', fault: 'hang' }], paths)).toEqual(['hang', 'hang', 'hang']);
    expect(struckAt([{ match: 'GET /contacts', fault: 'hang' }], paths)).toEqual([null, null, null]);
  });

  test.prop([fc.integer({ min: 0, max: 2 ** 31 - 1 }), fc.double({ min: 0.05, max: 0.95, noNaN: true })])(
    'the same seed strikes the same requests, about as often as told, whatever other rules there are',
    (seed, probability) => {
      const paths = Array.from({ length: 2000 }, () => '/contacts');
      const rule: RuleInput = { probability, fault: 'hang' };
      const first = struckAt([rule], paths, seed);
      expect(struckAt([rule], paths, seed)).toEqual(first);
      expect(struckAt([rule, { match: 'POST /x', probability: 0.5, fault: 'reset' }], paths, seed)).toEqual(first);
      const share = first.filter((kind) => kind !== null).length / paths.length;
      expect(Math.abs(share - probability)).toBeLessThan(0.07);
    },
  );

  test('a whole run over sockets repeats with its seed and not with another', async () => {
    const first = await run(7);
    expect(await run(7)).toBe(first);
    expect(await run(8)).not.toBe(first);
  });
});
