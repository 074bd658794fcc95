/**
 * Tells the targets of `notify` what an operator has to hear of. Events come in by one function call that counts and
 * returns; once a second each target is asked what is due, and what is due is posted from here, by a way of its own and
 * never through the proxy's layers: an alarm about an exhausted quota must not wait for that quota. Whatever a webhook
 * does (hang, reset, 500) costs a bounded queue of messages and a line in the log.
 */

import { type OperatorEvent, Watch } from '../core/notify.ts';
import type { Notice } from '../core/notify-notice.ts';
import type { NotifyTarget, Settings } from '../core/settings.ts';
import { type Clock, sleep } from '../ops/clock.ts';
import type { Events } from '../ops/events.ts';
import type { Random } from '../ops/random.ts';
import { createPoster, type Poster } from './notify-post.ts';

const LOOK_EVERY_MS = 1000;
const QUEUED_MAX = 20;
const RETRY_DELAYS_MS = [1000, 5000];

/** What the job works on. */
export interface NotifyParts {
  readonly settings: () => Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: Events;
  /** Which Holdfast speaks: the name of its machine or pod. */
  readonly instance: string;
}

/** The job. */
export interface NotifyJob {
  /** For `Events.listen`: neither waits nor throws. */
  readonly take: (event: OperatorEvent) => void;
  /** Tells until the signal is aborted; what is under way then is given up. Never rejects. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** Creates the job; nothing is told before `run`. */
export function createNotify(parts: NotifyParts): NotifyJob {
  const board = new Board(parts);
  return { take: (event) => board.take(event), run: (signal) => board.run(signal) };
}

/** The targets in force. A reload that leaves a target as it was leaves what it counts. */
class Board {
  readonly #parts: NotifyParts;
  #configured: Settings['notify'] = [];
  #desks: Desk[] = [];

  constructor(parts: NotifyParts) {
    this.#parts = parts;
  }

  take(event: OperatorEvent): void {
    this.#follow();
    if (this.#desks.length === 0) return;
    const nowMs = this.#parts.clock.now();
    for (const desk of this.#desks) desk.watch.note(event, nowMs);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    while ((await sleep(clock, LOOK_EVERY_MS, signal)) === 'slept') {
      this.#follow();
      for (const desk of this.#desks) desk.look(clock.now(), signal);
    }
    await Promise.all(this.#desks.map((desk) => desk.close()));
  }

  #follow(): void {
    const { notify } = this.#parts.settings();
    if (notify === this.#configured) return;
    this.#configured = notify;
    const former = this.#desks;
    this.#desks = notify.map((target) => former.find((desk) => desk.serves(target)) ?? new Desk(this.#parts, target));
    for (const desk of former) if (!this.#desks.includes(desk)) void desk.close();
  }
}

/** One target: what it is to be told, and what still has to go out to it, in order. */
class Desk {
  readonly watch: Watch;
  readonly #parts: NotifyParts;
  readonly #target: NotifyTarget;
  readonly #post: Poster;
  readonly #queue: Notice[] = [];
  #sending: Promise<void> | null = null;
  #closed = false;

  constructor(parts: NotifyParts, target: NotifyTarget) {
    this.#parts = parts;
    this.#target = target;
    this.watch = new Watch(target);
    this.#post = createPoster(target, parts.instance, parts.clock);
  }

  serves(target: NotifyTarget): boolean {
    return identityOf(target) === identityOf(this.#target);
  }

  look(nowMs: number, signal: AbortSignal): void {
    for (const notice of this.watch.due(nowMs)) {
      if (this.#queue.length >= QUEUED_MAX) this.#lost(notice, 'dropped', 'too many wait for the webhook');
      else this.#queue.push(notice);
    }
    if (this.#queue.length === 0) return;
    this.#sending ??= this.#send(signal).finally(() => {
      this.#sending = null;
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#post.close();
    await this.#sending;
  }

  async #send(signal: AbortSignal): Promise<void> {
    const { clock, random, events } = this.#parts;
    for (;;) {
      const notice = this.#queue.shift();
      if (notice === undefined) return;
      if (this.#closed || signal.aborted) {
        this.#lost(notice, 'dropped', 'Holdfast stops, or the target is gone');
        continue;
      }
      for (let attempt = 0; ; attempt += 1) {
        const fault = await this.#post.send(notice, signal);
        if (fault === null) {
          events.notified(this.#target.name, notice.topic, 'sent', null);
          break;
        }
        const delayMs = fault.passing ? RETRY_DELAYS_MS[attempt] : undefined;
        const waitMs = delayMs === undefined ? null : Math.max(delayMs * (0.5 + random() / 2), fault.retryAfterMs);
        const goesOn = waitMs !== null && !this.#closed && (await sleep(clock, waitMs, signal)) === 'slept';
        if (!goesOn) {
          this.#lost(notice, 'failed', fault.why);
          break;
        }
      }
    }
  }

  #lost({ topic }: Notice, result: 'failed' | 'dropped', why: string): void {
    this.#parts.events.notified(this.#target.name, topic, result, why);
  }
}

function identityOf({ on, ...target }: NotifyTarget): string {
  return JSON.stringify([target, [...on]]);
}
