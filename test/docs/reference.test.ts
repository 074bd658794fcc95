import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import type { StackStatus } from '../../src/core/status.ts';
import { STATUS_OF_CODE } from '../../src/edge/codes.ts';
import { declareDeadLetterGauges } from '../../src/ops/dead-letter-gauges.ts';
import { declareLayerGauges } from '../../src/ops/layer-gauges.ts';
import { createLog } from '../../src/ops/log.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import { QueueEvents } from '../../src/ops/queue-events.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const reference = read('docs/reference.md');
const sources = globSync('src/**/*.ts', { cwd: ROOT }).map((file) => ({ file, text: read(file) }));

/** The text below a heading, up to the next one of its rank or above. */
function sectionOf(page: string, heading: string): string {
  const [, rest = ''] = page.split(`\n## ${heading}\n`);
  return rest.split('\n## ')[0] ?? '';
}

const isRule = (line: string | undefined): boolean => line !== undefined && /^\|(?:-+\|)+$/.test(line);

/** The rows of all tables, as cells, without their heads. */
function rowsOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  return lines
    .filter((line, at) => !isRule(line) && !isRule(lines[at + 1]))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

const quotedIn = (cell: string | undefined): string[] =>
  [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name as string);
const sorted = (names: Iterable<string>): string[] => [...new Set(names)].toSorted();
const firstCells = (section: string): string[] => sorted(rowsOf(section).flatMap(([first]) => quotedIn(first)));

/** The members of a union of literals, which leaves nothing behind at run time. */
function unionIn(file: string, name: string): string[] {
  const text = new RegExp(`export type ${name} =([^;]+);`).exec(read(file))?.[1];
  return sorted([...(text ?? '').matchAll(/'(\w+)'/g)].map(([, member]) => member as string));
}

/** Not the commands: `simulate --json` has lines of its own. */
const serving = sources.filter(({ file }) => !file.startsWith('src/commands/'));

/** What a pattern's first group finds in the sources. */
const foundInSources = (pattern: RegExp, files = /^/): string[] =>
  sorted(
    sources
      .filter(({ file }) => files.test(file))
      .flatMap(({ text }) => [...text.matchAll(pattern)].map(([, name]) => name as string)),
  );

const codes = sectionOf(reference, 'Error codes');

it('names every error code with its status', () => {
  const named = rowsOf(codes).map(([status, code]) => `${quotedIn(code)[0]} ${status}`);
  for (const [code, status] of Object.entries(STATUS_OF_CODE)) expect(named).toContain(`${code} ${status}`);
  const known = Object.keys(STATUS_OF_CODE);
  for (const name of named) expect(known).toContain(name.split(' ')[0]);
});

