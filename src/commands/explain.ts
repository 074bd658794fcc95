import { Command, InvalidArgumentError } from 'commander';
import { formatFault } from '../config/faults.ts';
import { configFileOf, loadSettings } from '../config/load.ts';
import type { EndpointPolicy } from '../core/policy.ts';
import type { Settings } from '../core/settings.ts';
import { type Clock, systemClock } from '../ops/clock.ts';
import { type Explanation, explainAnswer, type Scene } from './explain-answer.ts';
import { describeRule, describeTime, rows } from './explain-text.ts';
import type { Io } from './io.ts';

/** What `explain` takes on its command line. */
export interface ExplainOptions {
  readonly config?: string;
  readonly status?: number;
  readonly header?: readonly string[];
  readonly body?: string;
  readonly requestBody?: string;
  readonly json?: boolean;
}

/** What `explain` uses of the process. */
export type ExplainIo = Pick<Io, 'stdout' | 'stderr' | 'env' | 'readFile'>;

/** The `explain` command; `done` receives its exit code. */
export function explainCommand(io: ExplainIo, done: (exitCode: number) => void): Command {
  return new Command('explain')
    .description('print which rule matches a request, and what would be done with an answer to it')
    .argument('<method>', 'of the request', methodName)
    .argument('<path>', 'of the request, with or without a query', requestPath)
    .option('--config <file>', 'configuration file (HOLDFAST_CONFIG)')
    .option('--status <n>', 'status of the answer', status)
    .option('--header <field>', '`Name: value` of the answer; may be given again', header, [])
    .option('--body <file>', 'body of the answer')
    .option('--request-body <file>', 'body of the request, for idempotent_if')
    .option('--json', 'print one JSON object')
    .action(async (method: string, path: string, options: ExplainOptions) =>
      done(await explain(method, path, options, io)),
    );
}

