import { sleep, systemClock } from '../ops/clock.ts';
import { type DlqAccess, DlqError, must, type Reply, secretIn } from './dlq-access.ts';
import { type DlqFilter, type DlqRun, someFilter } from './dlq-run.ts';
import { clean, count, durationOf, jsonLine, paintFor, paintState, tableOf } from './dlq-view.ts';

type Json = Reply['json'];

interface RedriveOptions extends DlqFilter {
  readonly dryRun?: boolean;
  readonly velocity?: string;
  readonly canary?: string;
  readonly force?: boolean;
  readonly credentialFile?: string;
  readonly detach?: boolean;
  readonly status?: string | true;
  readonly pause?: string;
  readonly resume?: string;
  readonly cancel?: string;
}

/** How often a redrive is asked for, and how often it is told of where nobody watches. */
const ASK_MS = 500;
const TELL_MS = 10_000;
/** Rows that one call asks for, and ids that a line names. */
const ROWS_AT_ONCE = 1000;
const SAMPLES = 3;
/** What a redrive is when somebody has steered it. */
const STEERED = { pause: 'paused', resume: 'running', cancel: 'cancelled' } as const;

/** `dlq redrive`: starts one and follows it, or steers one. */
export async function redrive(run: DlqRun, ids: string[], options: RedriveOptions): Promise<number> {
  const { status, pause, resume, cancel } = options;
  if (status === true) return listAll(run);
  if (typeof status === 'string') {
    await told(run, await must(run.access, `GET /api/redrives/${encodeURIComponent(status)}`));
    return 0;
  }
  const credential =
    options.credentialFile === undefined ? {} : { credential: secretIn(options.credentialFile, run.io) };
  for (const [verb, id] of Object.entries({ pause, resume, cancel })) {
    if (id === undefined) continue;
    const turned = await must(run.access, `POST /api/redrives/${encodeURIComponent(id)}/${verb}`, credential);
    if (verb === 'resume' && options.detach !== true) return follow(run, turned);
    await told(run, turned);
    return turned.state === STEERED[verb as keyof typeof STEERED] ? 0 : 1;
  }
  const order = {
    filter: someFilter(options, ids),
    ...credential,
    ...numberIn('velocity', options.velocity),
    ...numberIn('canary', options.canary),
    ...(options.force === true ? { force: true } : {}),
  };
  if (options.dryRun === true) {
    const { plan } = await must(run.access, 'POST /api/redrives', { ...order, dry_run: true });
    if (run.json) run.io.stdout.write(jsonLine(plan));
    else tellPlan(run, plan);
    return (await isAllThere(run, plan)) ? 0 : 1;
  }
  const started = await must(run.access, 'POST /api/redrives', order);
  if (!run.json) tellPlan(run, started.plan);
  if (started.redrive === null) {
    if (run.json) run.io.stdout.write(jsonLine(null));
    return (await isAllThere(run, started.plan)) ? 0 : 1;
  }
  // What the known one has on the wire is not meant twice.
  const isAll = started.known || (await isAllThere(run, started.plan));
  if (started.known) tellKnown(run, started.redrive, options);
  const exitCode = options.detach === true ? await told(run, started.redrive) : await follow(run, started.redrive);
  return isAll ? exitCode : 1;
}

/** Says what is not meant though it was named; false: not all that was named is, or nothing is. */
async function isAllThere({ access, io }: DlqRun, { rows, missing }: Json): Promise<boolean> {
  if (rows === 0 && missing.length === 0) io.stderr.write('holdfast: no dead letters like that: nothing to send\n');
  for (const id of missing as string[]) {
    const { status, json } = await access.call(`GET /api/operations/${encodeURIComponent(id)}`);
    const what = status === 200 ? `is ${json.state}` : 'is no dead letter; retention may have taken it';
    io.stderr.write(`holdfast: ${clean(id)} ${what}: it is not sent again\n`);
  }
  return rows > 0 && missing.length === 0;
}

/** The second order of a redrive changes nothing of the first. */
function tellKnown({ io }: DlqRun, { id, state }: Json, options: RedriveOptions): void {
  const { velocity, canary, force, credentialFile } = options;
  const given = Object.entries({ velocity, canary, force, 'credential-file': credentialFile });
  const dropped = given.filter(([, value]) => value !== undefined).map(([name]) => `--${name}`);
  const write = (line: string): void => void io.stderr.write(`${line}\n`);
  write(`the same redrive is ${state} already, with the options it began with: ${id}`);
  if (dropped.length > 0) write(`not taken: ${dropped.join(', ')}`);
  if (credentialFile !== undefined)
    write(`a credential goes to it with: holdfast dlq redrive --resume ${id} --credential-file FILE`);
  if (dropped.some((name) => name !== '--credential-file'))
    write(`the rest wants a new one: holdfast dlq redrive --cancel ${id}, then this again`);
}

function numberIn(name: 'velocity' | 'canary', given: string | undefined): Record<string, number> {
  if (given === undefined) return {};
  const value = given.trim() === '' ? Number.NaN : Number(given);
  const isAllowed = name === 'velocity' ? value > 0 && value <= 1 : Number.isInteger(value) && value >= 0;
  const allowed =
    name === 'velocity' ? 'a share of the quota above 0 and at most 1: 0.1 is a tenth' : 'a number of rows';
  if (!isAllowed) throw new DlqError(`--${name}: got ${clean(given)}, allowed is ${allowed}`, 2);
  return { [name]: value };
}

