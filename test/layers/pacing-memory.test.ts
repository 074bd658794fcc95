import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { WaitingRoom } from '../../src/core/waiting-room.ts';
import { createPacing } from '../../src/layers/pacing.ts';
import { exchange, policy } from '../support/exchanges.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

it('§4: 10,000 calls wait for less than 2 KiB each, and leave nothing behind when they are cancelled', async () => {
  const clock = new VirtualClock();
  const pacing = createPacing({
    clock,
    random: () => 0.5,
    events: { waitedForSlot: () => {}, paused: () => {}, wouldHave: () => {} },
    waiting: new WaitingRoom(() => 10_000),
    keep: () => {},
  });
  const unlearned = policy({ pacing: { enabled: true, maxWaitMs: 1e9, reserve: 0 } });
  // Ten go and find out about the quota; nobody answers them.
  const service = pacing.layer(() => new Promise(() => {}));
  for (let i = 0; i < 10; i++) void service(exchange({ policy: unlearned }));
  const exchanges = Array.from({ length: 10_000 }, (_, i) => {
    const x = exchange({ policy: unlearned, receivedAtMs: i, deadlineAtMs: 1e9, priority: i % 8 });
    // As the deadline layer does: the signal's own tables are not the line's.
    x.cancel.signal.addEventListener('abort', () => {});
    return x;
  });
  collect();
  const before = process.memoryUsage().heapUsed;
  const outcomes = exchanges.map((x) => service(x));
  collect();
  expect((process.memoryUsage().heapUsed - before) / exchanges.length).toBeLessThan(2048);
  expect(pacing.quotas()[0]?.waiting).toBe(10_000);
  for (const x of exchanges) x.cancel.abort('client_gone');
  await Promise.all(outcomes);
  expect(pacing.quotas()[0]?.waiting).toBe(0);
});
