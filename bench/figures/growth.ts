/** What more connections, more tokens and more rules add to the cost of one request. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { type Bench, type Figure, READ, slice, warmUp } from '../bench.ts';
import { startFloor, startHoldfast } from '../contestants.ts';
import type { Workload } from '../jobs.ts';
import { spread } from '../stats.ts';

const CONNECTIONS = 64;
const MANY_CONNECTIONS = 1024;
const MANY_TOKENS = 1000;
const OWN_RULES = 200;
const SHIPPED_MAP = join(import.meta.dirname, '..', '..', 'config', 'intercom.yaml');

const ownRules = Array.from({ length: OWN_RULES }, (_, index) => `/bench-${index}/{id}`);

/** Own rows with the promise of the read that they are compared with, so that only their number differs. */
const ownRows = ownRules.map((path) => `  - { match: 'GET ${path}', class: read, answer: json }`).join('\n');

interface ShippedRow {
  readonly match: string;
  readonly answer: unknown;
  readonly whole?: string;
}

/** The shipped reads that do the same work as `READ`: JSON that is not parsed in full. */
function shippedReads(): readonly string[] {
  const { operations } = parse(readFileSync(SHIPPED_MAP, 'utf8')) as { readonly operations: readonly ShippedRow[] };
  const alike = operations.filter((row) => row.answer === 'json' && row.whole === undefined);
  return alike.flatMap(({ match }) => (match.startsWith('GET ') ? [match.slice(4)] : []));
}

function figure(name: string, samples: readonly number[], beside: string): Figure {
  return { name: `growth: ${name}`, unit: '×', value: spread(samples), beside, reach: 1.15, stretch: 1.05 };
}

export async function growth(bench: Bench): Promise<readonly Figure[]> {
  const floor = await startFloor(bench.upstream.port);
  const shipped = await startHoldfast(bench.upstream.port);
  const ruled = await startHoldfast(bench.upstream.port, { yaml: `endpoints:\n${ownRows}\n` });
  const paths = [...shippedReads(), ...ownRules].map((path) => path.replaceAll(/\{\w+\}/g, '5ba682d23d7cf92bef87bfd4'));
  const manyPaths: Workload = { method: 'GET', paths, tokens: 1 };
  const manyTokens: Workload = { ...READ, tokens: MANY_TOKENS };
  for (const contestant of [floor, shipped, ruled]) await warmUp(bench, contestant);
  const ratios = { connections: [] as number[], tokens: [] as number[], rules: [] as number[], floor: [] as number[] };
  for (let round = 1; round <= bench.sizes.rounds; round += 1) {
    bench.say(`growth: round ${round} of ${bench.sizes.rounds}`);
    const floorBase = await slice(bench, floor, READ, CONNECTIONS);
    ratios.floor.push((await slice(bench, floor, READ, MANY_CONNECTIONS)).cpuUs / floorBase.cpuUs);
    const base = await slice(bench, shipped, READ, CONNECTIONS);
    ratios.connections.push((await slice(bench, shipped, READ, MANY_CONNECTIONS)).cpuUs / base.cpuUs);
    ratios.tokens.push((await slice(bench, shipped, manyTokens, CONNECTIONS)).cpuUs / base.cpuUs);
    ratios.rules.push((await slice(bench, ruled, manyPaths, CONNECTIONS)).cpuUs / base.cpuUs);
  }
  await Promise.all([floor.child.stop(), shipped.child.stop(), ruled.child.stop()]);
  return [
    figure(
      `concurrency ${MANY_CONNECTIONS} against ${CONNECTIONS}`,
      ratios.connections,
      `CPU per request; floor ${spread(ratios.floor).median.toFixed(2)}`,
    ),
    figure(`${MANY_TOKENS} distinct tokens against 1`, ratios.tokens, 'CPU per request'),
    figure(
      `${OWN_RULES} own rules, all rules in turn`,
      ratios.rules,
      `${paths.length} paths against 1 of the shipped map`,
    ),
  ];
}
