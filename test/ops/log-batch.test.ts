import { expect, it } from 'vitest';
import { LogBatch } from '../../src/ops/log-batch.ts';

function batching() {
  const batches: string[] = [];
  const log = new LogBatch({ write: (text) => void batches.push(text), flush: (done) => done?.() });
  return { log, batches };
}

it('passes nothing on before a batch is full, and then all of it in order', () => {
  const { log, batches } = batching();
  const lines = Array.from({ length: 100 }, (_, n) => `${n} ${'x'.repeat(500)}\n`);
  for (const each of lines) log.write(each);
  expect(batches.length).toBeGreaterThan(1);
  expect(batches.length).toBeLessThan(5);
  log.flush();
  expect(batches.join('')).toBe(lines.join(''));
});

it('gives what is left to whoever ends the process, once', () => {
  const { log, batches } = batching();
  log.write('one\n');
  expect(log.take()).toBe('one\n');
  expect(log.take()).toBe('');
  log.flush();
  expect(batches).toEqual([]);
});

it('flushes what is there, and says when it is written', () => {
  const { log, batches } = batching();
  log.write('one\n');
  let done = false;
  log.flush(() => {
    done = true;
  });
  expect(batches).toEqual(['one\n']);
  expect(done).toBe(true);
  log.flush();
  expect(batches).toEqual(['one\n']);
});
