import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { formatFault } from '../../src/config/faults.ts';
import { readScenario } from '../../src/simulator/scenario.ts';
import { load } from '../config/load-harness.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** Values of the chart and pieces of templates: test/deploy has those. */
const NO_CONFIGURATION = new Set(['docs/kubernetes.md']);
const SCENARIOS = 'docs/simulator.md';

interface Example {
  readonly page: string;
  readonly line: number;
  readonly yaml: string;
}

const examples: Example[] = ['README.md', ...globSync('docs/**/*.md', { cwd: ROOT })]
  .filter((page) => !NO_CONFIGURATION.has(page))
  .flatMap((page) => {
    const text = readFileSync(join(ROOT, page), 'utf8');
    return [...text.matchAll(/^```yaml\n(.*?)^```/gms)].map(({ index, 1: yaml }) => ({
      page,
      line: text.slice(0, index).split('\n').length + 1,
      yaml: yaml as string,
    }));
  });

it.each(examples.filter(({ page }) => page !== SCENARIOS))('$page:$line passes holdfast check', async ({ yaml }) => {
  const { ok, faults } = await load(yaml, { env: { SLACK_WEBHOOK: 'https://hooks.example.com/services/x' } });
  expect(faults.filter(({ severity }) => severity === 'error').map(formatFault)).toEqual([]);
  expect(ok).toBe(true);
});

it.each(examples.filter(({ page }) => page === SCENARIOS))('$page:$line is a scenario', ({ yaml, page }) => {
  expect(readScenario(yaml, page).rules).not.toEqual([]);
});

it('has examples to check', () => {
  expect(examples.length).toBeGreaterThan(14);
});
