import { z } from 'zod';

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration as scenarios write it (`250ms`, `2s`, `1.5m`, `1h`), in ms. */
export const duration = z.string().transform((text, context) => {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  if (match === null) {
    context.addIssue({ code: 'custom', message: `not a duration: "${text}"; write a number and ms, s, m or h` });
    return z.NEVER;
  }
  return Number(match[1]) * (UNITS_MS[match[2] as string] as number);
});

/** As `duration`, but may be negative: an offset of a clock. */
export const signedDuration = z.string().transform((text, context) => {
  const negative = text.startsWith('-');
  const parsed = duration.safeParse(negative || text.startsWith('+') ? text.slice(1) : text);
  if (!parsed.success) {
    context.addIssue({ code: 'custom', message: parsed.error.issues[0]?.message ?? 'not a duration' });
    return z.NEVER;
  }
  return negative ? -parsed.data : parsed.data;
});
