import { z } from 'zod';

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

const faultOf = (input: unknown): string =>
  `not a duration: ${JSON.stringify(input)}; write a number and ms, s, m or h, such as "20s"`;

const text = z.string({ error: ({ input }) => (input === undefined ? undefined : faultOf(input)) });

/** A duration as scenarios write it (`250ms`, `2s`, `1.5m`, `1h`), in ms. */
export const duration = text.transform((given, context) => {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(given);
  if (match === null) {
    context.addIssue({ code: 'custom', message: faultOf(given) });
    return z.NEVER;
  }
  return Number(match[1]) * (UNITS_MS[match[2] as string] as number);
});

/** As `duration`, but may be negative: an offset of a clock. */
export const signedDuration = text.transform((given, context) => {
  const negative = given.startsWith('-');
  const parsed = duration.safeParse(negative || given.startsWith('+') ? given.slice(1) : given);
  if (!parsed.success) {
    context.addIssue({ code: 'custom', message: faultOf(given) });
    return z.NEVER;
  }
  return negative ? -parsed.data : parsed.data;
});
