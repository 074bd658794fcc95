import { fc, test as property } from '@fast-check/vitest';
import { expect, test } from 'vitest';
import { type Held, type HeldRun, Holds } from '../../src/core/idempotency-holds.ts';

const HOLD_MS = 600_000;
const calm: HeldRun = { inDoubt: () => false };

test('§6: a hold ends after its time, measured from the end of the last run', () => {
  const holds = new Holds(10);
  const held = holds.begin('op', 'same', calm);
  holds.leave(held, held.turn, 'gone');
  holds.end(held, 'unknown', 1000, 5);
  expect(holds.arrive('same', 1000 + HOLD_MS, HOLD_MS, false)).toEqual({ kind: 'run' });
  expect(holds.size).toBe(0);
});

test('what runs is held however long it takes', () => {
  const holds = new Holds(10);
  const held = holds.begin('op', 'same', calm);
  holds.leave(held, held.turn, 'gone');
  expect(holds.arrive('same', 1e12, HOLD_MS, false)).toEqual({ kind: 'join', held });
});

test('a success is forgotten when its caller has got it', () => {
  const holds = new Holds(10);
  const held = holds.begin('op', 'same', calm);
  holds.end(held, 'succeeded', 0, 5);
  expect(holds.size).toBe(1);
  holds.leave(held, held.turn, 'served');
  expect(holds.size).toBe(0);
});

test('the oldest of those that ended give way to new ones; what runs stays', () => {
  const holds = new Holds(2);
  const running = holds.begin('running', 'r', calm);
  for (const id of ['a', 'b', 'c']) {
    const held = holds.begin(id, id, calm);
    holds.leave(held, held.turn, 'gone');
    holds.end(held, 'unknown', 0, 1);
  }
  expect(['running', 'a', 'b', 'c'].map((id) => holds.find(id)?.id ?? null)).toEqual([running.id, null, 'b', 'c']);
});

test('a caller whose place was taken has no say any more', () => {
  const holds = new Holds(10);
  const held = holds.begin('op', 'same', calm);
  holds.leave(held, 1, 'gone');
  expect(holds.arrive('same', 0, HOLD_MS, false)).toMatchObject({ kind: 'join', held: { turn: 2 } });
  expect(holds.leave(held, 1, 'served')).toBe(false);
  expect(holds.leave(held, 1, 'gone')).toBe(false);
  expect(held.caller).toBe('present');
  expect(holds.leave(held, 2, 'gone')).toBe(true);
  expect(held.caller).toBe('gone');
});

test('an operation of an earlier process is joined once', () => {
  const holds = new Holds(10);
  holds.restore({ id: 'op', identity: 'same', phase: 'unknown', sentAtMs: 7, endedAtMs: 0 });
  expect(holds.arrive('same', 1, HOLD_MS, false)).toMatchObject({ kind: 'join', held: { id: 'op', sentAtMs: 7 } });
  expect(holds.arrive('same', 1, HOLD_MS, false)).toEqual({ kind: 'run' });
});

type Command = 'intend' | 'resend' | 'leave' | 'doubt' | 'succeed' | 'lose' | 'release' | 'serve' | 'lookAgain';

/** A person who wants one thing done: `idle` was told an error, or left. */
interface Person {
  state: 'asking' | 'waiting' | 'idle' | 'done';
  held: Held<Run> | null;
}

class Run implements HeldRun {
  doubt = false;
  inDoubt(): boolean {
    return this.doubt;
  }
}

