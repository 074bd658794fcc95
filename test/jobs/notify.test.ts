import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { OperatorEvent } from '../../src/core/notify.ts';
import type { NotifyTarget, Settings } from '../../src/core/settings.ts';
import { createNotify } from '../../src/jobs/notify.ts';
import { edgeSettings } from '../edge/harness.ts';
import { recordedEvents } from '../support/recorded-events.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

type Answer = (response: ServerResponse, nth: number) => void;

const ok: Answer = (response) => void response.end('ok');
const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A webhook that answers as told and keeps what was posted. */
async function webhook(answer: Answer) {
  const posted: { path: string; json: { text: string; blocks: { text?: { text: string } }[] } }[] = [];
  let arrived: (() => void) | null = null;
  const server = createServer((request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      posted.push({ path: request.url ?? '', json: JSON.parse(Buffer.concat(chunks).toString()) });
      answer(response, posted.length);
      arrived?.();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    posted,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/services/planted-secret`,
    /** Resolves when so many have been posted. */
    got: async (count: number): Promise<void> => {
      while (posted.length < count) await new Promise<void>((resolve) => (arrived = resolve));
    },
  };
}

function target(url: string, overrides: Partial<NotifyTarget> = {}): NotifyTarget {
  return {
    name: 'notify[0]',
    url,
    proxy: null,
    on: new Set(['dead_letter', 'breaker_open', 'errors', 'credentials'] as const),
    afterMs: 60_000,
    intervalMs: 300_000,
    errorRatio: 0.25,
    ...overrides,
  };
}

function dead(label: string): OperatorEvent {
  return { kind: 'dead_letter', reason: 'permanent', cause: { id: label, label } };
}

function start(...targets: NotifyTarget[]) {
  const clock = new VirtualClock();
  const recorded = recordedEvents();
  let settings: Settings = edgeSettings({ notify: targets });
  const job = createNotify({
    settings: () => settings,
    clock,
    random: () => 0.5,
    events: recorded.events,
    instance: 'pod-1',
  });
  const stop = new AbortController();
  const running = job.run(stop.signal);
  const halt = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  closers.unshift(halt);
  const counted = async (result: string): Promise<number> => {
    const { values } = await recorded.metrics.notifications.get();
    return values.filter(({ labels }) => labels.result === result).reduce((sum, { value }) => sum + value, 0);
  };
  return {
    clock,
    recorded,
    take: job.take,
    halt,
    counted,
    use: (...next: NotifyTarget[]) => (settings = edgeSettings({ notify: next })),
    /** Moves time on, second by second, until so many messages had the given end. */
    until: async (result: string, count: number): Promise<void> => {
      for (let i = 0; i < 5000 && (await counted(result)) < count; i += 1) {
        await clock.advance(i % 10 === 0 ? 1000 : 0);
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(await counted(result)).toBe(count);
    },
  };
}

describe('§9: notifications', () => {
  test('are Slack-shaped and say what to do, with nothing that Slack would read as a command', async () => {
    const hook = await webhook(ok);
    const { take, until } = start(target(hook.url));
    take(dead('POST /contacts 422 <!channel> & co'));
    await until('sent', 1);
    expect(hook.posted[0]?.json.text).toBe('Holdfast pod-1: 1 new dead letter of 1 cause');
    const [what, next] = hook.posted[0]?.json.blocks ?? [];
    expect(what?.text?.text).toBe(
      '*1 new dead letter of 1 cause*\n• 1 × permanent: POST /contacts 422 &lt;!channel&gt; &amp; co',
    );
    expect(next?.text?.text).toContain('redrive or discard');
  });

  test('a flood of 10,000 events is one message, and each event costs next to nothing', async () => {
    const hook = await webhook(ok);
    const { take, until, counted } = start(target(hook.url));
    const from = performance.now();
    for (let i = 0; i < 10_000; i += 1) take(dead(`cause ${i % 3}`));
    expect(performance.now() - from).toBeLessThan(1000);
    await until('sent', 1);
    expect(hook.posted).toHaveLength(1);
    expect(await counted('dropped')).toBe(0);
  });

  test('a webhook that answers 500 is tried three times, then the message is lost and said so', async () => {
    const hook = await webhook((response) => void response.writeHead(500).end());
    const { take, until, recorded } = start(target(hook.url));
    take(dead('a'));
    await until('failed', 1);
    expect(hook.posted).toHaveLength(3);
    expect(recorded.named('notification_lost')).toMatchObject([
      { target: 'notify[0]', result: 'failed', why: 'status 500' },
    ]);
  });

  test('one that recovers gets the message', async () => {
    const hook = await webhook((response, nth) => (nth === 1 ? response.socket?.resetAndDestroy() : ok(response, nth)));
    const { take, until } = start(target(hook.url));
    take(dead('a'));
    await until('sent', 1);
    expect(hook.posted).toHaveLength(2);
  });

  test('one that says no is not asked again', async () => {
    const hook = await webhook((response) => void response.writeHead(404).end('no_service'));
    const { take, until } = start(target(hook.url));
    take(dead('a'));
    await until('failed', 1);
    expect(hook.posted).toHaveLength(1);
  });

  test('one that hangs costs its time limit and a bounded queue; another target is told meanwhile', async () => {
    const hanging = await webhook(() => {});
    const well = await webhook(ok);
    const rules = { intervalMs: 10_000 } as const;
    const { take, clock, counted, recorded } = start(
      target(hanging.url, rules),
      target(well.url, { ...rules, name: 'notify[1]' }),
    );
    for (let i = 0; i < 1200; i += 1) {
      take(dead(`cause ${i}`));
      await clock.advance(1000);
    }
    expect(well.posted.length).toBeGreaterThan(50);
    expect(hanging.posted.length).toBeLessThan(120);
    expect(await counted('dropped')).toBeGreaterThan(0);
    const lost = recorded.named('notification_lost').filter(({ result }) => result === 'failed');
    expect(lost[0]).toMatchObject({ target: 'notify[0]', why: 'no answer within 10 s' });
  });

  test('nobody who listens is no failure of anything', async () => {
    const hook = await webhook(ok);
    for (const close of closers.splice(0)) await close();
    const { take, until, recorded } = start(target(hook.url));
    take(dead('a'));
    await until('failed', 1);
    expect(recorded.named('notification_lost')[0]?.['why']).toBe('error ECONNREFUSED');
  });

  test('stopping gives up what is under way at once', async () => {
    const hook = await webhook(() => {});
    const { take, clock, halt, counted } = start(target(hook.url));
    take(dead('a'));
    await clock.advance(6000);
    await hook.got(1);
    await halt();
    expect(await counted('failed')).toBe(1);
    expect(clock.pending).toBe(0);
  });

  test('a reload changes the targets, and one that stays keeps its counts', async () => {
    const [first, second] = [await webhook(ok), await webhook(ok)];
    const { take, use, until } = start(target(first.url));
    take(dead('a'));
    use(target(first.url), target(second.url, { name: 'notify[1]' }));
    take(dead('a'));
    await until('sent', 2);
    expect(first.posted[0]?.json.text).toContain('2 new dead letters');
    expect(second.posted[0]?.json.text).toContain('1 new dead letter');
  });

  test('the webhook’s URL is in no log line, whatever happens to it', async () => {
    const hook = await webhook((response) => void response.writeHead(403).end());
    const { take, until, recorded } = start(target(hook.url), target('http://no-such-host.invalid/planted-secret'));
    take(dead('a'));
    await until('failed', 2);
    expect(JSON.stringify(recorded.lines)).not.toContain('planted-secret');
  });
});
