import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { Exchange } from '../../src/core/exchange.ts';
import { stamp } from '../../src/layers/stamp.ts';
import { answered, exchange, policy } from '../support/exchanges.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

async function sent(overrides: Partial<Exchange>): Promise<{ body: string; headers: readonly string[] }> {
  const given = exchange({ policy: policy({ name: 'POST /events', stamp: 'created_at' }), ...overrides });
  let body = '';
  await stamp({ clock: new VirtualClock() })((inner) => {
    body = inner.body.kind === 'bytes' ? inner.body.bytes.toString('latin1') : inner.body.kind;
    return Promise.resolve(answered(202));
  })(given);
  return { body, headers: given.headers };
}

const bytes = Buffer.from('{"event_name":"did"}');

describe('§7: stamping', () => {
  test('sets the time of the call and the length, and touches nothing else', async () => {
    const headers = ['content-TYPE', 'application/vnd.x+json; charset=utf-8', 'Content-LENGTH', '20', 'X-A', 'b'];
    expect(await sent({ headers, body: { kind: 'bytes', bytes } })).toEqual({
      body: '{"created_at":1767225600,"event_name":"did"}',
      headers: ['content-TYPE', 'application/vnd.x+json; charset=utf-8', 'Content-LENGTH', '44', 'X-A', 'b'],
    });
  });

  test('leaves alone what is not JSON, coded, without a body, or observed, and other endpoints', async () => {
    const json = ['Content-Type', 'application/json'];
    const plain = { kind: 'bytes', bytes } as const;
    const observed = policy({ stamp: 'created_at', mode: 'observe' });
    for (const given of [
      { headers: ['Content-Type', 'text/plain'], body: plain },
      { headers: [], body: plain },
      { headers: [...json, 'Content-Encoding', 'gzip'], body: { kind: 'bytes', bytes: gzipSync(bytes) } as const },
      { headers: json, body: { kind: 'none' } as const },
      { headers: json, body: plain, policy: observed },
      { headers: json, body: plain, policy: policy() },
    ]) {
      const { body, headers } = await sent(given);
      expect(headers).toEqual(given.headers);
      expect(body).toBe(given.body.kind === 'bytes' ? given.body.bytes.toString('latin1') : 'none');
    }
  });
});
