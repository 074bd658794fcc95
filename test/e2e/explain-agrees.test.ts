/** `explain` and `serve` must never disagree: 1,000 random answers, through the command and through the proxy. */

import { Agent, request } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { explain } from '../../src/commands/explain.ts';
import type { Settings } from '../../src/core/settings.ts';
import type { Verdict } from '../../src/core/verdict.ts';
import { seededRandom } from '../../src/ops/seeded-random.ts';
import { FastClock } from '../faults/fast-clock.ts';
import { dataFolder } from '../support/data-folder.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { RequestReader } from '../support/request-reader.ts';
import { answerBytes, ScriptedUpstream } from '../support/scripted-upstream.ts';
import { type Case, randomCase } from './random-answers.ts';

const CASES = 1000;
const AT_ONCE = 16;
const SEED = 20_261_122;

// One retry shows whether there would be any. Waits of a second are kept, those of an hour are not. What depends on the
// calls before, and not on the answer, is kept out: quotas, pauses, and breakers.
const YAML = `version: 1
log: { level: debug }
defaults:
  retry: { max_retries: 1, base_delay: 1ms, max_delay: 1ms, max_wait: 2s }
  retry_budget: { floor_per_second: 10000 }
  pacing: { enabled: false }
  breaker: { last: 1000, min_requests: 1000, failure_ratio: 1 }
`;

/** What `explain --json` prints. */
interface Explained {
  readonly endpoint: string;
  readonly class: string;
  readonly answers: readonly {
    readonly after_unknown: boolean;
    readonly rule: string | null;
    readonly class: string;
    readonly verdict: Verdict;
    readonly retry: { readonly wait_ms: readonly [number, number] } | null;
    readonly withheld: string | null;
    readonly caller: { readonly status: number; readonly code: string | null };
  }[];
}

/** What the proxy did, from its answer and its log. */
interface Done {
  readonly status: number;
  readonly code: string | null;
  readonly endpoint: string;
  readonly withheld: string | null;
  readonly attempts: readonly {
    readonly verdict: string;
    readonly reason: string;
    readonly effect: string;
    readonly waitedMs: number;
  }[];
}

let upstream: ScriptedUpstream;
let holdfast: TestInstance;
let settings: Settings;
let cases: readonly Case[];
// Looks for lost creates take their time, and every one of them meets the same answer and fails.
const SPEED = 20;
const clock = new FastClock(SPEED);
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });

beforeAll(async () => {
  upstream = await ScriptedUpstream.start();
  holdfast = await startTestInstance(upstream.origin, YAML, dataFolder(), clock);
  settings = holdfast.instance.settings();
  const random = seededRandom(SEED);
  cases = Array.from({ length: CASES }, () => randomCase(random, settings.policies));
  upstream.otherwise = {
    at: 'request',
    act: (peer, seen) => {
      const { status, headers, body } = cases[Number(RequestReader.field(seen!, 'x-case'))]!;
      peer.write(answerBytes({ status, headers, body }));
    },
  };
});

afterAll(async () => {
  agent.destroy();
  await holdfast.stop();
  await upstream.close();
});

it('says the rule, class, effect, repeats and answer that the proxy then shows, for 1,000 random answers', async () => {
  const done = await throughProxy();
  const disagreements: string[] = [];
  const seen = { retried: 0, afterUnknown: 0, byRule: 0, byTable: 0, withheld: new Set<string>(), own: 0 };
  for (const [n, each] of cases.entries()) {
    const said = await throughExplain(each);
    for (const problem of compare(said, done[n]!)) {
      disagreements.push(`${n} ${problem}\n  ${JSON.stringify(each)}\n  ${JSON.stringify(done[n])}`);
    }
    const [first] = said.answers;
    seen[first!.rule === null ? 'byTable' : 'byRule'] += 1;
    if (done[n]!.attempts.length > 1) seen.retried += 1;
    if (done[n]!.attempts.length > 1 && first!.verdict.effect !== 'none') seen.afterUnknown += 1;
    if (done[n]!.withheld !== null) seen.withheld.add(done[n]!.withheld);
    if (done[n]!.code !== null) seen.own += 1;
  }
  expect(disagreements.slice(0, 5).join('\n')).toBe('');
  expect(disagreements).toHaveLength(0);
  // The cases were worth it.
  expect(seen.retried).toBeGreaterThan(100);
  expect(seen.afterUnknown).toBeGreaterThan(30);
  expect(seen.byRule).toBeGreaterThan(100);
  expect(seen.byTable).toBeGreaterThan(100);
  expect(seen.own).toBeGreaterThan(50);
  expect([...seen.withheld]).toEqual(expect.arrayContaining(['not_repeatable', 'max_retries', 'max_wait']));
}, 120_000);

