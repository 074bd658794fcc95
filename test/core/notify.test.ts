import { describe, expect, test } from 'vitest';
import { isFailure, type OperatorEvent, Watch } from '../../src/core/notify.ts';
import type { Notice, NotifyRules } from '../../src/core/notify-notice.ts';
import type { DeadReason } from '../../src/core/operation.ts';
import { refusedVerdict } from '../../src/core/verdict.ts';
import { transient } from '../support/attempt-records.ts';
import { verdict } from '../support/exchanges.ts';

const RULES: NotifyRules = {
  on: new Set(['dead_letter', 'breaker_open', 'errors', 'credentials']),
  afterMs: 60_000,
  intervalMs: 300_000,
  errorRatio: 0.25,
};

function dead(id: string, reason: DeadReason = 'exhausted'): OperatorEvent {
  return { kind: 'dead_letter', reason, cause: { id, label: `POST /contacts 503 ${id}` } };
}

/** A watch on a time line of seconds: asked every second, as the job does. */
function watched(rules: Partial<NotifyRules> = {}) {
  const watch = new Watch({ ...RULES, ...rules });
  let now = 0;
  return {
    note: (event: OperatorEvent, times = 1) => {
      for (let i = 0; i < times; i += 1) watch.note(event, now);
    },
    after: (seconds: number, each: (second: number) => void = () => {}): Notice[] => {
      const told: Notice[] = [];
      for (let i = 0; i < seconds; i += 1) {
        each(i);
        now += 1000;
        told.push(...watch.due(now));
      }
      return told;
    },
  };
}

const to = (kind: 'open' | 'half_open' | 'closed' | 'held_open', endpoint = 'POST /contacts'): OperatorEvent => ({
  kind: 'breaker',
  endpoint,
  to: kind,
});

const call = (failed: boolean): OperatorEvent => ({ kind: 'ended', endpoint: 'POST /contacts', failed });

describe('§9: dead letters are told in groups', () => {
  test('ten thousand of one cause are one message with their count and what to do', () => {
    const { note, after } = watched();
    note(dead('a'), 10_000);
    const told = after(60);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ topic: 'dead_letter', title: '10000 new dead letters of 1 cause' });
    expect(told[0]?.lines).toEqual(['10000 × exhausted: POST /contacts 503 a']);
    expect(told[0]?.next).toContain('holdfast dlq redrive');
  });

  test('a group is told at most once per interval, then with all that came meanwhile', () => {
    const { note, after } = watched();
    const told = after(900, () => note(dead('a'), 2));
    expect(told.map(({ title }) => title)).toEqual([
      '10 new dead letters of 1 cause',
      '600 new dead letters of 1 cause',
      '600 new dead letters of 1 cause',
    ]);
  });

  test('a new cause within the interval has its own message, and causes that are due together share one', () => {
    const { note, after } = watched();
    note(dead('a'));
    expect(after(60)).toHaveLength(1);
    note(dead('b'), 3);
    note(dead('c', 'unknown'));
    note(dead('a'));
    const told = after(60);
    expect(told.map(({ lines }) => lines)).toEqual([
      ['3 × exhausted: POST /contacts 503 b', '1 × unknown: POST /contacts 503 c'],
    ]);
    expect(told[0]?.next).toContain('looks before it sends');
  });

  test('§9: of mixed causes every kind has its advice, the most urgent first, and the count that it is for', () => {
    const { note, after } = watched();
    note(dead('401', 'permanent'), 12);
    note(dead('422', 'permanent'), 3);
    note(dead('504', 'unknown'));
    const lines = after(60)[0]?.next.split('\n') ?? [];
    expect(lines.map((line) => /^\d+ × \w+: /.exec(line)?.[0])).toEqual(['1 × unknown: ', '15 × permanent: ']);
    expect(lines[1]).toContain('the token right');
  });

  test('§9: the advice on all kinds together goes into one message whole', () => {
    const { note, after } = watched();
    for (const reason of ['permanent', 'refused', 'exhausted', 'interrupted', 'unknown'] as const) {
      note(dead(reason, reason), 10_000);
    }
    const next = after(60)[0]?.next ?? '';
    expect(next.split('\n')).toHaveLength(5);
    expect(next.length).toBeLessThan(2900);
  });

  test('a flood of causes is one message in thirty seconds, of ten lines, and bounded in memory', () => {
    const { note, after } = watched();
    let n = 0;
    const told = after(60, () => {
      for (let i = 0; i < 500; i += 1) note(dead(`cause-${(n += 1)}`));
    });
    expect(told).toHaveLength(2);
    expect(told[0]?.lines).toHaveLength(11);
    // The first thousand have a line each; what came then is one group.
    expect(told[1]?.lines[0]).toMatch(/^\d{4,5} × permanent: other causes$/);
  });

  test('a quiet group is forgotten after its interval', () => {
    const { note, after } = watched();
    note(dead('a'));
    after(400);
    note(dead('a'));
    expect(after(10)).toHaveLength(1);
  });

  test('a target that did not ask is not told', () => {
    const { note, after } = watched({ on: new Set(['credentials']) });
    note(dead('a'));
    note({ kind: 'breaker', endpoint: 'host', to: 'open' });
    expect(after(120, () => note({ kind: 'ended', endpoint: 'other', failed: true }))).toEqual([]);
  });
});

