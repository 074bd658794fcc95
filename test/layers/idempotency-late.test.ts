import { describe, expect, test, vi } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Outcome } from '../../src/core/outcome.ts';
import { policy } from '../support/exchanges.ts';
import {
  answer,
  bodyOf,
  create,
  created,
  deliver,
  idempotencyRig,
  keyed,
  lost,
  type Rig,
  stillUnknown,
} from './idempotency-rig.ts';

/*
 * What comes late: restarts long after the loss, answers long after the key was new, and runs that somebody else has
 * settled meanwhile.
 */

const DAY_MS = 86_400_000;
const GUARD = { source: 'email', holds: () => Promise.resolve(true) };

async function run(rig: Rig, outcome: Outcome, x = create(), complete = true): Promise<Outcome> {
  const ending = rig.service(x);
  await rig.clock.settle();
  answer(rig.wire.last, outcome);
  const ended = await ending;
  deliver(x, complete);
  return ended;
}

/** What recovery does with the rows of a dead process, and the next process. */
async function restarted(rig: Rig, ids = 'next-'): Promise<Rig> {
  const next = idempotencyRig(rig.store, rig.clock, ids);
  next.idempotency.restore(await rig.store.open(0));
  return next;
}

/** An exchange of recovery, as `exchangeOfOperation` makes it. */
function resumed(id: string, sentAtMs: number): Exchange {
  const x = create({ deadlineAtMs: Infinity });
  x.operation = { id, recorded: true, sentAtMs, doubt: { looks: 0, lookOnly: false, lostAtMs: sentAtMs } };
  return x;
}

describe('§6: a hold ends after idempotency.hold, restarts or not', () => {
  test('an equal create, days after one that stayed unknown, is a new intention', async () => {
    const rig = idempotencyRig();
    await run(rig, lost());
    await rig.clock.advance(3 * DAY_MS);
    const next = await restarted(rig);
    const ending = next.service(create({ deadlineAtMs: Infinity }));
    await rig.clock.settle();
    expect(next.wire.last.exchange.operation).toMatchObject({ id: 'next-1', doubt: null });
    answer(next.wire.last, created());
    await ending;
  });

  test('a look of recovery at one of days ago does not hold it anew for the process after', async () => {
    const rig = idempotencyRig();
    await run(rig, lost());
    await rig.clock.advance(3 * DAY_MS);
    const second = await restarted(rig);
    const looked = second.idempotency.resume(resumed('op-1', 1), second.inner);
    await rig.clock.settle();
    second.wire.last.answer(stillUnknown());
    await looked;
    const third = await restarted(rig);
    const ending = third.service(create({ deadlineAtMs: Infinity }));
    await rig.clock.settle();
    expect(third.wire.last.exchange.operation).toMatchObject({ doubt: null });
    answer(third.wire.last, created());
    await ending;
  });

  test('what was on the wire when the process died is held from its restart on, however long it was down', async () => {
    const rig = idempotencyRig();
    void rig.service(create());
    await rig.clock.settle();
    await rig.clock.advance(DAY_MS);
    const next = await restarted(rig);
    void next.service(create({ deadlineAtMs: Infinity }));
    await rig.clock.settle();
    expect(next.wire.last.exchange.operation).toMatchObject({ id: 'op-1', doubt: {} });
  });
});

describe('§6: a key whose doubt outlived the TTL', () => {
  test('and was found landed is kept: the caller that did not get the answer gets it, and nothing runs twice', async () => {
    const rig = idempotencyRig();
    await run(rig, lost(), keyed('k'));
    await rig.clock.advance(DAY_MS + 3_600_000);
    const late = { deadlineAtMs: Infinity };
    await run(rig, created('7', { from: 'reconcile' }), keyed('k', late));
    const calls = rig.wire.calls.length;
    for (const each of [rig, await restarted(rig)]) {
      const again = each.service(keyed('k', late));
      await rig.clock.settle();
      expect(each === rig ? each.wire.calls.length - calls : each.wire.calls.length, 'sent').toBe(0);
      expect(bodyOf(await again)).toContain('"7"');
    }
    await rig.clock.advance(policy().idempotency.holdMs);
    void rig.service(keyed('k', late));
    await rig.clock.settle();
    expect(rig.wire.calls).toHaveLength(calls + 1);
  });
});