function* compare(said: Explained, done: Done): Generator<string> {
  const [first] = said.answers;
  const [attempt, ...later] = done.attempts;
  if (first === undefined || attempt === undefined) return yield 'nothing was said, or nothing done';
  if (said.endpoint !== done.endpoint) yield `endpoint: ${said.endpoint}, ${done.endpoint}`;
  yield* compareVerdicts('attempt 1', first, attempt);
  const retried = later.length > 0;
  if ((first.retry !== null) !== retried) yield `retry: ${JSON.stringify(first.retry)}, ${retried}`;
  if (!retried && first.withheld !== done.withheld) yield `withheld: ${first.withheld}, ${done.withheld}`;
  const [leastMs = 0, mostMs = 0] = first.retry?.wait_ms ?? [];
  const waitedMs = later[0]?.waitedMs ?? 0;
  if (retried && (waitedMs < leastMs - 1 || waitedMs > mostMs + 1000 * SPEED)) {
    yield `wait: ${leastMs} to ${mostMs}, ${waitedMs}`;
  }
  if (!first.verdict.repeatable && retried) yield 'repeated what it calls not repeatable';
  const last = said.answers[retried && attempt.effect !== 'none' ? 1 : 0]!;
  if (retried) yield* compareVerdicts('attempt 2', last, later[0]!);
  if (last.caller.status !== done.status || last.caller.code !== done.code) {
    yield `caller: ${last.caller.status} ${last.caller.code}, ${done.status} ${done.code}`;
  }
}

function* compareVerdicts(
  which: string,
  { verdict, rule }: Explained['answers'][number],
  attempt: Done['attempts'][number],
): Generator<string> {
  if (verdict.class !== attempt.verdict) yield `${which} verdict: ${verdict.class}, ${attempt.verdict}`;
  if (verdict.effect !== attempt.effect) yield `${which} effect: ${verdict.effect}, ${attempt.effect}`;
  if (verdict.reason !== attempt.reason) yield `${which} reason: ${verdict.reason}, ${attempt.reason}`;
  if (rule !== null && !reasonsAt(rule).has(attempt.reason)) {
    yield `${which} rule: ${rule} gives ${[...reasonsAt(rule)].join()}, not ${attempt.reason}`;
  }
}

/** The reasons of the error entries that stand at an origin. */
function reasonsAt(origin: string): Set<string> {
  const rules = settings.policies.flatMap(({ errors }) => errors).filter((rule) => rule.origin === origin);
  return new Set(rules.map(({ reason }) => reason));
}

async function throughExplain({ method, target, requestBody, status, headers, body }: Case): Promise<Explained> {
  const files = new Map([
    ['holdfast.yaml', YAML],
    ['answer', body],
    ['request', requestBody ?? ''],
  ]);
  let printed = '';
  const print = (text: string): void => void (printed += text);
  const fields = headers.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${headers[i + 1]}`] : []));
  const given = requestBody === null ? {} : { requestBody: 'request' };
  const options = { config: 'holdfast.yaml', json: true, status, header: fields, body: 'answer', ...given };
  const io = {
    env: {},
    stdout: { write: print },
    stderr: { write: print },
    readFile: (file: string) => files.get(file)!,
  };
  if ((await explain(method, target, options, io, clock)) !== 0) throw new Error(printed);
  return JSON.parse(printed) as Explained;
}

/** All cases, `AT_ONCE` at once; every one with a token of its own, so that none waits for another's quota. */
async function throughProxy(): Promise<Done[]> {
  const answers = new Map<number, { status: number; body: string; id: string }>();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < cases.length) {
      const n = next++;
      answers.set(n, await send(n, cases[n]!));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const byId = Map.groupBy(holdfast.log, ({ id }) => id);
  return cases.map((_, n) => {
    const { status, id } = answers.get(n)!;
    const lines = byId.get(id) ?? [];
    const exchange = lines.find(({ event }) => event === 'exchange') ?? {};
    return {
      status,
      code: (exchange['code'] as string | undefined) ?? null,
      endpoint: exchange['endpoint'] as string,
      withheld: (exchange['withheld'] as string | undefined) ?? null,
      attempts: lines.filter(({ event }) => event === 'attempt') as unknown as Done['attempts'],
    };
  });
}

/** `Holdfast-Context` finds the log lines of a case again. */
function send(n: number, { method, target, requestBody }: Case): Promise<{ status: number; body: string; id: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(target, holdfast.url),
      {
        agent,
        method,
        headers: {
          Authorization: `Bearer token-${n}`,
          'X-Case': String(n),
          'Holdfast-Context': `case="${n}"`,
          ...(requestBody === null ? {} : { 'Content-Length': Buffer.byteLength(requestBody) }),
        },
      },
      (incoming) => {
        let body = '';
        incoming.on('data', (chunk: Buffer) => void (body += chunk.toString()));
        incoming.on('error', reject);
        incoming.on('end', () => {
          const line = holdfast.log.findLast((each) => (each['context'] as { case?: string })?.case === String(n));
          resolve({ status: incoming.statusCode as number, body, id: line?.['id'] as string });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(requestBody ?? '');
  });
}
