/**
 * `npm run proof:clients [-- --leads N] [--seed N] [--write]`: the official Node SDK makes leads and a note for each against
 * the same bad day, four times: at its defaults, with its retries off, with a retry library around it, and behind Holdfast.
 * What each believes at the end is compared with what the simulator has in its ledger.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ExponentialBackoff, handleAll, retry } from 'cockatiel';
import { IntercomClient } from 'intercom-client';
import type { RuleInput } from '../../src/simulator/scenario.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { startTestInstance } from '../support/instance.ts';
import { commit } from './report.ts';

const { values } = parseArgs({
  options: {
    leads: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    write: { type: 'boolean', default: false },
  },
});
const [leads, seed] = [Number(values.leads), Number(values.seed)];
const CONCURRENCY = 16;
const ADMIN = '814860';

/** One create in ten meets a fault. Half of the faults lose the answer of an effect that took place. */
const BAD_DAY: readonly RuleInput[] = ['POST /contacts', 'POST /contacts/{id}/notes'].flatMap((match) => [
  { match, probability: 0.03, fault: { kind: 'reset', effect: 'applied' } },
  { match, probability: 0.02, fault: { kind: 'status', status: 502, body: 'html', effect: 'applied' } },
  { match, probability: 0.02, fault: { kind: 'reset', effect: 'none' } },
  { match, probability: 0.03, fault: { kind: 'status', status: 503 } },
]);

/** Makes one call until its caller has an answer, or rejects. */
type Call = <T>(make: () => Promise<T>) => Promise<T>;

interface Contestant {
  readonly name: string;
  readonly maxRetries: number | undefined;
  readonly behindHoldfast: boolean;
  readonly call: Call;
}

const once: Call = (make) => make();
const library = retry(handleAll, { maxAttempts: 5, backoff: new ExponentialBackoff({ initialDelay: 200 }) });

const CONTESTANTS: readonly Contestant[] = [
  { name: 'SDK at its defaults', maxRetries: undefined, behindHoldfast: false, call: once },
  { name: 'SDK, retries off', maxRetries: 0, behindHoldfast: false, call: once },
  {
    name: 'SDK, a retry library (cockatiel) around it',
    maxRetries: 0,
    behindHoldfast: false,
    call: (make) => library.execute(make),
  },
  { name: 'SDK, retries off, behind Holdfast', maxRetries: 0, behindHoldfast: true, call: once },
];

interface Result {
  readonly name: string;
  /** Creates whose caller got the object. */
  readonly confirmed: number;
  /** Creates that ended with an error for their caller. */
  readonly errors: number;
  /** Of these, those that took effect. */
  readonly errorsApplied: number;
  readonly duplicates: number;
  readonly calls: number;
  readonly seconds: number;
}

async function measure({ name, maxRetries, behindHoldfast, call }: Contestant): Promise<Result> {
  const simulator = await startSimulator({ port: 0, seed, scenario: { quota: { limit: 100_000 }, rules: BAD_DAY } });
  const data = mkdtempSync(path.join(tmpdir(), 'holdfast-clients-'));
  const holdfast = behindHoldfast ? await startTestInstance(simulator.url, 'version: 1\n', data) : null;
  const client = new IntercomClient({
    token: 'a-token',
    baseUrl: holdfast?.url ?? simulator.url,
    ...(maxRetries === undefined ? {} : { maxRetries }),
    // As README says; Holdfast ends every call before.
    ...(behindHoldfast ? { timeoutInSeconds: 130 } : {}),
  });
  let [confirmed, errors] = [0, 0];
  const failed: string[] = [];
  const counted = async <T>(key: string, make: () => Promise<T>): Promise<T | null> => {
    try {
      const made = await call(make);
      confirmed += 1;
      return made;
    } catch {
      errors += 1;
      failed.push(key);
      return null;
    }
  };
  const started = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let n = next++; n < leads; n = next++) {
      const email = `lead-${n}@example.com`;
      const lead = await counted(email, () => client.contacts.create({ role: 'lead', email }));
      const body = `Met lead ${n}`;
      if (lead?.id !== undefined) {
        const contact_id = lead.id;
        await counted(body, () => client.notes.create({ contact_id, body, admin_id: ADMIN }));
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  const seconds = (performance.now() - started) / 1000;
  const errorsApplied = failed.filter((key) => isApplied(simulator, key)).length;
  const { duplicates, operations } = simulator.stats();
  const calls = Object.values(operations).reduce((sum, { requests }) => sum + requests, 0);
  await holdfast?.stop();
  await simulator.close();
  rmSync(data, { recursive: true, force: true });
  return { name, confirmed, errors, errorsApplied, duplicates, calls, seconds };
}

/** Natural keys hold the address of a lead and the text of a note. */
function isApplied(simulator: Simulator, key: string): boolean {
  return simulator.effects().some((effect) => effect.key.endsWith(key));
}

const results: Result[] = [];
for (const contestant of CONTESTANTS) results.push(await measure(contestant));
const text = [
  '# npm run proof:clients',
  '',
  `${new Date().toISOString().slice(0, 10)}, commit ${commit()}, seed ${seed}, Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model}.`,
  `intercom-client 7.0.3, cockatiel 4.0.0 (5 retries on everything). ${leads} leads and a note for each lead that the client has; one create in ten`,
  'meets a fault, half of these after the effect (reset, 502) and half before it (reset, 503).',
  '',
  '| client | has the object | got an error | of these took effect | created twice | calls | seconds |',
  '|---|---|---|---|---|---|---|',
  ...results.map(
    ({ name, confirmed, errors, errorsApplied, duplicates, calls, seconds }) =>
      `| ${name} | ${confirmed} | ${errors} | ${errorsApplied} | ${duplicates} | ${calls} | ${seconds.toFixed(1)} |`,
  ),
  '',
].join('\n');
process.stdout.write(text);
if (values.write) writeFileSync(path.join(import.meta.dirname, 'clients.md'), text);
const behind = results.at(-1)!;
process.exit(behind.duplicates === 0 && behind.errorsApplied === 0 ? 0 : 1);
