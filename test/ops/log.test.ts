import { fc, test } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { createLog } from '../../src/ops/log.ts';

function logging(redact: readonly string[] = []) {
  const lines: string[] = [];
  const log = createLog({ level: 'info', redact }, { write: (line: string) => void lines.push(line) });
  return { log, lines };
}

describe('§12: redaction', () => {
  it('takes secrets out at every depth, whatever the case of their names', () => {
    const { log, lines } = logging();
    log.info({
      event: 'x',
      Authorization: 'planted',
      context: { token: 'planted', lead: 'kept' },
      list: [{ cookie: 'planted' }, { deep: { 'X-Api-Key': 'planted' } }],
    });
    expect(lines.join('')).not.toContain('planted');
    expect(lines.join('')).toContain('"lead":"kept"');
    expect(lines.join('').match(/\[redacted\]/g)).toHaveLength(4);
  });

  it('takes out the fields that the configuration names', () => {
    const { log, lines } = logging(['Email']);
    log.info({ event: 'x', context: { email: 'planted' } });
    expect(lines.join('')).not.toContain('planted');
  });

  it('leaves what was logged as it was', () => {
    const { log } = logging();
    const context = { token: 'planted' };
    const line = { event: 'x', context };
    log.info(line);
    expect(line).toEqual({ event: 'x', context: { token: 'planted' } });
  });

  it('ends on what is nested without end', () => {
    const { log, lines } = logging();
    const loop: Record<string, unknown> = { token: 'planted' };
    loop['loop'] = loop;
    log.info({ event: 'x', loop });
    expect(lines.join('')).not.toContain('planted');
  });

  it('writes the time as ISO 8601 with milliseconds', () => {
    const { log, lines } = logging();
    for (let i = 0; i < 50; i += 1) log.info({ event: 'x' });
    for (const line of lines) {
      const { time } = JSON.parse(line) as { time: string };
      expect(new Date(time).toISOString()).toBe(time);
      expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(5000);
    }
  });

  it('keeps errors readable', () => {
    const { log, lines } = logging();
    log.error({ event: 'bug', err: new Error('what went wrong') });
    expect(lines.join('')).toContain('"message":"what went wrong"');
  });
});

describe('the line that every exchange writes', () => {
  const name = fc.constantFrom('event', 'id', 'ms', 'token', 'Cookie', 'email', 'odd "name"');
  const plain = fc.oneof(fc.string({ unit: 'binary', maxLength: 150 }), fc.double(), fc.integer(), fc.boolean());
  const value = fc.oneof(
    { weight: 20, arbitrary: plain },
    { weight: 1, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constant(undefined) },
    { weight: 2, arbitrary: fc.dictionary(name, plain) },
  );

  test.prop([fc.dictionary(name, value, { size: 'max', maxKeys: 7 })], { numRuns: 1000 })(
    '§12: is the line that pino writes, redaction included',
    (fields) => {
      const { log, lines } = logging(['Email']);
      log.line(fields);
      log.info(fields);
      const [byHand, byPino] = lines.map((line) => {
        expect(line.endsWith('}\n')).toBe(true);
        return { ...(JSON.parse(line) as object), time: '' };
      });
      expect(byHand).toEqual(byPino);
    },
  );
});
