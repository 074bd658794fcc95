import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { schema } from '../../src/commands/schema.ts';
import { CommandIo } from './command-io.ts';

test('prints config/schema.json', async () => {
  const io = new CommandIo();
  expect(await schema(io)).toBe(0);
  expect(io.out).toBe(await readFile('config/schema.json', 'utf8'));
  expect(JSON.parse(io.out)).toMatchObject({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    additionalProperties: false,
  });
});
