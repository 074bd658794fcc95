import { type Answer, error, json } from '../base/answer.ts';
import type { Call, Json, Route } from '../base/route.ts';
import type { World } from '../base/world.ts';
import { noEntry } from './collection.ts';

/** How long a job is pending. */
const JOB_SECONDS = 30;

interface Job {
  readonly id: string;
  readonly startedAtSeconds: number;
  canceled: boolean;
}

/** A limit on pending jobs that comes as a 429, as if it were one on calls. */
interface Limit {
  readonly pendingMax: number;
  readonly message: string;
}

const CONTENT: Limit = { pendingMax: 1, message: 'Exceeded rate limit of 1 pending message data export jobs' };
const REPORTING: Limit = { pendingMax: 5, message: 'Exceeded rate limit of 5 pending reporting dataset export jobs' };

/** Exports: jobs that nothing lists, so that an id that is lost stays lost. */
export function exportRoutes(world: World): Route[] {
  const content = new Map<string, Job>();
  const reporting = new Map<string, Job>();
  return [
    {
      name: 'POST /export/content/data',
      run: (call) => enqueue(world, content, CONTENT, ['created_at_after', 'created_at_before'], call),
    },
    { name: 'GET /export/content/data/{job_identifier}', run: (call) => status(world, content, call) },
    { name: 'POST /export/cancel/{job_identifier}', run: (call) => cancel(world, content, call) },
    {
      name: 'POST /export/reporting_data/enqueue',
      run: (call) =>
        enqueue(world, reporting, REPORTING, ['dataset_id', 'attribute_ids', 'start_time', 'end_time'], call),
    },
    { name: 'GET /export/reporting_data/{job_identifier}', run: (call) => status(world, reporting, call) },
  ];
}

function isPending(world: World, job: Job): boolean {
  return !job.canceled && world.nowSeconds() - job.startedAtSeconds < JOB_SECONDS;
}

function shown(world: World, job: Job): Json {
  const name = job.canceled ? 'canceled' : isPending(world, job) ? 'pending' : 'completed';
  return { job_identifier: job.id, status: name, download_url: '', download_expires_at: '' };
}

function enqueue(world: World, jobs: Map<string, Job>, limit: Limit, required: readonly string[], call: Call): Answer {
  const missing = required.find((name) => call.body[name] === undefined);
  if (missing !== undefined) return error(call.requestId, 400, 'bad_request', `${missing} is required`);
  const pending = [...jobs.values()].filter((job) => isPending(world, job)).length;
  if (pending >= limit.pendingMax) return error(call.requestId, 429, 'rate_limit_exceeded', limit.message);
  const job: Job = { id: world.newId(), startedAtSeconds: world.nowSeconds(), canceled: false };
  jobs.set(job.id, job);
  call.effect('create', call.bodyHash, job.id);
  return json(200, shown(world, job));
}

function status(world: World, jobs: ReadonlyMap<string, Job>, call: Call): Answer {
  const job = jobs.get(call.params[0] as string);
  return job === undefined ? noEntry(call) : json(200, shown(world, job));
}

function cancel(world: World, jobs: ReadonlyMap<string, Job>, call: Call): Answer {
  const job = jobs.get(call.params[0] as string);
  if (job === undefined) return noEntry(call);
  job.canceled = true;
  call.effect('update', job.id, job.id);
  return json(200, shown(world, job));
}
