import { sleep, systemClock } from '../ops/clock.ts';
import { DlqError, must, type Reply, secretIn } from './dlq-access.ts';
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
/** What a redrive is when somebody has steered it. */
const STEERED = { pause: 'paused', resume: 'running', cancel: 'cancelled' } as const;

/** `dlq redrive`: starts one and follows it, or steers one. */
export async function redrive(run: DlqRun, ids: string[], options: RedriveOptions): Promise<number> {
  const { status, pause, resume, cancel } = options;
  if (status === true) return listAll(run);
  if (typeof status === 'string') {
    told(run, await must(run.access, `GET /api/redrives/${encodeURIComponent(status)}`));
    return 0;
  }
  const credential =
    options.credentialFile === undefined ? {} : { credential: secretIn(options.credentialFile, run.io) };
  for (const [verb, id] of Object.entries({ pause, resume, cancel })) {
    if (id === undefined) continue;
    const turned = await must(run.access, `POST /api/redrives/${encodeURIComponent(id)}/${verb}`, credential);
    if (verb === 'resume' && options.detach !== true) return follow(run, turned);
    told(run, turned);
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
    return 0;
  }
  const started = await must(run.access, 'POST /api/redrives', order);
  if (!run.json) tellPlan(run, started.plan);
  if (started.redrive === null) {
    if (run.json) run.io.stdout.write(jsonLine(null));
    return 0;
  }
  if (started.known)
    run.io.stderr.write(`the same redrive is under way, with the options it began with: ${started.redrive.id}\n`);
  return options.detach === true ? told(run, started.redrive) : follow(run, started.redrive);
}

function numberIn(name: 'velocity' | 'canary', given: string | undefined): Record<string, number> {
  if (given === undefined) return {};
  const value = Number(given);
  if (!Number.isFinite(value)) throw new DlqError(`--${name}: got ${given}, allowed is a number`, 2);
  return { [name]: value };
}

function tellPlan({ io }: DlqRun, plan: Json): void {
  const write = (line: string): void => void io.stdout.write(`${line}\n`);
  write(
    `${count(plan.rows, 'row')} meant, ${plan.run} to run: ${count(plan.creates, 'create')}, ${plan.unknown} unknown (looked for first)`,
  );
  const passed = (['superseded', 'expired', 'skipped'] as const).filter((why) => plan[why] > 0);
  if (passed.length > 0)
    write(
      `not run: ${passed.map((why) => `${plan[why]} ${why}`).join(', ')}${plan.superseded + plan.expired > 0 ? ' (--force runs superseded and expired ones)' : ''}`,
    );
  if (plan.missing.length > 0) write(`no dead letters: ${plan.missing.map(clean).join(' ')}`);
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
  if (now.state === 'running') io.stderr.write(`redrive ${now.id} goes on; see dlq redrive --status ${now.id}\n`);
  return told(run, now);
}

function progress({ rows, pending, results, why }: Json): string {
  const kept = results.dead + results.unknown;
  return `${rows - pending}/${rows}  ${results.succeeded} succeeded, ${kept} dead or unknown, ${rows - pending - results.succeeded - kept} not run${why === null ? '' : `; ${clean(why)}`}`;
}

/** What came of it. 0 when all that was meant is home, or needless. */
function told({ io, json }: DlqRun, now: Json): number {
  const { results, state } = now;
  const isFine = state === 'done' ? results.succeeded + results.superseded === now.rows : state === 'running';
  if (json) {
    io.stdout.write(jsonLine(now));
    return isFine ? 0 : 1;
  }
  const paint = paintFor(io.stdout, io.env);
  const write = (line: string): void => void io.stdout.write(`${line}\n`);
  write(`redrive ${now.id} is ${paintState(state, paint)}${now.why === null ? '' : `: ${clean(now.why)}`}`);
  const parts = Object.entries(results as Readonly<Record<string, number>>).filter(([, n]) => n !== 0);
  const left = now.pending === 0 ? [] : [`${now.pending} not tried yet`];
  write(`${count(now.rows, 'row')}: ${[...parts.map(([result, n]) => `${n} ${result}`), ...left].join(', ')}`);
  if (state === 'paused') {
    const again = now.own_credential ? ' --credential-file FILE' : '';
    write(`put the cause right, then: holdfast dlq redrive --resume ${now.id}${again}`);
  } else if (!isFine) {
    if (results.dead + results.unknown > 0) write(`what failed again: holdfast dlq groups --redrive ${now.id}`);
    if (results.expired > 0) write('what expired is old news to customers: --force sends it, discard forgets it');
    if (results.skipped > 0) write(`why rows were skipped: GET /api/redrives/${now.id}/rows on the admin API`);
  }
  return isFine ? 0 : 1;
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
    { head: 'SUCCEEDED', of: ({ results }: Json) => String(results.succeeded), right: true },
    { head: 'DEAD', of: ({ results }: Json) => String(results.dead), right: true },
    { head: 'UNKNOWN', of: ({ results }: Json) => String(results.unknown), right: true },
    { head: 'PENDING', of: ({ pending }: Json) => String(pending), right: true },
    { head: 'WHY', of: ({ why }: Json) => why ?? '', flexible: true },
  ];
  for (const line of tableOf(columns, redrives as Json[], stdout.columns, paint)) stdout.write(`${line}\n`);
  return 0;
}
