/**
 * Makes everything that follows from the declaration of the configuration and from the shipped map:
 * config/schema.json, config/default.yaml, config/shipped.json and docs/configuration.md. Run it after a change of
 * either (`node scripts/generate-config.ts`); test/config/generated.test.ts fails until somebody did.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { formatFault } from '../src/config/faults.ts';
import { configJsonSchema, defaultsOf, type JsonSchema, withoutNull } from '../src/config/json-schema.ts';
import { renderFile, renderTable } from '../src/config/render.ts';
import { policySections } from '../src/config/schema-policy.ts';
import { shippedMap } from '../src/config/schema-rows.ts';
import { readSource } from '../src/config/source.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Makes the text of every generated file, by its path in the project. */
export async function generate(): Promise<Record<string, string>> {
  const schema = configJsonSchema();
  const defaults = renderFile(schema, {
    schemaAt: './schema.json',
    head: [
      'Every key of Holdfast with its default. Made by scripts/generate-config.ts; `holdfast init` writes one to edit.',
    ],
    commentedOut: false,
  });
  return {
    'config/schema.json': `${JSON.stringify(schema, null, 2)}\n`,
    'config/default.yaml': defaults,
    'config/shipped.json': await shippedJson(schema),
    'docs/configuration.md': await configurationPage(schema),
  };
}

async function shippedJson(schema: JsonSchema): Promise<string> {
  const { source, faults } = readSource('config/intercom.yaml', await text('config/intercom.yaml'), {});
  const checked = shippedMap.safeParse(source.data);
  if (faults.length > 0) throw new Error(faults.map(formatFault).join('\n'));
  if (!checked.success) {
    const lines = checked.error.issues.map(
      ({ path, message }) => `config/intercom.yaml:${source.placeOf(path).line}: ${message}`,
    );
    throw new Error(lines.join('\n'));
  }
  const lineOf = (...path: (string | number)[]): number => source.placeOf(path).line ?? 0;
  const rows = checked.data.operations.map(({ errors, reconcile, ...row }, i) => {
    const entries = (errors ?? []).map((entry, n) => ({ entry, line: lineOf('operations', i, 'errors', n) }));
    const recipes = (reconcile ?? []).map((entry, n) => ({ entry, line: lineOf('operations', i, 'reconcile', n) }));
    return JSON.stringify({ row, errors: entries, reconcile: recipes, line: lineOf('operations', i) });
  });
  const generic = checked.data.generic.map((entry, n) => JSON.stringify({ entry, line: lineOf('generic', n) }));
  const parts = [
    `"defaults":${JSON.stringify(defaultsOf(schema))}`,
    `"operations":[\n${rows.join(',\n')}\n]`,
    `"generic":[\n${generic.join(',\n')}\n]`,
  ];
  return `{${parts.join(',\n')}}\n`;
}

async function configurationPage(schema: JsonSchema): Promise<string> {
  const page = await text('scripts/configuration-page.md');
  const row = withoutNull((schema.properties ?? {})['endpoints'] ?? {}).items ?? {};
  const entry = withoutNull((row.properties ?? {})['errors'] ?? {}).items ?? {};
  const sections = new Set<string>(Object.keys(policySections));
  // A row takes the section, and a word in its place.
  sections.delete('dead_letter');
  const ownKeys = Object.entries(row.properties ?? {}).filter(([name]) => !sections.has(name));
  return page
    .replace('{{keys}}', () => renderTable(schema))
    .replace('{{row}}', () => renderTable({ properties: Object.fromEntries(ownKeys) }))
    .replace('{{entry}}', () => renderTable(entry));
}

function text(file: string): Promise<string> {
  return readFile(`${root}${file}`, 'utf8');
}

if (import.meta.main) {
  for (const [file, content] of Object.entries(await generate())) await writeFile(`${root}${file}`, content);
}