property.prop(
  [
    fc.array(
      fc.tuple(
        fc.oneof(
          { weight: 2, arbitrary: fc.constant<Command>('intend') },
          { weight: 4, arbitrary: fc.constant<Command>('resend') },
          {
            weight: 10,
            arbitrary: fc.constantFrom<Command>('leave', 'doubt', 'succeed', 'lose', 'release', 'serve', 'lookAgain'),
          },
        ),
        fc.nat(1000),
      ),
      { minLength: 5, maxLength: 80, size: 'max' },
    ),
  ],
  { numRuns: 2000 },
)(
  '§6: whatever callers and upstream do, there are never more operations than intentions, and a hold is never shared',
  (commands) => {
    const holds = new Holds<Run>(1000);
    const persons: Person[] = [];
    const effects = new Set<string>();
    let begun = 0;
    let released = 0;

    const arrive = (person: Person): void => {
      const arrival = holds.arrive('same', 0, HOLD_MS, person.state === 'waiting');
      if (arrival.kind === 'wait') {
        person.state = 'waiting';
        return;
      }
      person.held = arrival.kind === 'join' ? arrival.held : holds.begin(`op-${++begun}`, 'same', new Run());
      person.state = 'asking';
    };

    for (const [command, pick] of commands) {
      const of = (...states: Person['state'][]): Person | undefined => {
        const fit = persons.filter(({ state }) => states.includes(state));
        return fit[pick % fit.length];
      };
      const asking = of('asking');
      const held = asking?.held;
      if (command === 'intend') {
        const person: Person = { state: 'idle', held: null };
        persons.push(person);
        arrive(person);
      } else if (command === 'resend') {
        const person = of('idle', 'waiting');
        if (person !== undefined) arrive(person);
      } else if (asking === undefined || held === null || held === undefined) {
        continue;
      } else if (command === 'leave') {
        holds.leave(held, held.turn, 'gone');
        asking.state = 'idle';
      } else if (command === 'serve') {
        if (held.phase !== 'succeeded') continue;
        holds.leave(held, held.turn, 'served');
        asking.state = 'done';
      } else if (command === 'lookAgain') {
        if (held.phase === 'unknown') holds.rerun(held, new Run());
      } else if (held.run !== null) {
        if (command === 'doubt') held.run.doubt = true;
        else {
          const how = command === 'succeed' ? 'succeeded' : command === 'lose' ? 'unknown' : 'released';
          if (how === 'released' && effects.has(held.id)) continue;
          if (how === 'succeeded') effects.add(held.id);
          if (how === 'released') released += 1;
          holds.end(held, how, 0, 1);
          if (how !== 'succeeded') {
            holds.leave(held, held.turn, 'gone');
            asking.state = 'idle';
          }
        }
      }
      const callers = persons.filter(({ state }) => state === 'asking').map((each) => each.held);
      expect(new Set(callers).size).toBe(callers.length);
    }
    expect(begun - released).toBeLessThanOrEqual(persons.length);
    expect(persons.filter(({ state }) => state === 'done').length).toBeLessThanOrEqual(effects.size);
    visited.add(effects.size > 1 ? 'several effects' : 'few effects');
    if (released > 0) visited.add('released');
    if (persons.some(({ state }) => state === 'waiting')) visited.add('waiting');
    if (persons.some(({ state }) => state === 'done')) visited.add('done');
    if (begun < persons.length) visited.add('joined by another');
  },
);

const visited = new Set<string>();

test('the property has seen every kind of run', () => {
  expect([...visited].sort()).toEqual([
    'done',
    'few effects',
    'joined by another',
    'released',
    'several effects',
    'waiting',
  ]);
});

test('§6: a caller that has left is not served by what is still written to it', () => {
  const holds = new Holds(10);
  const held = holds.begin('op', 'same', calm);
  expect(holds.leave(held, 1, 'left')).toBe(true);
  holds.end(held, 'succeeded', 0, 5);
  expect(holds.leave(held, 1, 'served')).toBe(false);
  expect(holds.arrive('same', 1, HOLD_MS, false)).toEqual({ kind: 'join', held });
});

test('§6: who waits as a second intention takes the place of a first caller that left, and not of one that was told an error', () => {
  const doubtful: HeldRun = { inDoubt: () => true };
  for (const [how, kind] of [
    ['left', 'join'],
    ['gone', 'run'],
  ] as const) {
    const holds = new Holds(10);
    const held = holds.begin('op', 'same', doubtful);
    expect(holds.arrive('same', 0, HOLD_MS, false)).toEqual({ kind: 'wait', run: doubtful });
    holds.leave(held, 1, how);
    holds.end(held, 'unknown', 1, 5);
    expect(holds.arrive('same', 1, HOLD_MS, true)).toMatchObject({ kind });
  }
});
