import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { compileScenario, readScenario, ScenarioError } from '../../src/simulator/scenario.ts';
import { call, started } from './support.ts';

function faultsOf(source: string): readonly string[] {
  try {
    readScenario(source, 's.yaml');
  } catch (fault) {
    if (fault instanceof ScenarioError) return fault.faults;
    throw fault;
  }
  return [];
}

describe('scenarios', () => {
  test('every fault of a file is said at once, with its place', () => {
    const source = `quota: { limit: 0 }
serach_lag: 2m
rules:
  - match: /contacts
    fault: hang
  - probability: 2
    fault: { kind: reset, effect: maybe }
  - fault: explode
  - match: GET /me
    fault: refuse
  - during: { from: 5s, to: 1s }
    fault: hang
  - fault: { kind: delay, by: 300 }
`;
    const faults = faultsOf(source);
    const expectations = [
      ['s.yaml:1:17', 'quota.limit'],
      ['s.yaml:2:1', 'serach_lag'],
      ['s.yaml:4:12', 'rules.0.match: must be "*", or a method'],
      ['s.yaml:6:18', 'rules.1.probability'],
      ['s.yaml:7:35', 'rules.1.fault.effect'],
      ['s.yaml:8:12', 'rules.2.fault'],
      ['s.yaml:9:12', 'refuse strikes before a request is read and takes no match'],
      ['s.yaml:11:13', 'from must be before to'],
      ['s.yaml:13:31', 'rules.5.fault.by'],
    ] as const;
    for (const [place, message] of expectations) {
      expect(
        faults.some((line) => line.startsWith(`${place}: `) && line.includes(message)),
        `${place} ${message} in\n${faults.join('\n')}`,
      ).toBe(true);
    }
  });

  test('broken YAML is said with its place', () => {
    expect(faultsOf('rules: [')[0]).toMatch(/^s\.yaml:1:\d+: /);
  });

  test('an empty scenario is a well-behaved Intercom', () => {
    expect(faultsOf('')).toEqual([]);
    expect(compileScenario({})).toMatchObject({
      quota: { limit: 1667, window: 10_000, foreign: 0 },
      rules: [],
      search_lag: 0,
    });
  });

  test('durations are strings with a unit', () => {
    expect(compileScenario({ search_lag: '1.5m' }).search_lag).toBe(90_000);
    expect(compileScenario({ clock: { offset: '-90s' } }).clock.offset).toBe(-90_000);
    expect(() => compileScenario({ search_lag: '5 s' })).toThrow('search_lag: not a duration: "5 s"');
    const rules = [{ match: '*', fault: { kind: 'status', status: 503, retry_after: 20 } }];
    expect(() => compileScenario({ rules })).toThrow(
      'rules.0.fault.retry_after: not a duration: 20; write a number and ms, s, m or h, such as "20s"',
    );
    expect(() => compileScenario({ outages: [{ to: '5s' }] })).toThrow(
      'outages.0.from: Invalid input: expected string',
    );
  });

  const folder = new URL('../../config/scenarios/', import.meta.url);
  test.each(readdirSync(folder))('%s runs as shipped', async (file) => {
    const scenario = readScenario(readFileSync(new URL(file, folder), 'utf8'), file);
    expect(scenario.description).toBeTruthy();
    const simulator = await started({ scenario: { ...scenario, outages: [], rules: [] } });
    simulator.setScenario(scenario);
    expect((await call(simulator, 'GET /__simulator/stats')).status).toBe(200);
  });
});
