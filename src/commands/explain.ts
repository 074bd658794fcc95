import { Command, InvalidArgumentError, Option } from 'commander';
import { formatFault, whyUnreadable } from '../config/faults.ts';
import { configFileOf, loadSettings } from '../config/load.ts';
import type { EndpointPolicy } from '../core/policy.ts';
import type { Settings } from '../core/settings.ts';
import { jsonOf } from '../layers/operation-class.ts';
import { type Clock, systemClock } from '../ops/clock.ts';
import { type Explanation, explainAnswer, FAILURES, type Scene, type WireFailureKind } from './explain-answer.ts';
import { describeRecipes, recipesAsJson } from './explain-recipes.ts';
import { describeAnswer, describeRule, rows } from './explain-text.ts';
import { describeTime } from './explain-time.ts';
import type { Io } from './io.ts';

/** What `explain` takes on its command line. */
export interface ExplainOptions {
  readonly config?: string;
  readonly status?: number;
  readonly failure?: WireFailureKind;
  readonly header?: readonly string[];
  readonly body?: string;
  readonly requestBody?: string;
  /** Rules that speak of something else are listed too. */
  readonly all?: boolean;
  readonly json?: boolean;
}

/** What `explain` uses of the process. */
export type ExplainIo = Pick<Io, 'stdout' | 'stderr' | 'env' | 'readFile'>;

/** The `explain` command; `done` receives its exit code. */
export function explainCommand(io: ExplainIo, done: (exitCode: number) => void): Command {
  return new Command('explain')
    .description('print which rule matches a request, and what would be done with an answer or a failure')
    .argument('<method>', 'of the request', methodName)
    .argument('<path>', 'of the request, with or without a query', requestPath)
    .option('--config <file>', 'configuration file (HOLDFAST_CONFIG)')
    .option('--status <n>', 'status of the answer', status)
    .addOption(new Option('--failure <kind>', 'how the attempt failed').choices(FAILURES))
    .option('--header <field>', '`Name: value` of the answer; may be given again', header)
    .option('--body <file>', 'body of the answer')
    .option('--request-body <file>', 'body of the request, for idempotent_if and guarded_by')
    .option('--all', 'list every rule that was looked at')
    .option('--json', 'print one JSON object')
    .action(async (method: string, path: string, options: ExplainOptions) =>
      done(await explain(method, path, options, io)),
    );
}

/** Exit codes: 0 fine, 1 what was asked for failed, 2 wrong usage. */
const USAGE = 2;

/** Explains; the exit code. */
export async function explain(
  method: string,
  path: string,
  options: ExplainOptions,
  io: ExplainIo,
  clock: Clock = systemClock,
): Promise<number> {
  if (options.failure !== undefined && options.failure !== 'truncated' && saysAnswer(options)) {
    io.stderr.write(
      `explain: with --failure ${options.failure} no answer came: leave --status, --header, --body out\n`,
    );
    return USAGE;
  }
  const file = configFileOf(options.config, io.env);
  const loaded = await loadSettings({ file, env: io.env, flags: {}, readFile: io.readFile });
  if (!loaded.ok) {
    for (const each of loaded.faults) io.stderr.write(`explain: ${formatFault(each)}\n`);
    return 1;
  }
  const bodies: (Buffer | null)[] = [];
  for (const name of [options.body, options.requestBody]) {
    try {
      bodies.push(name === undefined ? null : Buffer.from(io.readFile(name)));
    } catch (error) {
      io.stderr.write(`explain: ${name} cannot be read: ${whyUnreadable(error)}\n`);
      return 1;
    }
  }
  const [body = null, requestBody = null] = bodies;
  const isAsked = options.status !== undefined || options.failure !== undefined;
  const scene = isAsked ? sceneOf(loaded.settings, method, path, options, { body, requestBody, clock }) : null;
  const first = scene && (await explainAnswer(scene));
  const later =
    scene && first && (await canFollowUnknown(first, requestBody))
      ? await explainAnswer({ ...scene, afterUnknown: true })
      : null;
  const { policy, params } = loaded.settings.match(method, path);
  if (options.json === true) {
    const answers = [first, later].flatMap((each) => (each === null ? [] : [asJson(each, each === later)]));
    const { name, origin, operationClass, profile } = policy;
    const reconcile = recipesAsJson(policy);
    const shown = {
      endpoint: name,
      origin,
      params,
      class: operationClass,
      profile,
      reconcile,
      stamp: policy.stamp,
      answers,
    };
    io.stdout.write(`${JSON.stringify(shown)}\n`);
    return 0;
  }
  io.stdout.write(describePolicy(method, path, policy, params));
  if (first === null) io.stdout.write(describeRules(policy));
  else io.stdout.write(describeAnswer(titleOf(options), first, options));
  if (first !== null && later !== null && differs(first, later)) {
    io.stdout.write(describeAnswer('The same after an attempt that may have taken effect', later, options));
  }
  return 0;
}

function saysAnswer({ status: answered, header: fields, body }: ExplainOptions): boolean {
  return answered !== undefined || fields !== undefined || body !== undefined;
}

function titleOf({ status: answered, failure }: ExplainOptions): string {
  if (failure === undefined) return `Answer ${answered}`;
  return failure === 'truncated' ? `Answer ${answered ?? BEGUN}, truncated` : `Failure ${failure}`;
}

