import { systemClock } from '../ops/clock.ts';
import { DlqError, must, type Reply } from './dlq-access.ts';
import { type DlqFilter, type DlqRun, queryFrom } from './dlq-run.ts';
import {
  ageOf,
  type Column,
  clean,
  cleanLines,
  jsonLine,
  type Paint,
  paintFor,
  paintState,
  tableOf,
} from './dlq-view.ts';

type Json = Reply['json'];

const PAGE = 500;

/** All pages of a list, at most `most` rows. */
export async function* lettersOf(
  { access }: DlqRun,
  filter: DlqFilter,
  most: number,
  ids: readonly string[] = [],
): AsyncGenerator<Json> {
  let cursor: string | null = null;
  let left = most;
  while (left > 0) {
    const limit = String(Math.min(left, PAGE));
    const more = { limit, ...(cursor === null ? {} : { cursor }), ...(ids.length === 0 ? {} : { id: ids }) };
    const page: Json = await must(access, `GET /api/dead-letters${queryFrom(filter, more)}`);
    yield* page.dead_letters;
    left -= page.dead_letters.length;
    cursor = page.next;
    if (cursor === null) return;
  }
}

/** `dlq list`. */
export async function list(run: DlqRun, _: string[], options: DlqFilter & { limit: string }): Promise<number> {
  if (!/^[1-9]\d{0,6}$/.test(options.limit))
    throw new DlqError(`--limit: got ${options.limit}, allowed is 1 or more`, 2);
  const letters: Json[] = [];
  for await (const letter of lettersOf(run, options, Number(options.limit))) letters.push(letter);
  const { stdout, env } = run.io;
  if (run.json) {
    for (const letter of letters) stdout.write(jsonLine(letter));
    return 0;
  }
  if (letters.length === 0) return nothing(run);
  const paint = paintFor(stdout, env);
  for (const line of tableOf(letterColumns(paint), letters, stdout.columns, paint)) stdout.write(`${line}\n`);
  if (letters.length === Number(options.limit))
    stdout.write(paint.dim(`the newest ${letters.length}; more with --limit\n`));
  return 0;
}

function letterColumns(paint: Paint): Column<Json>[] {
  const nowMs = systemClock.wall();
  return [
    { head: 'ID', of: ({ id }) => id },
    {
      head: 'STATE',
      of: ({ state, maybe_superseded_by: by }) =>
        state === 'superseded' || by === null ? state : `${state}, maybe superseded`,
      paint: (text, { state }) => paintState(state, paint, text),
    },
    { head: 'REASON', of: ({ reason }) => reason },
    { head: 'AGE', of: ({ dead_at }) => ageOf(dead_at, nowMs), right: true },
    { head: 'CALLS', of: ({ count: calls }) => String(calls), right: true },
    { head: 'TRIES', of: ({ attempts }) => String(attempts), right: true },
    { head: 'CAUSE', of: ({ cause_label, endpoint }) => cause_label ?? endpoint, flexible: true },
    { head: 'CONTEXT', of: ({ context }) => contextText(context), flexible: true },
  ];
}

