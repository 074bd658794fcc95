import { createHash } from 'node:crypto';

/** How many calls a token has. */
export interface QuotaSettings {
  /** Calls per window and token. */
  readonly limit: number;
  readonly windowMs: number;
  /** Calls per window that somebody else makes with the same quota, spread evenly over the window. */
  readonly foreign: number;
}

/** What the three X-RateLimit fields say, and whether the call is let in. */
export interface QuotaReading {
  readonly admitted: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Epoch seconds of the server's clock. */
  readonly resetSeconds: number;
}

interface Window {
  index: number;
  used: number;
}

/**
 * The windows of all tokens. They start at whole seconds but are not aligned to tens, and differ per token, as seen in
 * real traces (intercom.md §1). A call that is refused uses nothing up.
 */
export class Quota {
  readonly #settings: QuotaSettings;
  readonly #windows = new Map<string, Window>();

  constructor(settings: QuotaSettings) {
    this.#settings = settings;
  }

  /** Takes one call of the token's window at the server's time, epoch ms. */
  take(token: string, serverMs: number): QuotaReading {
    const { limit, windowMs, foreign } = this.#settings;
    const phaseMs = phaseSeconds(token, windowMs) * 1000;
    const index = Math.floor((serverMs - phaseMs) / windowMs);
    const startMs = index * windowMs + phaseMs;
    let window = this.#windows.get(token);
    if (window === undefined || window.index !== index) {
      window = { index, used: 0 };
      this.#windows.set(token, window);
    }
    const spentElsewhere = Math.floor((foreign * (serverMs - startMs)) / windowMs);
    const admitted = window.used + spentElsewhere < limit;
    if (admitted) window.used += 1;
    return {
      admitted,
      limit,
      remaining: Math.max(0, limit - window.used - spentElsewhere),
      resetSeconds: Math.ceil((startMs + windowMs) / 1000),
    };
  }
}

const phases = new Map<string, number>();

function phaseSeconds(token: string, windowMs: number): number {
  let phase = phases.get(token);
  if (phase === undefined) {
    phase = createHash('sha256').update(token).digest().readUInt16BE(0);
    if (phases.size >= 10_000) phases.clear();
    phases.set(token, phase);
  }
  return phase % Math.max(1, Math.floor(windowMs / 1000));
}
