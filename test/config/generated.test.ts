import { readdir, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { generate } from '../../scripts/generate-config.ts';
import { configFile } from '../../src/config/schema.ts';
import { starterFile } from '../../src/config/starter.ts';
import { linesOf, settingsOf } from './load-harness.ts';

test('the committed files are what scripts/generate-config.ts makes of declaration and map', async () => {
  for (const [file, content] of Object.entries(await generate())) {
    const same = (await readFile(file, 'utf8')) === content;
    expect(same, `${file} is stale: node scripts/generate-config.ts`).toBe(true);
  }
});

test('config/default.yaml is the defaults, and begins with the line for editors', async () => {
  const text = await readFile('config/default.yaml', 'utf8');
  expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=./schema.json');
  expect((await settingsOf(text)).hash).toBe((await settingsOf(null)).hash);
});

test('every example that the default file holds in a comment loads when it is taken in', async () => {
  const text = await readFile('config/default.yaml', 'utf8');
  const taken = text.replaceAll(/^( *)#(?=[a-z]| {2})/gm, '$1').replace(/^ *url: .*$/m, '');
  expect(taken).toContain('\nendpoints:\n');
  expect(taken).toContain('region: eu');
  expect(await linesOf(taken)).toEqual([]);
});

test('the starter file sets nothing, and loads', async () => {
  const text = starterFile();
  expect(parse(text)).toEqual({ version: 1 });
  expect((await settingsOf(text)).hash).toBe((await settingsOf(null)).hash);
});

test('every key of the declaration has a sentence, and a default, an example or keys below it', () => {
  const bare: string[] = [];
  const walk = (shape: Record<string, unknown>, path: string): void => {
    for (const [name, schema] of Object.entries(shape)) {
      const { meta, def } = schema as {
        meta: () => { description?: string } | undefined;
        def: { innerType?: unknown };
      };
      if (!meta.call(schema)?.description) bare.push(`${path}${name}`);
      let inner = def as { innerType?: { def: object }; shape?: Record<string, unknown> };
      while (inner.innerType !== undefined) inner = inner.innerType.def;
      if (inner.shape !== undefined) walk(inner.shape, `${path}${name}.`);
    }
  };
  walk(configFile.shape, '');
  expect(bare).toEqual([]);
});

test('the examples load without a warning', async () => {
  const files = (await readdir('config/examples')).filter((name) => name.endsWith('.yaml'));
  expect(files.length).toBeGreaterThanOrEqual(3);
  const [cert, key] = await Promise.all(
    ['cert', 'key'].map((name) => readFile(`test/support/tls/${name}.pem`, 'utf8')),
  );
  const contentOf = (file: string) => (/\.(?:crt|pem)$/.test(file) ? cert : file.endsWith('.key') ? key : 'secret');
  for (const name of files) {
    const text = await readFile(`config/examples/${name}`, 'utf8');
    const named = parse(text.replaceAll(/\$\{\w+:?-?([^}]*)\}/g, 'x')) as object;
    const secrets = [...stringify(named).matchAll(/(?:token|bearer|cert|key|ca)_file: (\S+)/g)].map(
      (found) => found[1] ?? '',
    );
    const surroundings = {
      files: Object.fromEntries(secrets.map((file) => [file, contentOf(file) as string])),
      env: { INTERCOM_TOKEN: 'x' },
    };
    expect(await linesOf(text, surroundings), name).toEqual([]);
    expect(text.split('\n')[0], name).toBe('# yaml-language-server: $schema=../schema.json');
  }
});