describe('§9: breakers', () => {
  test('one that is open longer than `after` is told once, and again when it is closed', () => {
    const { note, after } = watched();
    note(to('open'));
    expect(after(59)).toEqual([]);
    // Probes that fail are no new opening.
    const told = after(241, (second) => {
      note(to(second % 2 === 0 ? 'half_open' : 'open'));
    });
    expect(told.map(({ title }) => title)).toEqual(['The breaker of POST /contacts is open']);
    note(to('half_open'));
    note(to('closed'));
    expect(after(5)[0]).toMatchObject({
      title: 'The breaker of POST /contacts is closed again',
      lines: ['It was open for 5 min.'],
    });
  });

  test('one that closes in time is not told, nor one that a person holds', () => {
    const { note, after } = watched();
    note(to('open'));
    after(30);
    note(to('closed'));
    note(to('open', 'host'));
    note(to('held_open', 'host'));
    expect(after(600)).toEqual([]);
  });

  test('one that flaps is told once per interval; several at once are one message', () => {
    const { note, after } = watched({ afterMs: 1000 });
    const flapping = after(400, (second) => note(to(second % 4 === 3 ? 'closed' : 'open')));
    expect(flapping.filter(({ title }) => title.endsWith('is open'))).toHaveLength(2);
    const many = watched();
    for (let i = 0; i < 30; i += 1) many.note(to('open', `GET /x${i}`));
    const told = many.after(70);
    expect(told.map(({ title }) => title)).toEqual(['30 breakers are open']);
    expect(told[0]?.lines).toHaveLength(11);
  });
});

describe('§9: sustained errors', () => {
  test('are told when they last, once, and when they are over', () => {
    const { note, after } = watched();
    after(120, () => note(call(false), 5));
    const told = after(200, () => {
      note(call(true), 2);
      note(call(false), 3);
    });
    expect(told.map(({ title }) => title)).toEqual(['40 % of calls have failed for 60 s']);
    expect(told[0]?.lines[1]).toMatch(/^POST \/contacts: \d+$/);
    const over = after(30, () => note(call(false), 5));
    expect(over.map(({ title }) => title)).toEqual(['Calls succeed again']);
  });

  test('a burst is no rate, and few calls are none', () => {
    const { note, after } = watched();
    note(call(true), 1000);
    expect(after(300)).toEqual([]);
    const few = watched();
    expect(few.after(130, (second) => (second % 10 === 0 ? few.note(call(true)) : undefined))).toEqual([]);
  });

  test('a share below the ratio is none', () => {
    const { note, after } = watched();
    const told = after(600, () => {
      note(call(true));
      note(call(false), 4);
    });
    expect(told).toEqual([]);
  });

  test('a failure is the upstream’s and not the caller’s', () => {
    expect(isFailure(transient())).toBe(true);
    expect(isFailure(verdict({ class: 'throttled' }))).toBe(true);
    for (const other of ['ok', 'permanent', 'unauthorized'] as const)
      expect(isFailure(verdict({ class: other }))).toBe(false);
    expect(isFailure(refusedVerdict('client_gone', null))).toBe(false);
  });
});

describe('§9: refused credentials', () => {
  test('are told per credential, at most once per interval, and are bounded', () => {
    const { note, after } = watched();
    note({ kind: 'credential_rejected', credentialRef: 'abcd12345678' }, 40);
    const told = after(60, () => note({ kind: 'credential_rejected', credentialRef: 'abcd12345678' }));
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({
      title: 'The upstream refused 1 credential (401)',
      lines: ['abcd12345678: 45 calls'],
    });
    for (let i = 0; i < 5000; i += 1) note({ kind: 'credential_rejected', credentialRef: `ref-${i}` });
    expect(after(60)[0]?.lines).toHaveLength(11);
  });

  test('calls without one are no credential', () => {
    const { note, after } = watched();
    note({ kind: 'credential_rejected', credentialRef: 'none' });
    expect(after(60)[0]).toMatchObject({
      title: 'The upstream refused calls without a credential (401)',
      lines: ['without a credential: 1 call'],
    });
    note({ kind: 'credential_rejected', credentialRef: 'none' });
    note({ kind: 'credential_rejected', credentialRef: 'abcd12345678' });
    expect(after(400)[0]?.title).toBe('The upstream refused 1 credential (401)');
  });
});
