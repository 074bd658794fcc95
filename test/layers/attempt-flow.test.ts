import { test as property } from '@fast-check/vitest';
import * as fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { RawHeaders } from '../../src/core/raw-headers.ts';
import { AnswerFlow, type FlowEnd } from '../../src/layers/attempt-flow.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { drain } from './attempt-harness.ts';

class Rig {
  readonly clock = new VirtualClock();
  paused = true;
  aborted = 0;
  over = 0;
  readonly flow: AnswerFlow;

  constructor(chunks: readonly string[] = [], ending: FlowEnd | null = null) {
    this.flow = new AnswerFlow({
      clock: this.clock,
      call: { pause: () => void (this.paused = true), resume: () => void (this.paused = false), abort: () => {} },
      abort: () => void (this.aborted += 1),
      idleMs: 30_000,
      chunks: chunks.map((each) => Buffer.from(each)),
      ending,
      onOver: () => void (this.over += 1),
    });
  }

  data(text: string): void {
    this.flow.data(Buffer.from(text));
  }

  end(trailers: RawHeaders = []): void {
    this.flow.end({ kind: 'end', trailers });
  }

  fail(): void {
    this.flow.end({ kind: 'failure', failure: 'truncated' });
  }
}

let rig: Rig;

beforeEach(() => {
  rig = new Rig(['held ']);
});

describe('a body on its way', () => {
  test('delivers nothing before it is started, then what was held, then the rest', async () => {
    rig.data('late ');
    expect(rig.paused).toBe(true);
    const drained = drain(rig.flow);
    expect([drained.text, rig.paused]).toEqual(['held late ', false]);
    rig.data('rest');
    rig.end(['X-Sum', '1']);
    await rig.flow.done;
    expect(drained).toEqual({ text: 'held late rest', ended: 'end X-Sum 1' });
    expect([rig.over, rig.clock.pending]).toEqual([1, 0]);
  });

  test('§10: ends truncated when the upstream does', async () => {
    const drained = drain(rig.flow);
    rig.fail();
    await rig.flow.done;
    expect(drained).toEqual({ text: 'held ', ended: 'truncated' });
  });

  test('pauses and resumes the upstream, and keeps what was on its way in order', () => {
    const drained = drain(rig.flow);
    rig.flow.pause();
    expect(rig.paused).toBe(true);
    rig.data('a');
    rig.data('b');
    rig.end();
    expect(drained).toEqual({ text: 'held ', ended: '' });
    rig.flow.resume();
    expect(drained).toEqual({ text: 'held ab', ended: 'end' });
  });

  test('a sink that pauses in the middle of what was held gets the rest later', () => {
    rig = new Rig(['a', 'b', 'c'], { kind: 'end', trailers: [] });
    const seen: string[] = [];
    rig.flow.start({
      data: (chunk) => {
        seen.push(chunk.toString());
        rig.flow.pause();
      },
      end: () => void seen.push('end'),
      fail: () => void seen.push('fail'),
    });
    expect(seen).toEqual(['a']);
    rig.flow.resume();
    rig.flow.resume();
    expect(seen).toEqual(['a', 'b', 'c']);
    rig.flow.resume();
    expect(seen).toEqual(['a', 'b', 'c', 'end']);
  });

  test('timeout.body_idle cuts a silence, is re-armed by every chunk, and does not run under backpressure', async () => {
    const drained = drain(rig.flow);
    for (let i = 0; i < 10; i += 1) {
      await rig.clock.advance(29_000);
      rig.data('.');
    }
    rig.flow.pause();
    await rig.clock.advance(600_000);
    rig.flow.resume();
    await rig.clock.advance(29_999);
    expect([drained.ended, rig.aborted]).toEqual(['', 0]);
    await rig.clock.advance(1);
    expect([drained.ended, rig.aborted, rig.over, rig.clock.pending]).toEqual(['truncated', 1, 1, 0]);
  });
});