/** Explains; the exit code. */
export async function explain(
  method: string,
  path: string,
  options: ExplainOptions,
  io: ExplainIo,
  clock: Clock = systemClock,
): Promise<number> {
  const file = configFileOf(options.config, io.env);
  const loaded = await loadSettings({ file, env: io.env, flags: {}, readFile: io.readFile });
  if (!loaded.ok) {
    for (const each of loaded.faults) io.stderr.write(`explain: ${formatFault(each)}\n`);
    return 1;
  }
  let bodies: readonly (Buffer | null)[];
  try {
    bodies = [options.body, options.requestBody].map((name) =>
      name === undefined ? null : Buffer.from(io.readFile(name)),
    );
  } catch (error) {
    io.stderr.write(`explain: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
  const [body = null, requestBody = null] = bodies;
  const scenes =
    options.status === undefined ? [] : scenesOf(loaded.settings, method, path, options, { body, requestBody, clock });
  const explanations = await Promise.all(scenes.map(explainAnswer));
  const { policy, params } = loaded.settings.match(method, path);
  if (options.json === true) {
    const answers = explanations.map((each, i) => asJson(each, scenes[i]?.afterUnknown === true));
    const { name, origin, operationClass, profile } = policy;
    io.stdout.write(`${JSON.stringify({ endpoint: name, origin, params, class: operationClass, profile, answers })}\n`);
    return 0;
  }
  io.stdout.write(describePolicy(method, path, policy, params));
  const [first, later] = explanations;
  if (first === undefined) io.stdout.write(describeRules(policy));
  else io.stdout.write(describeAnswer(`Answer ${options.status}`, first));
  if (first !== undefined && later !== undefined && differs(first, later)) {
    io.stdout.write(describeAnswer('The same after an attempt that may have taken effect', later));
  }
  return 0;
}

function scenesOf(
  settings: Settings,
  method: string,
  target: string,
  options: ExplainOptions,
  given: { body: Buffer | null; requestBody: Buffer | null; clock: Clock },
): Scene[] {
  const match = settings.match(method, target);
  const answered = options.status ?? 0;
  // A success without a body would be a broken one where JSON is promised; the question is about the status then.
  const body = given.body ?? Buffer.from(answered < 400 && match.policy.answer.kind !== 'empty' ? '{}' : '');
  const headers = (options.header ?? []).flatMap((field) => {
    const colon = field.indexOf(':');
    return [field.slice(0, colon), field.slice(colon + 1).trim()];
  });
  const answer = { status: answered, headers, body };
  const { requestBody, clock } = given;
  return [false, true].map((afterUnknown) => ({
    settings,
    match,
    method,
    target,
    requestBody,
    answer,
    afterUnknown,
    clock,
  }));
}

function describePolicy(
  method: string,
  path: string,
  policy: EndpointPolicy,
  params: Readonly<Record<string, string>>,
): string {
  const { timeout, retry, idempotentIf, guardedBy } = policy;
  const given = Object.entries(params).map(([name, value]) => `${name}=${value}`);
  return rows(`${method} ${path}`, [
    ['rule', `${policy.name} (${policy.origin})${given.length === 0 ? '' : `, ${given.join(', ')}`}`],
    ['class', policy.operationClass],
    ['', idempotentIf === null ? null : `idempotent when ${idempotentIf.source} (asked of --request-body)`],
    ['', guardedBy === null ? null : `guarded by the upstream when ${guardedBy.source}`],
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

function describeAnswer(
  title: string,
  { exchange, outcome, tried, decided, waitMs, decision, reply }: Explanation,
): string {
  const { verdict } = outcome;
  const record = exchange.attempts.at(-1);
  const rules = tried.map((rule, i): [string, string] => {
    const holds = decided && i === tried.length - 1;
    return [i === 0 ? 'rules' : '', `${holds ? 'holds ' : 'no    '} ${describeRule(rule)}`];
  });
  const again =
    waitMs !== null
      ? `yes, after ${describeTime(waitMs[0])} to ${describeTime(waitMs[1])} (${decision.retry ? decision.waitReason : ''}), as the budget allows`
      : `no${decision.retry || decision.withheld === null ? `: ${verdict.class}` : `: ${decision.withheld}`}`;
  const retryAfter = reply.headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'retry-after');
  return rows(title, [
    ...rules,
    ['', decided ? null : 'none of them holds: by the table of statuses'],
    ['verdict', `${verdict.class}, reason ${verdict.reason}`],
    ['class', `${exchange.operationClass ?? exchange.policy.operationClass} for this request`],
    ['effect', verdict.effect],
    ['repeatable', verdict.repeatable ? 'yes' : 'no'],
    ['asked for', verdict.retryAfterMs === null ? null : `a wait of ${describeTime(verdict.retryAfterMs)}`],
    ['pauses', verdict.pauses === 'nothing' ? null : verdict.pauses],
    ['failure', record?.failure ?? null],
    ['sent again', again],
    [
      'caller gets',
      `${reply.status}${reply.code === null ? ' from the upstream' : ` ${reply.code}`}${retryAfter === -1 ? '' : `, Retry-After ${reply.headers[retryAfter + 1]}`}${waitMs === null ? '' : ', when no retry succeeds'}`,
    ],
  ]);
}

function differs(one: Explanation, other: Explanation): boolean {
  return essence(one) !== essence(other);
}

function essence({ outcome: { verdict }, reply }: Explanation): string {
  return [verdict.class, verdict.reason, verdict.effect, verdict.repeatable, reply.status, reply.code].join(' ');
}

function asJson({ exchange, outcome, tried, decided, waitMs, decision, reply }: Explanation, afterUnknown: boolean) {
  return {
    after_unknown: afterUnknown,
    rule: decided ? (tried.at(-1)?.origin ?? null) : null,
    tried: tried.map(({ origin }) => origin),
    class: exchange.operationClass ?? exchange.policy.operationClass,
    verdict: outcome.verdict,
    retry: waitMs === null ? null : { wait_ms: waitMs },
    withheld: decision.retry ? null : decision.withheld,
    caller: { status: reply.status, code: reply.code },
  };
}

function methodName(text: string): string {
  if (!/^[A-Z]+$/.test(text)) throw new InvalidArgumentError('must be a method in capitals, such as POST');
  return text;
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

function header(text: string, before: readonly string[]): string[] {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+:/.test(text)) throw new InvalidArgumentError('must be `Name: value`');
  return [...before, text];
}
