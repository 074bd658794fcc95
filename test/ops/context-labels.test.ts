import { describe, expect, test } from 'vitest';
import type { OperatorEvent } from '../../src/core/notify.ts';
import { refusedVerdict } from '../../src/core/verdict.ts';
import { record, refused, transient } from '../support/attempt-records.ts';
import { answered, exchange } from '../support/exchanges.ts';
import { recordedEvents } from '../support/recorded-events.ts';

const SENT = { status: 200, code: null, durationMs: 5, complete: true };

describe('calls by Holdfast-Context', () => {
  test('are counted by the keys that are named, and by no other', async () => {
    const { events, metrics } = recordedEvents();
    events.contextLabels.use(['workflow']);
    const of = (context: Record<string, string> | null) =>
      events.exchangeFinished(exchange({ context }), answered(200), SENT);
    of({ workflow: 'enrich', lead: '123' });
    of({ workflow: 'enrich' });
    of({ lead: '9' });
    of(null);
    expect((await metrics.contextRequests.get()).values).toMatchObject([
      { labels: { key: 'workflow', value: 'enrich', verdict: 'ok' }, value: 2 },
    ]);
  });

  test('values beyond fifty are one, and long ones are cut', async () => {
    const { events, metrics } = recordedEvents('silent');
    events.contextLabels.use(['workflow']);
    for (let i = 0; i < 200; i += 1) events.contextLabels.count({ workflow: `${i}`.padStart(100, 'x') }, 'ok');
    events.contextLabels.count({ workflow: `w${'y'.repeat(5000)}` }, 'ok');
    const { values } = await metrics.contextRequests.get();
    expect(values.length).toBeLessThanOrEqual(51);
    for (const { labels } of values) expect(String(labels.value).length).toBeLessThanOrEqual(64);
  });
});

describe('what an operator may have to hear of', () => {
  test('is told to the listener, next to log line and counter', async () => {
    const { events, metrics, named } = recordedEvents();
    const heard: OperatorEvent[] = [];
    events.listen((event) => heard.push(event));
    const x = exchange();
    const gone = refused('deadline', { verdict: refusedVerdict('client_gone', null) });
    events.exchangeFinished(x, answered(200), SENT);
    events.exchangeFinished(x, answered(503, { verdict: transient() }), SENT);
    events.exchangeFinished(x, gone, SENT);
    events.breakerChanged('host', 'closed', 'open');
    events.credentialRejected(x, null);
    events.deadLettered(x, 'exhausted', { id: 'c0ffee', label: 'POST /contacts 503' }, 'op1');
    expect(heard).toEqual([
      { kind: 'ended', endpoint: 'POST /contacts', failed: false },
      { kind: 'ended', endpoint: 'POST /contacts', failed: true },
      { kind: 'ended', endpoint: 'POST /contacts', failed: false },
      { kind: 'breaker', endpoint: 'host', to: 'open' },
      { kind: 'credential_rejected', credentialRef: 'abcd1234' },
      { kind: 'dead_letter', reason: 'exhausted', cause: { id: 'c0ffee', label: 'POST /contacts 503' } },
    ]);
    expect((await metrics.deadLetters.get()).values[0]).toMatchObject({ labels: { cause: 'exhausted' }, value: 1 });
    expect(named('dead_letter')).toMatchObject([{ operation: 'op1', reason: 'exhausted', group: 'c0ffee' }]);
  });

  test('the words of an error stand in no log line', () => {
    const { events, lines } = recordedEvents();
    events.attemptFinished(exchange(), record({ code: 'conflict', excerpt: 'planted words' }));
    expect(lines[0]).toMatchObject({ event: 'attempt', code: 'conflict' });
    expect(JSON.stringify(lines)).not.toContain('planted words');
  });
});