describe('a body that nobody wants', () => {
  test('§3: a short rest is drained, so that the socket can serve again', async () => {
    rig.flow.discard();
    expect(rig.paused).toBe(false);
    rig.data('x'.repeat(64 * 1024));
    rig.end();
    await rig.flow.done;
    expect([rig.aborted, rig.over, rig.clock.pending]).toEqual([0, 1, 0]);
  });

  test('§3: a long one ends the call', async () => {
    rig.flow.discard();
    rig.data('x'.repeat(64 * 1024));
    rig.data('x');
    await rig.flow.done;
    expect([rig.aborted, rig.over, rig.clock.pending]).toEqual([1, 1, 0]);
  });

  test('§3: a slow one ends the call after a second', async () => {
    rig.flow.discard();
    await rig.clock.advance(999);
    expect(rig.aborted).toBe(0);
    await rig.clock.advance(1);
    await rig.flow.done;
    expect([rig.aborted, rig.over]).toEqual([1, 1]);
  });

  test('in the middle the sink hears nothing more', async () => {
    const drained = drain(rig.flow);
    rig.flow.discard();
    rig.data('more');
    rig.end();
    await rig.flow.done;
    expect(drained).toEqual({ text: 'held ', ended: '' });
  });

  test('one that is all here is over at once', async () => {
    rig = new Rig(['a'], { kind: 'end', trailers: [] });
    rig.flow.discard();
    rig.flow.discard();
    await rig.flow.done;
    expect([rig.aborted, rig.over, rig.clock.pending]).toEqual([0, 1, 0]);
  });
});

type Step = 'data' | 'end' | 'fail' | 'start' | 'pause' | 'resume' | 'discard' | 'wait';
const step = fc.constantFrom<Step>(
  'data',
  'data',
  'data',
  'data',
  'end',
  'fail',
  'start',
  'pause',
  'resume',
  'resume',
  'wait',
);
const visited = new Set<string>();

property.prop(
  [
    fc.array(fc.oneof({ weight: 30, arbitrary: step }, { weight: 1, arbitrary: fc.constant<Step>('discard') }), {
      minLength: 1,
      maxLength: 60,
      size: 'max',
    }),
  ],
  { numRuns: 2000 },
)('whatever happens in whatever order: bytes in order, one ending at most, over once, no timer left', async (steps) => {
  rig = new Rig(['0']);
  let sent = '0';
  let next = 1;
  let wireOver = false;
  let text = '';
  const endings: string[] = [];
  for (const each of steps) {
    if (each === 'data' && !wireOver && rig.aborted === 0) {
      rig.data(`,${next}`);
      sent += `,${next}`;
      next += 1;
    } else if ((each === 'end' || each === 'fail') && !wireOver && rig.aborted === 0) {
      wireOver = true;
      if (each === 'end') rig.end();
      else rig.fail();
    } else if (each === 'start') {
      rig.flow.start({
        data: (chunk) => void (text += chunk.toString()),
        end: () => void endings.push('end'),
        fail: () => void endings.push('fail'),
      });
    } else if (each === 'pause') rig.flow.pause();
    else if (each === 'resume') rig.flow.resume();
    else if (each === 'discard') rig.flow.discard();
    else if (each === 'wait') await rig.clock.advance(40_000);
    expect(sent.startsWith(text)).toBe(true);
    expect(rig.over).toBeLessThanOrEqual(1);
  }
  if (endings.length > 0) visited.add(endings[0]!);
  rig.flow.discard();
  await rig.clock.advance(2000);
  await rig.flow.done;
  expect(endings.length).toBeLessThanOrEqual(1);
  if (endings[0] === 'end') expect(text).toBe(sent);
  expect([rig.over, rig.clock.pending]).toEqual([1, 0]);
  if (rig.aborted > 0) visited.add('aborted');
});

test('the property above has seen every ending', () => {
  expect([...visited].sort()).toEqual(['aborted', 'end', 'fail']);
});
