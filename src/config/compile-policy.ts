import { createHash } from 'node:crypto';
import type { EndpointPolicy, Limits } from '../core/policy.ts';
import type { DeadLetterSettings, RedriveSettings } from '../core/settings.ts';
import { createExpression } from './conditions.ts';
import type { Filled } from './overlay.ts';
import type { ConfigFile, PolicySections } from './schema.ts';
import { parseDuration, parseSize } from './units.ts';

/** The parts of a policy that come from its sections. */
export type CompiledSections = Pick<
  EndpointPolicy,
  'timeout' | 'retry' | 'retryBudget' | 'breaker' | 'pacing' | 'idempotency' | 'deadLetter'
>;

/** Compiles sections in which every default is filled in: one line per key. */
export function compileSections(sections: Filled<PolicySections>): CompiledSections {
  const { timeout, retry, retry_budget: budget, breaker, pacing, idempotency, dead_letter: deadLetter } = sections;
  return {
    timeout: {
      connectMs: ms(timeout.connect),
      attemptMs: ms(timeout.attempt),
      bodyIdleMs: ms(timeout.body_idle),
      totalMs: ms(timeout.total),
    },
    retry: {
      maxRetries: retry.max_retries === 'unlimited' ? Infinity : retry.max_retries,
      baseDelayMs: ms(retry.base_delay),
      maxDelayMs: ms(retry.max_delay),
      jitter: retry.jitter,
      maxWaitMs: ms(retry.max_wait),
    },
    retryBudget: { ratio: budget.ratio, windowMs: ms(budget.window), floorPerSecond: budget.floor_per_second },
    breaker: {
      failureRatio: breaker.failure_ratio,
      minRequests: breaker.min_requests,
      last: breaker.last,
      windowMs: ms(breaker.window),
      openForMs: ms(breaker.open_for),
      maxOpenForMs: ms(breaker.max_open_for),
      halfOpenProbes: breaker.half_open_probes,
      whenOpen: breaker.when_open,
      maxWaitMs: optional(breaker.max_wait, ms),
    },
    pacing: { enabled: pacing.enabled, maxWaitMs: ms(pacing.max_wait), reserve: pacing.reserve },
    idempotency: {
      ttlMs: ms(idempotency.ttl),
      waitMs: ms(idempotency.wait),
      holdMs: ms(idempotency.hold),
      require: idempotency.require,
      derive: optional(idempotency.derive as readonly string[] | null | undefined, (sources) =>
        sources.map(createExpression),
      ),
    },
    deadLetter: { on: new Set(deadLetter.on), writesOnly: deadLetter.writes_only },
  };
}

/** What of a breaker contradicts itself, as far as the section at hand sets it: key, what is wrong, what is allowed. */
export function breakerFaults(
  written: NonNullable<PolicySections['breaker']>,
  { minRequests, last, openForMs, maxOpenForMs, whenOpen }: CompiledSections['breaker'],
): [key: string, message: string, allowed: string][] {
  const faults: [string, string, string][] = [];
  if ((written.min_requests ?? written.last) && minRequests > last) {
    faults.push(['min_requests', 'is more than `last`: it would never open', `at most ${last}, or a larger \`last\``]);
  }
  if ((written.open_for ?? written.max_open_for) && whenOpen === 'fail' && openForMs > maxOpenForMs) {
    faults.push(['open_for', 'is longer than max_open_for', 'a shorter one, or a longer max_open_for']);
  }
  return faults;
}

/** Compiles the limits of the process. */
export function compileLimits(limits: Filled<NonNullable<ConfigFile['limits']>>): Limits {
  return {
    inFlight: limits.in_flight,
    waiting: limits.waiting,
    perEndpoint: optional(limits.per_endpoint, Number),
    requestBodyBytes: bytes(limits.request_body),
    bufferedBytes: bytes(limits.buffered),
    repeatableBodyBytes: bytes(limits.repeatable_body),
    errorBodyBytes: bytes(limits.error_body),
    storedAnswerBytes: bytes(limits.stored_answer),
  };
}

/** `Filled` knows no keys without a default. */
/** Compiles what is given; null for nothing. */
export function optional<T, R>(value: T | null | undefined, compile: (value: T) => R): R | null {
  return value === null || value === undefined ? null : compile(value);
}

/** Compiles what holds for all dead letters. */
export function compileDeadLetters(written: Filled<NonNullable<ConfigFile['dead_letters']>>): DeadLetterSettings {
  return {
    retainMs: ms(written.retain),
    maxEntries: written.max_entries,
    maxBytes: bytes(written.max_bytes),
    autoRedrive: written.auto_redrive,
  };
}

/** Compiles what holds for redrives that say nothing else. */
export function compileRedrive(written: Filled<NonNullable<ConfigFile['redrive']>>): RedriveSettings {
  return { velocity: written.velocity, maxAgeMs: ms(written.max_age) };
}

/** A duration that validation has passed, in ms. */
export function ms(text: string): number {
  return passed(parseDuration(text), text);
}

function bytes(text: string): number {
  return passed(parseSize(text), text);
}

function passed(value: number | null, text: string): number {
  if (value === null) throw new TypeError(`validation let ${text} pass`);
  return value;
}

/** SHA-256 over values, the first 12 hex digits. */
export function hashOf(...values: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(values)).digest('hex').slice(0, 12);
}
