import { z } from 'zod';
import { delay } from './delay.ts';
import { drip } from './drip.ts';
import { hang } from './hang.ts';
import { invalid } from './invalid.ts';
import { empty, html } from './page.ts';
import { rateFields } from './rate-fields.ts';
import { refuse } from './refuse.ts';
import { reset } from './reset.ts';
import { stall } from './stall.ts';
import { status } from './status.ts';
import { throttle } from './throttle.ts';
import { truncated } from './truncated.ts';

const byKind = z.discriminatedUnion('kind', [
  refuse,
  hang,
  reset,
  status,
  invalid,
  truncated,
  stall,
  drip,
  html,
  empty,
  throttle,
  rateFields,
  delay,
]);

/** A fault as scenarios write it: its kind alone, or its kind with options. */
export type FaultInput =
  | z.input<typeof byKind>
  | 'refuse'
  | 'hang'
  | 'reset'
  | 'invalid'
  | 'truncated'
  | 'stall'
  | 'drip'
  | 'html'
  | 'empty'
  | 'throttle';

/** Reads a fault of any kind. */
export const anyFault = z.preprocess((value) => (typeof value === 'string' ? { kind: value } : value), byKind);