describe('a transition that the ledger refuses permits no effect', () => {
  test('a run of recovery whose operation its caller has settled meanwhile sends nothing', async () => {
    for (const idempotencyKey of [null, 'k']) {
      const rig = idempotencyRig();
      void rig.service(create({ idempotencyKey }));
      await rig.clock.settle();
      const next = await restarted(rig);
      // Recovery has read the row; before it runs, the caller comes again and is told that nothing was applied.
      const stale = resumed('op-1', 1);
      const again = next.service(create({ idempotencyKey, rules: { guardedBy: GUARD } }));
      await rig.clock.settle();
      const call = next.wire.last;
      call.exchange.operation = { ...call.exchange.operation!, doubt: null };
      call.answer({ ...stillUnknown(), verdict: { ...stillUnknown().verdict, effect: 'none' } });
      await again;
      expect(rig.store.rows()).toMatchObject([{ state: 'rejected' }]);
      const calls = next.wire.calls.length;
      await next.idempotency.resume(stale, next.inner);
      await rig.clock.settle();
      expect(next.wire.calls, String(idempotencyKey)).toHaveLength(calls);
    }
  });
});

describe('§6: a re-send of what was applied for certain, and whose answer is lost', () => {
  test('knows it, every time: absent would only mean that the look does not show it', async () => {
    for (const idempotencyKey of [null, 'k']) {
      const rig = idempotencyRig();
      const cut: Outcome = { ...lost(), verdict: { ...lost().verdict, effect: 'applied' } };
      await run(rig, cut, create({ idempotencyKey }));
      for (let again = 0; again < 2; again += 1) {
        const ending = rig.service(create({ idempotencyKey }));
        await rig.clock.settle();
        expect(rig.wire.last.exchange.operation).toMatchObject({ doubt: { applied: true } });
        rig.wire.last.answer(stillUnknown());
        await ending;
      }
      expect(rig.store.rows()).toMatchObject([{ state: 'unknown', effect: 'applied' }]);
    }
  });
});

describe('§6: a key that nothing can be said about', () => {
  test('while recovery lets it go is waited for, and not called another request', async () => {
    const rig = idempotencyRig();
    void rig.service(keyed('k'));
    await rig.clock.settle();
    const next = await restarted(rig);
    const recovery = next.idempotency.resume(resumed('op-1', 1), next.inner);
    await rig.clock.settle();
    // The ledger forgets the key while the run that did so is still on its way to say it.
    const gate = Promise.withResolvers<void>();
    rig.store.commitGate = gate.promise;
    const call = next.wire.last;
    call.exchange.operation = { ...call.exchange.operation!, doubt: null };
    call.answer({ ...stillUnknown(), verdict: { ...stillUnknown().verdict, effect: 'none' } });
    await rig.clock.settle();
    const again = next.service(keyed('k'));
    await rig.clock.settle();
    gate.resolve();
    await recovery;
    await rig.clock.settle();
    expect(next.wire.calls).toHaveLength(2);
    answer(next.wire.last, created('9'));
    expect(bodyOf(await again)).toContain('"9"');
  });

  test('for want of room for its body is refused with 503 and Retry-After, and not called another request', async () => {
    const rig = idempotencyRig();
    await run(rig, created('7'), keyed('k'));
    const { body } = keyed('k');
    const lengthBytes = body.kind === 'bytes' ? body.bytes.length : 0;
    const streamed = keyed('k', { body: { kind: 'stream', lengthBytes, open: vi.fn(), opened: false } });
    expect(await rig.service(streamed)).toMatchObject({ code: 'holdfast_overloaded', retryAfterMs: 1000 });
  });
});
