import { fc, test } from '@fast-check/vitest';
import { expect, it } from 'vitest';
import { importRoute } from '../../src/edge/dead-letter-import.ts';
import { shownOperation } from '../../src/edge/dead-letter-view.ts';
import { row } from '../store/rows.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const line = (headers: readonly string[], body = Buffer.from('{"n": 1}')) =>
  JSON.parse(
    JSON.stringify(shownOperation(row({ id: 'a', state: 'dead', deadReason: 'permanent', headers, body }))),
  ) as { id: string; request: { body: Record<string, unknown> } };

async function importOf(letter: unknown) {
  const store = new MemoryStore();
  const given = { params: {}, query: {}, body: { dead_letters: [letter] } };
  const { body } = await importRoute({ store, clock: new VirtualClock() }).handle(given as never);
  return { stored: store.rows()[0], result: (body as { results: { result: string; message?: string }[] }).results[0] };
}

it('takes what was exported, with the fields that an upstream may be sent, and the length of its body', async () => {
  const fields = ['Content-Type', 'application/json', 'Content-Length', '99', 'Transfer-Encoding', 'chunked'];
  const { stored } = await importOf(line([...fields, 'Expect', '100-continue', 'Cookie', 'a=b', 'Host', 'elsewhere']));
  expect(stored?.headers).toEqual(['Content-Type', 'application/json', 'Content-Length', '8']);
  expect(stored?.body?.toString()).toBe('{"n": 1}');
});

it('refuses a line whose body was edited where nobody reads it: nothing is sent that was not meant', async () => {
  const letter = line([]);
  letter.request.body['json'] = { n: 2 };
  const { stored, result } = await importOf(letter);
  expect(stored).toBeUndefined();
  expect(result).toMatchObject({
    result: 'refused',
    message: expect.stringContaining('text is what is sent') as string,
  });
  delete letter.request.body['json'];
  expect((await importOf(letter)).result).toMatchObject({ result: 'imported' });
});

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.json().map((text) => Buffer.from(text)),
  fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
  fc
    .constantFrom('\ufeff{}', '{"__proto__":1,"a":1e999,"a":2}', '12345678901234567890', ' "x" ', '')
    .map((text) => Buffer.from(text)),
);

test.prop([bytes])('§9: a body of any bytes comes back from an export as it was', async (body) => {
  const { stored, result } = await importOf(line([], Buffer.from(body)));
  expect(result).toEqual({ result: 'imported' });
  expect(stored?.body?.equals(body)).toBe(true);
});