function contextText(context: Readonly<Record<string, string>> | null): string {
  return Object.entries(context ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
}

/** `dlq groups`. */
export async function groups(run: DlqRun, _: string[], options: DlqFilter): Promise<number> {
  const found: Json = await must(run.access, `GET /api/dead-letters/groups${queryFrom(options)}`);
  const { stdout, env } = run.io;
  if (run.json) {
    stdout.write(jsonLine(found.groups));
    return 0;
  }
  if (found.groups.length === 0) return nothing(run);
  const paint = paintFor(stdout, env);
  const nowMs = systemClock.wall();
  const columns: Column<Json>[] = [
    { head: 'GROUP', of: ({ cause }) => cause },
    { head: 'ROWS', of: ({ rows }) => String(rows), right: true, paint: (text) => paint.bold(text) },
    { head: 'CALLS', of: ({ calls }) => String(calls), right: true },
    { head: 'REASON', of: ({ reason }) => reason },
    { head: 'FIRST', of: ({ first_at }) => ageOf(first_at, nowMs), right: true },
    { head: 'LAST', of: ({ last_at }) => ageOf(last_at, nowMs), right: true },
    { head: 'CAUSE', of: ({ label }) => label, flexible: true },
  ];
  for (const line of tableOf(columns, found.groups as Json[], stdout.columns, paint)) stdout.write(`${line}\n`);
  return 0;
}

/** The one of this id. Throws `DlqError`, which tells an operation that is not dead from one that is not there. */
export async function letterOf({ access }: DlqRun, id: string): Promise<Json> {
  const at = encodeURIComponent(id);
  const { status, json } = await access.call(`GET /api/operations/${at}`);
  if (status !== 200) return must(access, `GET /api/dead-letters/${at}`);
  if (json.reason !== null) return json;
  const what = json.handed_over ? 'an operation of the queue' : 'an operation';
  throw new DlqError(
    `${clean(id)} is no dead letter but ${what}, ${json.state}: GET /api/operations/${at} on the admin API shows it`,
  );
}

/** `dlq show`. */
export async function show(run: DlqRun, [id = '']: string[]): Promise<number> {
  const letter = await letterOf(run, id);
  const { stdout, env } = run.io;
  if (run.json) {
    stdout.write(jsonLine(letter));
    return 0;
  }
  const paint = paintFor(stdout, env);
  const { request, answer } = letter;
  const facts: [string, string][] = [
    ['state', `${paintState(letter.state, paint)}, ${letter.reason}, effect ${letter.effect}`],
    ['cause', `${clean(letter.cause_label ?? '')}  ${paint.dim(clean(letter.cause ?? ''))}`],
    ['calls', String(letter.count)],
    ['first', letter.first_at],
    ['died', letter.dead_at],
    ['context', clean(contextText(letter.context))],
    ['parent', clean(letter.parent ?? '')],
    ['redrive', letter.redrive ?? ''],
    [
      'superseded',
      letter.superseded_by ??
        (letter.maybe_superseded_by === null ? '' : `maybe by ${clean(letter.maybe_superseded_by)}`),
    ],
  ];
  const write = (line = ''): void => void stdout.write(`${line}\n`);
  write(paint.bold(`${letter.id}  ${clean(`${letter.method} ${letter.target}`)}`));
  for (const [name, value] of facts) if (value !== '') write(`  ${paint.dim(name.padEnd(11))}${value}`);
  write();
  for (const [name, value] of request.headers) write(`  ${clean(`${name}: ${value}`)}`);
  for (const line of bodyLines(request.body, isImported(letter))) write(`  ${line}`);
  if (letter.attempts.length > 0) write();
  const width = stdout.columns === undefined ? undefined : stdout.columns - 2;
  for (const line of tableOf(attemptColumns, letter.attempts as Json[], width, paint)) write(`  ${line}`);
  if (answer !== null) {
    write();
    write(`  ${paint.dim('answer')}     ${answer.status}`);
    for (const line of bodyLines(answer.body)) write(`  ${line}`);
  }
  return 0;
}

const attemptColumns: Column<Json>[] = [
  { head: 'TRY', of: ({ n }) => String(n), right: true },
  { head: 'AT', of: ({ at }) => at },
  { head: 'TOOK', of: ({ duration_ms }) => `${Math.round(duration_ms)} ms`, right: true },
  {
    head: 'WAITED',
    of: ({ waited_ms, wait_reason }) => (waited_ms > 0 ? `${waited_ms} ms ${wait_reason}` : ''),
    right: true,
  },
  { head: 'RESULT', of: ({ status, failure }) => String(failure ?? status ?? '') },
  { head: 'EFFECT', of: ({ effect }) => effect },
  {
    head: 'SAID',
    of: ({ code, reason, excerpt }) => [code ?? reason, excerpt].filter(Boolean).join(': '),
    flexible: true,
  },
  { head: 'REQUEST ID', of: ({ request_id }) => request_id ?? '', flexible: true },
];

/** It has no credential, and no configuration of this instance's was in force when it died. */
function isImported({ credential_ref: credential, config_hash: config }: Json): boolean {
  return credential === 'none' && config === null;
}

function bodyLines(body: Json, imported = false): string[] {
  if (body.kind === 'none') return [];
  if (body.kind === 'not_kept')
    return [
      imported
        ? '(imported without its body: it cannot be redriven, unless an edit gives it one)'
        : '(the body streamed through and was not kept)',
    ];
  if (body.kind === 'base64') return [`(bytes) ${body.base64}`];
  return cleanLines(body.kind === 'json' ? JSON.stringify(body.json, null, 2) : body.text).split('\n');
}

function nothing({ io, access }: DlqRun): number {
  io.stderr.write(`no dead letters like that at ${access.where}\n`);
  return 0;
}