it('names every refused status of the edge that differs from that of its code', () => {
  const statuses = new Set(rowsOf(codes).map(([status]) => status));
  for (const status of foundInSources(/refusal\(\s*(\d{3}),/g, /^src\/edge\//)) expect(statuses).toContain(status);
});

it('names every reason for which a retry is withheld, and no other', () => {
  expect(firstCells(sectionOf(reference, 'Withheld'))).toEqual(unionIn('src/core/exchange.ts', 'WithheldReason'));
});

it('names every value of the Holdfast field', () => {
  const named = new Set(rowsOf(sectionOf(reference, 'The Holdfast field')).flatMap(([, value]) => quotedIn(value)));
  for (const value of unionIn('src/core/verdict.ts', 'VerdictClass')) expect(named).toContain(value);
  for (const value of unionIn('src/core/verdict.ts', 'Effect')) expect(named).toContain(value);
});

it('names every reason of our own', () => {
  const named = firstCells(sectionOf(reference, 'Reasons'));
  const own = [
    ...foundInSources(/badRequest\(\s*'(\w+)'/g),
    ...foundInSources(/refusedVerdict\(\s*'(\w+)'/g),
    ...foundInSources(/refusal\(\s*\d{3},\s*'\w+',\s*'(\w+)'/g),
    // Lists of codes are none.
    ...foundInSources(/'holdfast_\w+',\s*'(\w+)',/g).filter((found) => !(found in STATUS_OF_CODE)),
    ...foundInSources(/reason: '(\w+)'/g, /^src\/(?:edge|layers)\//),
    ...foundInSources(/'(broken_\w+)'/g, /classify/),
    ...unionIn('src/core/outcome.ts', 'FailureKind').filter((kind) => kind !== 'broken'),
  ];
  expect(own).toContain('breaker_open');
  expect(own).toContain('head_too_slow');
  expect(own.filter((reason) => !named.includes(reason))).toEqual([]);
});

it('names the fields of every event', () => {
  const rows = new Map(rowsOf(sectionOf(reference, 'Log')).map(([name, , fields]) => [quotedIn(name)[0], fields]));
  const lines = serving.flatMap(({ text }) => [
    ...text.matchAll(/\bevent: '(\w+)',([^}]*)/g),
    ...text.matchAll(/\.lifecycle\('(\w+)', \{([^}]*)/g),
  ]);
  for (const [, event, literal] of lines) {
    for (const [, field] of (literal as string).matchAll(/(?:^|,)\s*(\w+)\s*(?=[:,]|$)/g)) {
      expect(quotedIn(rows.get(event as string)), event).toContain(field);
    }
  }
  for (const field of foundInSources(/line\['(\w+)'\]/g)) expect(quotedIn(rows.get('exchange'))).toContain(field);
});

it('names every event of the log, and no other, and every reason of a wait', () => {
  const log = sectionOf(reference, 'Log');
  const events = [...foundInSources(/\bevent: '(\w+)'/g, /^src\/ops\//), ...foundInSources(/\.lifecycle\('(\w+)'/g)];
  expect(firstCells(log)).toEqual(sorted(events));
  for (const reason of unionIn('src/core/exchange.ts', 'WaitReason')) expect(quotedIn(log)).toContain(reason);
});

const NOTHING: StackStatus = {
  inFlight: () => 0,
  waiting: () => 0,
  breakers: () => [],
  quotas: () => [],
  clockSkew: () => null,
};

/** Every metric of a running instance. */
function declaredMetrics() {
  const { registry } = createMetrics();
  declareLayerGauges(registry, NOTHING, () => 0);
  declareDeadLetterGauges(registry, async () => new Map());
  const log = createLog({ level: 'silent', redact: [] }, { write: () => {} });
  void new QueueEvents(log, registry, { queueDepth: async () => ({ rows: 0, oldestAtMs: null }) }, () => 0);
  return registry.getMetricsAsArray();
}

it('names every metric with its type and labels, and no other', () => {
  const declared = declaredMetrics().map((metric) => {
    const labels = 'labelNames' in metric ? (metric.labelNames as string[]) : [];
    return `${metric.name} ${String(metric.type)} ${labels.join(',')}`;
  });
  const named = rowsOf(read('docs/metrics.md')).map(
    ([name, type, labels]) => `${quotedIn(name)[0]} ${type} ${quotedIn(labels).join(',')}`,
  );
  expect(sorted(named)).toEqual(sorted(declared));
});

it('asks for metrics that exist', () => {
  const names = new Set(declaredMetrics().map(({ name }) => name));
  const pages = globSync('docs/**/*.md', { cwd: ROOT }).map(read).join('\n');
  const asked = [...pages.matchAll(/\b(holdfast_[a-z_]+?)(?:_bucket)?(?=[{[])/g)].map(([, name]) => name);
  expect(asked.length).toBeGreaterThan(10);
  for (const name of asked) expect(names).toContain(name);
});

/** As GitHub makes it of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\- ]/gu, '')
    .replaceAll(' ', '-');

it('has no relative link that leads nowhere', () => {
  const pages = ['README.md', ...globSync('docs/**/*.md', { cwd: ROOT })];
  const broken: string[] = [];
  let links = 0;
  for (const page of pages) {
    const text = read(page).replaceAll(/^(?: {4}|```[\s\S]*?```).*$/gm, '');
    for (const [, link] of text.matchAll(/\]\((?!\w+:)([^)\s]+)\)/g)) {
      links += 1;
      const [path, anchor] = (link as string).split('#');
      const target = path === '' || path === undefined ? join(ROOT, page) : join(ROOT, dirname(page), path);
      const headings = anchor === undefined || !existsSync(target) ? '' : readFileSync(target, 'utf8');
      const anchors = [...headings.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading as string));
      const lost = !existsSync(target) || (anchor !== undefined && !anchors.includes(anchor));
      if (lost) broken.push(`${page}: ${link} (${relative(ROOT, target)})`);
    }
  }
  expect(links).toBeGreaterThan(20);
  expect(broken).toEqual([]);
});