function tellPlan({ io }: DlqRun, plan: Json): void {
  const write = (line: string): void => void io.stdout.write(`${line}\n`);
  write(
    `${count(plan.rows, 'row')} meant, ${plan.run} to run: ${count(plan.creates, 'create')}, ${plan.unknown} unknown (looked for first)`,
  );
  if (plan.undetectable > 0)
    write(`nothing can show whether ${plan.undetectable} of the unknown landed: sent only with --force and their ids`);
  const passed = (['superseded', 'expired', 'skipped'] as const).filter((why) => plan[why] > 0);
  if (passed.length > 0)
    write(
      `not run: ${passed.map((why) => `${plan[why]} ${why}`).join(', ')}${plan.superseded + plan.expired > 0 ? ' (--force runs superseded and expired ones)' : ''}`,
    );
  if (plan.run > 0)
    write(
      `${count(plan.calls, 'call')} of the quota at ${plan.per_second} a second: about ${durationOf(plan.seconds)}`,
    );
}

/** Until it is over or stops; a signal ends the watching and not the redrive. */
async function follow(run: DlqRun, begun: Json): Promise<number> {
  const { io, access } = run;
  const gone = new AbortController();
  const removers = (['SIGINT', 'SIGTERM'] as const).map((signal) => io.onSignal(signal, () => gone.abort()));
  const isLive = io.stderr.isTTY === true && !run.json;
  let now = begun;
  let toldAtMs = systemClock.now();
  try {
    for (;;) {
      now = await must(access, `GET /api/redrives/${now.id}`);
      if (isLive) io.stderr.write(`\r\u001B[K${progress(now)}`);
      if (now.state !== 'running') break;
      if (!isLive && !run.json && systemClock.now() - toldAtMs >= TELL_MS) {
        toldAtMs = systemClock.now();
        io.stderr.write(`${progress(now)}\n`);
      }
      if ((await sleep(systemClock, ASK_MS, gone.signal)) === 'aborted') break;
    }
  } finally {
    for (const remove of removers) remove();
    if (isLive) io.stderr.write('\r\u001B[K');
  }
  if (now.state === 'running')
    io.stderr.write(`redrive ${now.id} goes on; see holdfast dlq redrive --status ${now.id}\n`);
  return told(run, now);
}

function progress({ rows, pending, results, why }: Json): string {
  const kept = results.dead + results.unknown;
  return `${rows - pending}/${rows}  ${results.succeeded} succeeded, ${kept} dead or unknown, ${rows - pending - results.succeeded - kept} not run${why === null ? '' : `; ${clean(why)}`}`;
}

/** What came of it. 0 when all that was meant is home, or needless. */
async function told({ io, json, access }: DlqRun, now: Json): Promise<number> {
  const { results, state } = now;
  const isFine = state === 'done' ? results.succeeded + results.superseded === now.rows : state === 'running';
  if (json) {
    io.stdout.write(jsonLine(now));
    return isFine ? 0 : 1;
  }
  const paint = paintFor(io.stdout, io.env);
  const write = (line: string): void => void io.stdout.write(`${line}\n`);
  write(`redrive ${now.id} is ${paintState(state, paint)}${now.why === null ? '' : `: ${clean(now.why)}`}`);
  write(`${count(now.rows, 'row')}: ${resultsOf(now)}`);
  if (state === 'paused') {
    const again = now.own_credential ? ' --credential-file FILE' : '';
    write(`put the cause right, then: holdfast dlq redrive --resume ${now.id}${again}`);
  } else if (!isFine) {
    if (results.dead + results.unknown > 0) write(`what failed again: holdfast dlq groups --redrive ${now.id}`);
    if (results.expired > 0) write('what expired is old news to customers: --force sends it, discard forgets it');
    for (const line of results.skipped > 0 ? await skips(access, now.id) : []) write(line);
  }
  return isFine ? 0 : 1;
}

function resultsOf({ results, pending }: Json): string {
  const parts = Object.entries(results as Readonly<Record<string, number>>).filter(([, n]) => n !== 0);
  const left = pending === 0 ? [] : [`${pending} not tried yet`];
  return [...parts.map(([result, n]) => `${n} ${result}`), ...left].join(', ');
}

/** Why rows were skipped: a line per reason, with ids of the first. */
async function skips(access: DlqAccess, id: string): Promise<string[]> {
  const reasons = new Map<string, string[]>();
  for (let after = '0'; ; ) {
    const { rows, next } = await must(access, `GET /api/redrives/${id}/rows?after=${after}&limit=${ROWS_AT_ONCE}`);
    for (const row of rows) {
      if (row.result === 'skipped') reasons.set(row.detail, [...(reasons.get(row.detail) ?? []), row.id]);
    }
    if (next === null) break;
    after = next;
  }
  return [...reasons].map(([why, ids]) => {
    const more = ids.length > SAMPLES ? ' …' : '';
    return `${ids.length} skipped and left as they are, ${clean(why)}: ${ids.slice(0, SAMPLES).map(clean).join(' ')}${more}`;
  });
}

async function listAll(run: DlqRun): Promise<number> {
  const { redrives } = await must(run.access, 'GET /api/redrives');
  const { stdout, env } = run.io;
  if (run.json) {
    stdout.write(jsonLine(redrives));
    return 0;
  }
  const paint = paintFor(stdout, env);
  const columns = [
    { head: 'REDRIVE', of: ({ id }: Json) => id },
    { head: 'STATE', of: ({ state }: Json) => state, paint: (text: string) => paintState(text, paint) },
    { head: 'STARTED', of: ({ created_at }: Json) => created_at },
    { head: 'ROWS', of: ({ rows }: Json) => String(rows), right: true },
    { head: 'RESULTS', of: resultsOf, flexible: true },
    { head: 'WHY', of: ({ why }: Json) => why ?? '', flexible: true },
  ];
  for (const line of tableOf(columns, redrives as Json[], stdout.columns, paint)) stdout.write(`${line}\n`);
  return 0;
}