/** A read has no effect, and a create without a guard that may have taken effect is looked for before it is sent again. */
async function canFollowUnknown({ exchange }: Explanation, requestBody: Buffer | null): Promise<boolean> {
  const { policy } = exchange;
  if ((exchange.operationClass ?? policy.operationClass) === 'idempotent') return true;
  if (policy.operationClass !== 'create' || policy.guardedBy === null) return false;
  return requestBody === null || policy.guardedBy.holds(jsonOf({ kind: 'bytes', bytes: requestBody }));
}

/** The status of an answer of which only the break is known. */
const BEGUN = 200;

function sceneOf(
  settings: Settings,
  method: string,
  target: string,
  options: ExplainOptions,
  given: { body: Buffer | null; requestBody: Buffer | null; clock: Clock },
): Scene {
  const match = settings.match(method, target);
  const { status: answered = BEGUN, failure = null } = options;
  // A success without a body would be a broken one where JSON is promised; the question is about the status then.
  const isWhole = failure === null && answered < 400 && match.policy.answer.kind !== 'empty';
  const body = given.body ?? Buffer.from(isWhole ? '{}' : '');
  const headers = (options.header ?? []).flatMap((field) => {
    const colon = field.indexOf(':');
    return [field.slice(0, colon), field.slice(colon + 1).trim()];
  });
  const answer = failure === null || failure === 'truncated' ? { status: answered, headers, body } : null;
  const { requestBody, clock } = given;
  return { settings, match, method, target, requestBody, answer, failure, afterUnknown: false, clock };
}

function describePolicy(
  method: string,
  path: string,
  policy: EndpointPolicy,
  params: Readonly<Record<string, string>>,
): string {
  const { timeout, retry, idempotentIf, guardedBy, guardedForMs, stamp } = policy;
  const given = Object.entries(params).map(([name, value]) => `${name}=${value}`);
  return rows(`${method} ${path}`, [
    ['rule', `${policy.name} (${policy.origin})${given.length === 0 ? '' : `, ${given.join(', ')}`}`],
    ['class', policy.operationClass],
    ['', idempotentIf === null ? null : `idempotent when ${idempotentIf.source} (asked of --request-body)`],
    [
      '',
      guardedBy === null
        ? null
        : `guarded by the upstream${guardedForMs === null ? '' : ` for ${describeTime(guardedForMs)}`} when ${guardedBy.source} (asked of --request-body)`,
    ],
    ...describeRecipes(policy).map((line, i): [string, string] => [i === 0 ? 'reconcile' : '', line]),
    ['stamp', stamp === null ? null : `${stamp}, when the body leaves it out`],
    ['profile', policy.profile],
    ['mode', policy.mode === 'observe' ? 'observe: what follows is counted and logged, not done' : null],
    [
      'timeout',
      `connect ${describeTime(timeout.connectMs)}, attempt ${describeTime(timeout.attemptMs)}, silence ${describeTime(timeout.bodyIdleMs)}, total ${describeTime(timeout.totalMs)}`,
    ],
    [
      'retry',
      `up to ${retry.maxRetries === Infinity ? 'the deadline' : retry.maxRetries}, ${describeTime(retry.baseDelayMs)} doubling to ${describeTime(retry.maxDelayMs)}, jitter ${retry.jitter}, waits up to ${describeTime(retry.maxWaitMs)}`,
    ],
  ]);
}

function describeRules(policy: EndpointPolicy): string {
  return rows(
    'Error rules, the first that fits decides',
    policy.errors.map((rule) => ['', describeRule(rule)]),
  );
}

function differs(one: Explanation, other: Explanation): boolean {
  return essence(one) !== essence(other);
}

function essence({ outcome: { verdict }, search, reply }: Explanation): string {
  return [
    search?.request,
    verdict.class,
    verdict.reason,
    verdict.effect,
    verdict.repeatable,
    reply.status,
    reply.code,
  ].join(' ');
}

function asJson(
  { exchange, outcome, tried, decided, waitMs, decision, search, reply }: Explanation,
  afterUnknown: boolean,
) {
  return {
    after_unknown: afterUnknown,
    rule: decided ? (tried.at(-1)?.origin ?? null) : null,
    tried: tried.map(({ origin }) => origin),
    class: exchange.operationClass ?? exchange.policy.operationClass,
    verdict: outcome.verdict,
    retry: waitMs === null ? null : { wait_ms: waitMs },
    withheld: decision.retry ? null : decision.withheld,
    search:
      search === null ? null : { kind: search.kind, request: search.request, origin: search.recipe?.origin ?? null },
    caller: { status: reply.status, code: reply.code, message: reply.message },
  };
}

function methodName(text: string): string {
  if (!/^[A-Za-z]+$/.test(text)) throw new InvalidArgumentError('must be a method, such as POST');
  return text.toUpperCase();
}

function requestPath(text: string): string {
  if (!text.startsWith('/')) throw new InvalidArgumentError('must start with /');
  return text;
}

function status(text: string): number {
  const value = Number(text);
  if (!/^\d{3}$/.test(text) || value < 200) throw new InvalidArgumentError('must be a status from 200 to 999');
  return value;
}

function header(text: string, before: readonly string[] = []): string[] {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+:/.test(text)) throw new InvalidArgumentError('must be `Name: value`');
  return [...before, text];
}
